package cert

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// The keeper looks at every managed certificate when it is due, a few at a time:
//
//	storage has a newer one ........... show it (another node was first)
//	good, and not to be renewed yet ... ask the CA now and then when it should be (ARI), and come back
//	else .............................. lock, look at storage again, order, store, show
//
// A failure is tried again later and later, with jitter, so that nodes do not come back to a CA in step. What is shown stays
// shown.

const (
	lookPeriod    = 10 * time.Minute // at the latest, storage is looked at again
	keepers       = 4                // orders at once
	demandKeepers = 2                // and of those that visitors cause, so that they hold up nobody else's
	infoPeriod    = 6 * time.Hour    // for a CA that does not say how often to ask
	infoTimeout   = 30 * time.Second
	infoMute      = 5 * time.Minute // nobody asks a CA that did not answer
)

// retry is how long to wait after a failure.
type retry struct {
	away    []time.Duration // the CA could not be reached, or something of ours failed: costs nobody anything
	refused []time.Duration // the CA said no: CAs count those (Let's Encrypt: five failed validations of a name in an hour)
	limited time.Duration   // the CA said that it was too much
}

func standardRetry() retry {
	return retry{
		away:    []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute},
		refused: []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour},
		limited: time.Hour,
	}
}

func (r retry) wait(failures int, err error) time.Duration {
	table := r.away
	var p acme.Problem
	if errors.As(err, &p) {
		table = r.refused
	}
	wait := table[min(failures, len(table))-1]
	if p.Type == acme.ProblemTypeRateLimited {
		wait = max(wait, r.limited)
	}
	return jitter(wait)
}

// jitter is d, up to a fifth more or less.
func jitter(d time.Duration) time.Duration { return d - d/5 + rand.N(2*d/5+1) }

// keep obtains and renews until ctx ends.
func (s *Store) keep(ctx context.Context) {
	var own sync.WaitGroup
	defer own.Wait()
	many, few := make(chan struct{}, keepers), make(chan struct{}, demandKeepers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.poke:
		case <-timer.C:
		}
		s.mu.Lock()
		ca := s.ca
		all := s.allManaged()
		s.mu.Unlock()
		next := lookPeriod
		for _, m := range all {
			wait, mine := m.begin(s.options.Now())
			if !mine {
				next = min(next, wait)
				continue
			}
			workers := many
			if m.demand {
				workers = few
			}
			own.Go(func() {
				select {
				case workers <- struct{}{}:
					err := s.look1(ctx, ca, m)
					<-workers
					s.end(ctx, m, err)
				case <-ctx.Done():
					s.end(ctx, m, ctx.Err())
				}
			})
		}
		timer.Reset(next)
	}
}

// begin says whether m is due and nobody is at it; if not, how long to wait.
func (m *managed) begin(now time.Time) (wait time.Duration, mine bool) {
	revoked := m.revoked()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.busy:
		return lookPeriod, false // its end wakes the keeper
	case now.Before(m.due) && !(revoked && m.failures == 0):
		return m.due.Sub(now), false
	}
	m.busy = true
	return 0, true
}

// revoked says whether the CA has said so of what is shown.
func (m *managed) revoked() bool {
	c := m.current()
	m.staple.mu.Lock()
	defer m.staple.mu.Unlock()
	return c != nil && m.staple.revoked && m.staple.mark == c.mark
}

// look1 does what m needs. An error means that it has no certificate that will do.
func (s *Store) look1(ctx context.Context, ca *authority, m *managed) error {
	if s.dismiss(m) || ca == nil { // nil: a reload took it away a moment ago
		return nil
	}
	stored, err := ca.load(ctx, m.name)
	if err == nil {
		s.adopt(ca, m, stored)
	} else if !errors.Is(err, fs.ErrNotExist) && m.current() == nil {
		s.log.Debug("stored certificate was not read", "name", m.name, "error", err)
	}
	if s.good(ctx, ca, m) {
		return nil
	}
	before := m.current()
	unlock, err := ca.lock(ctx, "issue "+m.name)
	if err != nil {
		return err
	}
	defer unlock()
	if stored, err := ca.load(ctx, m.name); err == nil && s.adopt(ca, m, stored) && s.good(ctx, ca, m) {
		return nil // another node ordered it while we waited
	}
	var replaces *x509.Certificate
	m.mu.Lock()
	if before != nil && m.ca == ca.key && m.failures < 2 {
		replaces = before.tls.Leaf
	}
	m.mu.Unlock()
	began := time.Now()
	c, bundle, err := ca.issue(ctx, m.name, replaces)
	if err != nil {
		return err
	}
	// It is shown even when it cannot be stored: a certificate in memory is better than none.
	stored1 := ca.keep(ctx, m.name, bundle)
	s.showManaged(ca, m, c)
	s.log.Info("certificate was obtained", "name", m.name, "issuer", issuerName(c.tls.Leaf), "not_after", c.tls.Leaf.NotAfter, "renewal", before != nil, "took", time.Since(began).Round(time.Millisecond))
	if stored1 != nil {
		s.log.Error("certificate was not stored: a restart would have to obtain it again", "name", m.name, "error", stored1)
	}
	return nil
}

