package cert

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/config"
)

// A certificate on demand is obtained when a visitor first asks for its name. Whoever can reach us can ask for any name, so
// all of it is bounded: names must be allowed by the configuration, new ones come slowly, few are ordered at once, one that
// failed is not tried again at once, and handshakes that wait are few and wait a short time.

const (
	demandNames  = 10000            // held in memory; the one that nobody has used for longest makes place
	demandBurst  = 20               // new names at once
	demandEvery  = 10 * time.Second // and then one each
	demandReads  = 16               // looks into storage at once
	demandWaits  = 256              // handshakes that wait for an order at once
	demandWait   = 30 * time.Second // of a handshake
	demandForget = 2 * time.Hour    // how long a name that failed is remembered, lest it be ordered again and again
	demandIdle   = 30 * 24 * time.Hour
	maxDemandSNI = 253 // RFC 1035 section 2.3.4
)

// rules are the hosts of acme.on_demand.
type rules []string

// allow says whether a rule covers name, which is a host and no pattern. As everywhere in the configuration, "*.example.com" is
// every name below example.com.
func (r rules) allow(name string) bool {
	for _, rule := range r {
		if suffix, ok := strings.CutPrefix(rule, "*"); ok {
			if len(name) > len(suffix) && strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, "*") {
				return true
			}
		} else if rule == name {
			return true
		}
	}
	return false
}

// demand holds the certificates on demand, over all configurations.
type demand struct {
	reads chan struct{}
	waits chan struct{}

	mu     sync.Mutex // guards what follows
	names  map[string]*managed
	tokens float64
	filled time.Time
}

func newDemand() *demand {
	return &demand{reads: make(chan struct{}, demandReads), waits: make(chan struct{}, demandWaits), names: map[string]*managed{}, tokens: demandBurst}
}

func (d *demand) all() []*managed {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*managed, 0, len(d.names))
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		all = append(all, d.names[name])
	}
	return all
}

// rulesOf are the rules of c; none without an acme block.
func rulesOf(c *config.Config) rules {
	if c.ACME == nil {
		return nil
	}
	return c.ACME.OnDemand
}

var (
	errNotYet  = errors.New("it has not been obtained yet")
	errTooMany = errors.New("too many visitors of names without a certificate at once; it may be asked for again")
)

// missing is what a block of acme says about a name that none of its certificates covers: one on demand, or why there is none.
// Neither means that the name is not ours to obtain.
func (s *Store) missing(ctx context.Context, b *block, name string) (*shown, error) {
	own := b.names[name]
	if _, parent, ok := strings.Cut(name, "."); own == nil && ok {
		own = b.names["*."+parent]
	}
	if own != nil {
		own.mu.Lock()
		defer own.mu.Unlock()
		if own.err != nil {
			return nil, fmt.Errorf("%w; last attempt: %w", errNotYet, own.err)
		}
		return nil, errNotYet
	}
	live := s.live.Load()
	if live == nil || live.ca == nil || !live.rules.allow(name) || !plausible(name) {
		return nil, nil
	}
	return s.demanded(ctx, live.ca, name)
}

// plausible says whether name can be a host's: it goes into storage keys and to a CA.
func plausible(name string) bool {
	if len(name) > maxDemandSNI || !strings.Contains(name, ".") {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// demanded is the certificate on demand for name: from memory, from storage, or from the CA, for which it waits a while. The
// order goes on when the visitor does not wait.
func (s *Store) demanded(ctx context.Context, ca *authority, name string) (*shown, error) {
	ctx, cancel := context.WithTimeout(ctx, demandWait)
	defer cancel()
	now := s.options.Now()
	m := s.demand.find(name)
	if m == nil {
		stored, err := s.demand.read(ctx, ca, name)
		if m, err = s.demand.add(name, stored == nil, now, err); err != nil {
			return nil, err
		}
		if stored != nil && m.current() == nil {
			s.showManaged(ca, m, stored)
		}
		s.wake()
	}
	m.used.Store(now.Unix())
	if c := m.current(); c != nil {
		return c, nil
	}
	select {
	case s.demand.waits <- struct{}{}:
		defer func() { <-s.demand.waits }()
	default:
		return nil, errTooMany
	}
	for {
		m.mu.Lock()
		changed, err, again := m.changed, m.err, m.again
		if err != nil && !now.Before(again) && !m.busy {
			m.due = time.Time{}
			s.wake()
		}
		m.mu.Unlock()
		if c := m.current(); c != nil { // the attempt may have ended just before changed was another channel
			return c, nil
		}
		if err != nil && now.Before(again) {
			return nil, fmt.Errorf("%w; last attempt: %w", errNotYet, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the order goes on", errNotYet)
		}
	}
}

func (d *demand) find(name string) *managed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name]
}

// read looks into storage, a few at once.
func (d *demand) read(ctx context.Context, ca *authority, name string) (*shown, error) {
	select {
	case d.reads <- struct{}{}:
		defer func() { <-d.reads }()
		c, err := ca.load(ctx, name)
		if err != nil {
			return nil, nil //nolint:nilerr // nothing stored, or nothing that can be read: the keeper will see
		}
		return c, nil
	case <-ctx.Done():
		return nil, errTooMany
	}
}

// add makes place for name. A name that is to be ordered costs a token.
func (d *demand) add(name string, order bool, now time.Time, err error) (*managed, error) {
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.names[name]; m != nil {
		return m, nil
	}
	if order {
		if !d.filled.IsZero() {
			d.tokens = min(demandBurst, d.tokens+float64(now.Sub(d.filled))/float64(demandEvery))
		}
		d.filled = now
		if d.tokens < 1 {
			return nil, errTooMany
		}
		d.tokens--
	}
	if len(d.names) >= demandNames {
		var oldest *managed
		for _, m := range d.names {
			if oldest == nil || m.used.Load() < oldest.used.Load() {
				oldest = m
			}
		}
		delete(d.names, oldest.name)
	}
	m := newManaged(name, true)
	m.used.Store(now.Unix())
	d.names[name] = m
	return m, nil
}

// dismiss forgets a certificate on demand that needs no keeping: it is no longer allowed, nobody has asked for it for a month,
// or for a while and there is none. Storage keeps what it has.
func (s *Store) dismiss(m *managed) bool {
	if !m.demand {
		return false
	}
	now := s.options.Now()
	m.mu.Lock()
	failed := m.current() == nil && m.failures > 0
	m.mu.Unlock()
	live := s.live.Load()
	idle := now.Sub(time.Unix(m.used.Load(), 0))
	if live.rules.allow(m.name) && idle < demandIdle && (!failed || idle < 2*demandWait) {
		return false
	}
	s.demand.mu.Lock()
	defer s.demand.mu.Unlock()
	if s.demand.names[m.name] == m {
		delete(s.demand.names, m.name)
	}
	return true
}
