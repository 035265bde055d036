package cert

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/crypto/ocsp"
)

// An OCSP answer (RFC 6960) is fetched in the background, kept with the certificate, and sent with every handshake (RFC 6066
// section 8). It is refreshed at half its life; until that succeeds the old one is sent, up to its end. No handshake waits.

const (
	staplePeriod  = 5 * time.Second // how often it is looked for work
	stapleTimeout = 10 * time.Second
	stapleRetry   = time.Minute // doubling up to an hour
	stapleMax     = 64 << 10    // bytes of an answer
	stapleWorkers = 4
)

// slot holds a certificate that is shown and can be stapled.
type slot struct {
	live   atomic.Pointer[shown]
	staple stapleState
}

// current is what handshakes get; nil is none yet.
func (s *slot) current() *shown { return s.live.Load() }

// show replaces the certificate. An answer goes with the certificate that it is about.
func (s *slot) show(c *shown) {
	if old := s.live.Load(); old != nil && old.mark == c.mark && c.tls.OCSPStaple == nil {
		c = c.stapled(old.tls.OCSPStaple)
	}
	s.live.Store(c)
}

// attach puts an answer to the certificate that it is about, if that is still shown.
func (s *slot) attach(c *shown, answer []byte) {
	for {
		old := s.live.Load()
		if old == nil || old.mark != c.mark || s.live.CompareAndSwap(old, old.stapled(answer)) {
			return
		}
	}
}

func (c *shown) stapled(answer []byte) *shown {
	next := &shown{tls: c.tls, mark: c.mark, signed: c.signed}
	next.tls.OCSPStaple = answer
	return next
}

// stapleState is how the answer for a slot's certificate is.
type stapleState struct {
	mu       sync.Mutex // guards what follows
	mark     [sha256.Size]byte
	status   string
	until    time.Time
	next     time.Time // when to ask again
	failures int
	err      error
	revoked  bool
}

func (s *stapleState) report(st *Status, c *shown) {
	if c == nil || !stapleable(c) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.Staple = "none"; s.mark != c.mark {
		return
	}
	if s.status != "" {
		st.Staple, st.StapleUntil = s.status, s.until
	}
	if s.err != nil {
		st.StapleError = s.err.Error()
	}
}

// stapleable says whether the certificate names somebody to ask, and who would have to sign the answer is known.
func stapleable(c *shown) bool { return len(c.tls.Leaf.OCSPServer) > 0 && len(c.tls.Certificate) > 1 }

// mustStaple says whether clients refuse the certificate without an answer (RFC 7633: the feature status_request).
func mustStaple(leaf *x509.Certificate) bool {
	for _, e := range leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			var features []int
			if _, err := asn1.Unmarshal(e.Value, &features); err == nil {
				for _, f := range features {
					if f == 5 {
						return true
					}
				}
			}
		}
	}
	return false
}

// stapling keeps all answers fresh until ctx ends.
func (s *Store) stapling(ctx context.Context) {
	var busy sync.Map // *slot
	var own sync.WaitGroup
	workers := make(chan struct{}, stapleWorkers)
	every(ctx, staplePeriod, func() {
		s.mu.Lock()
		var slots []*slot
		for _, f := range s.files {
			slots = append(slots, &f.slot)
		}
		for _, m := range s.allManaged() {
			slots = append(slots, &m.slot)
		}
		storage := s.storage()
		s.mu.Unlock()
		for _, sl := range slots {
			if !s.stapleDue(sl) {
				continue
			}
			if _, taken := busy.LoadOrStore(sl, nil); taken {
				continue
			}
			own.Go(func() {
				defer busy.Delete(sl)
				select {
				case workers <- struct{}{}:
					defer func() { <-workers }()
					s.restaple(ctx, sl, storage)
				case <-ctx.Done():
				}
			})
		}
	})
	own.Wait()
}

// stapleDue says whether the slot needs an answer, and takes away one that has expired.
func (s *Store) stapleDue(sl *slot) bool {
	c := sl.current()
	if c == nil || !stapleable(c) {
		return false
	}
	now := s.options.Now()
	st := &sl.staple
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.mark != c.mark {
		return true
	}
	if c.tls.OCSPStaple != nil && !now.Before(st.until) {
		sl.attach(c, nil)
		st.status, st.until = "", time.Time{}
	}
	return !now.Before(st.next)
}

// restaple asks for an answer and shows it. One that another node or an earlier life of this one has stored is taken first.
func (s *Store) restaple(ctx context.Context, sl *slot, storage certmagic.Storage) {
	c := sl.current()
	st := &sl.staple
	st.mu.Lock()
	fresh := st.mark != c.mark
	if fresh {
		st.mark, st.status, st.until, st.next, st.failures, st.err, st.revoked = c.mark, "", time.Time{}, time.Time{}, 0, nil, false
	}
	st.mu.Unlock()
	now := s.options.Now()
	key := "ocsp/" + hex.EncodeToString(c.mark[:])
	if fresh && storage != nil {
		if der, err := storage.Load(ctx, key); err == nil {
			if a, err := parseAnswer(der, c, now); err == nil && now.Before(halfLife(a)) {
				s.answered(sl, c, a, der)
				return
			}
		}
	}
	a, der, err := s.fetch.ask(ctx, c, now)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		st.mu.Lock()
		first := st.err == nil
		st.err, st.next = err, now.Add(jitter(min(stapleRetry<<min(st.failures, 10), time.Hour)))
		st.failures++
		st.mu.Unlock()
		if first {
			s.log.Warn("OCSP answer was not obtained: the old one stays until it expires", "names", names(c.tls.Leaf), "must_staple", mustStaple(c.tls.Leaf), "error", err)
		}
		return
	}
	s.answered(sl, c, a, der)
	if storage != nil && a.Status == ocsp.Good {
		if err := storage.Store(ctx, key, der); err != nil {
			s.log.Debug("OCSP answer was not stored", "key", key, "error", err)
		}
	}
}

// answered takes an answer. One that says "revoked" is not sent to visitors, who would be told to go away by us: it is
// logged, and a certificate of ACME is replaced.
func (s *Store) answered(sl *slot, c *shown, a *ocsp.Response, der []byte) {
	st := &sl.staple
	st.mu.Lock()
	before, failed := st.status, st.err != nil
	st.status, st.until, st.next, st.failures, st.err = statusWord(a.Status), until(a), halfLife(a), 0, nil
	st.revoked = a.Status == ocsp.Revoked
	st.mu.Unlock()
	if a.Status != ocsp.Good {
		sl.attach(c, nil)
		if before != statusWord(a.Status) {
			s.log.Error("certificate is not good, says its CA", "names", names(c.tls.Leaf), "status", statusWord(a.Status), "revoked_at", a.RevokedAt)
		}
		s.wake()
		return
	}
	sl.attach(c, der)
	s.log.Log(context.Background(), levelOf(before != "good" || failed), "OCSP answer was stapled", "names", names(c.tls.Leaf), "until", until(a))
}

// levelOf keeps a change of state in the log and routine out of it.
func levelOf(change bool) slog.Level {
	if change {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