// adopt shows what storage has, if it is better than what is shown.
func (s *Store) adopt(ca *authority, m *managed, stored *shown) bool {
	m.mu.Lock()
	other := m.ca != ca.key
	m.mu.Unlock()
	old := m.current()
	if old != nil && (old.mark == stored.mark || !other && !stored.tls.Leaf.NotBefore.After(old.tls.Leaf.NotBefore)) {
		return false
	}
	s.showManaged(ca, m, stored)
	if old != nil {
		s.log.Info("certificate was taken from storage", "name", m.name, "not_after", stored.tls.Leaf.NotAfter)
	}
	return true
}

// good says whether what is shown needs no replacement now; it asks the CA when its advice is old.
func (s *Store) good(ctx context.Context, ca *authority, m *managed) bool {
	c := m.current()
	now := s.options.Now()
	m.mu.Lock()
	ours := m.ca == ca.key
	ask := c != nil && ours && !now.Before(m.infoDue) && now.Before(m.renewAt(c)) && now.Unix() >= ca.mute.Load()
	m.mu.Unlock()
	if c == nil || !ours {
		return false
	}
	if ask {
		s.askInfo(ctx, ca, m, c, now)
	}
	revoked := m.revoked()
	m.mu.Lock()
	defer m.mu.Unlock()
	return !revoked && now.Before(m.renewAt(c))
}

// askInfo asks the CA when it wants the certificate renewed (RFC 9773). Without an answer the certificate's dates decide.
func (s *Store) askInfo(ctx context.Context, ca *authority, m *managed, c *shown, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := ca.client.GetRenewalInfo(ctx, c.tls.Leaf)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case errors.Is(err, acme.ErrUnsupported):
		m.infoDue = now.Add(24 * time.Hour)
		return
	case err != nil:
		s.log.Debug("CA did not say when to renew", "name", m.name, "error", err)
		m.infoDue = now.Add(jitter(infoPeriod / 6))
		var p acme.Problem
		if !errors.As(err, &p) { // a thousand names must not wait for it one after the other
			ca.mute.Store(now.Add(infoMute).Unix())
		}
		return
	}
	if m.info.HasWindow() && m.info.SameWindow(info) {
		info.SelectedTime = m.info.SelectedTime // one draw for one window, or asking often would mean renewing early
	} else if info.ExplanationURL != "" {
		s.log.Info("CA explained when to renew", "name", m.name, "from", info.SuggestedWindow.Start, "to", info.SuggestedWindow.End, "explanation", info.ExplanationURL)
	}
	m.info = info
	// RFC 9773 section 4.3.2: within reason, as often as the CA says.
	wait := infoPeriod
	if info.RetryAfter != nil {
		wait = min(max(time.Until(*info.RetryAfter), time.Minute), 24*time.Hour)
	}
	m.infoDue = now.Add(wait)
}

// end plans the next look, tells the log what has changed, and those who wait that there is news.
func (s *Store) end(ctx context.Context, m *managed, err error) {
	now := s.options.Now()
	c := m.current()
	m.mu.Lock()
	m.busy = false
	close(m.changed)
	m.changed = make(chan struct{})
	switch {
	case ctx.Err() != nil:
		m.mu.Unlock()
		return
	case err == nil:
		if m.err != nil {
			s.log.Info("certificate is as it should be again", "name", m.name)
		}
		m.failures, m.err, m.complaint = 0, nil, complaintNone
		m.due = now.Add(jitter(lookPeriod))
		if c != nil {
			m.due = earliest(m.due, m.renewAt(c))
		}
		if m.infoDue.After(now) { // else the CA is not asked for now
			m.due = earliest(m.due, m.infoDue)
		}
	default:
		m.failures++
		m.err = err
		wait := s.retry.wait(m.failures, err)
		m.due, m.again = now.Add(wait), now.Add(wait)
		if m.demand && c == nil { // only another visitor causes another attempt
			m.due = now.Add(2*wait + demandForget)
		}
		s.complain(m, c, err, now, wait)
	}
	m.mu.Unlock()
	s.wake()
}

// complain says once that a certificate cannot be had, once that this becomes urgent, and once that it is too late. mu of m is
// held.
func (s *Store) complain(m *managed, c *shown, err error, now time.Time, wait time.Duration) {
	stage, words := complaintFailed, "certificate was not obtained: trying again"
	log := s.log.Warn
	if c != nil {
		leaf := c.tls.Leaf
		words = "certificate was not renewed: the old one stays, trying again"
		switch left := leaf.NotAfter.Sub(now); {
		case left <= 0:
			stage, words, log = complaintExpired, "certificate has expired and was not renewed: trying again", s.log.Error
		case left < leaf.NotAfter.Sub(leaf.NotBefore)/10:
			stage, words, log = complaintSoon, "certificate expires soon and was not renewed: trying again", s.log.Error
		}
	}
	if stage <= m.complaint {
		log = s.log.Debug
	}
	m.complaint = max(m.complaint, stage)
	log(words, "name", m.name, "error", err, "retry_in", wait.Round(time.Second))
}

func earliest(t time.Time, others ...time.Time) time.Time {
	for _, o := range others {
		if !o.IsZero() && o.Before(t) {
			t = o
		}
	}
	return t
}
