package cert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"skein/config"
)

// managed is the certificate of one name that a CA gives us.
type managed struct {
	slot
	name   string
	demand bool // obtained at a first handshake
	used   atomic.Int64

	mu        sync.Mutex // guards what follows
	ca        string     // key of the CA whose certificate is shown
	busy      bool
	due       time.Time // when the keeper looks at it again
	renewal   time.Time // when the certificate is replaced, by its own dates
	info      acme.RenewalInfo
	infoDue   time.Time
	failures  int
	again     time.Time     // not before, after a failure
	err       error         // of the last attempt; nil after a success
	changed   chan struct{} // closed at the end of an attempt
	complaint complaint
}

// complaint is how much has been said in the log about a certificate that is not renewed.
type complaint int

const (
	complaintNone complaint = iota
	complaintFailed
	complaintSoon
	complaintExpired
)

func newManaged(name string, demand bool) *managed {
	return &managed{name: name, demand: demand, changed: make(chan struct{})}
}

// acmeLive is what handshakes and validations need of the configuration, without a lock.
type acmeLive struct {
	ca    *authority
	names map[string]*managed
	rules rules
}

// wants says whether certificates for name are ours to get.
func (l *acmeLive) wants(name string) bool {
	return l.names[name] != nil || l.names["*."+name] != nil || l.rules.allow(name)
}

// prepareManaged finds the names of a block that are obtained without being asked for.
func (s *Store) prepareManaged(n *next, h *config.HTTP, b *block) error {
	if n.ca == nil {
		return errors.New("its certificates come from acme, and there is no acme block")
	}
	b.names = map[string]*managed{}
	for _, host := range h.Hosts {
		if n.rules.allow(host) || slices.Contains(n.rules, host) || n.hasFile(h.TLS, host) {
			continue
		}
		if strings.HasPrefix(host, "*.") && n.ca.client.ChallengeSolvers[acme.ChallengeTypeDNS01] == nil {
			return fmt.Errorf("a certificate for %s needs the challenge dns-01 (challenges = [\"dns-01\"] and dns = [...] in acme), or %s in on_demand", host, host)
		}
		m := n.names[host]
		if m == nil {
			if m = s.names[host]; m == nil {
				m = newManaged(host, false)
			}
			n.names[host] = m
		}
		b.names[host] = m
		b.entries = append(b.entries, m)
	}
	if len(h.Hosts) == 0 && len(n.rules) == 0 {
		return errors.New("acme needs to know for what: give the block hosts, or acme on_demand")
	}
	return nil
}

// hasFile says whether a certificate from files covers host, so that no CA need be asked.
func (n *next) hasFile(f *config.Front, host string) bool {
	return slices.ContainsFunc(f.Certificates, func(c *config.TLS) bool {
		read := n.read[n.files[fileKey{c.Cert, c.Key}]]
		return read != nil && read.covers(sampleOf(host))
	})
}

// loadManaged shows what storage has already, so that the first handshake finds it. What cannot be read in time comes later.
func (s *Store) loadManaged(ctx context.Context, n *next) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		if m := n.names[name]; m.current() == nil && ctx.Err() == nil {
			if c, err := n.ca.load(ctx, name); err == nil {
				s.showManaged(n.ca, m, c)
			} else if !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("stored certificate was not read", "name", name, "error", err)
			}
		}
	}
}

// showManaged shows c and plans its renewal: after two thirds of its life, or half of a life of days (as Let's Encrypt advises
// for its six-day ones), earlier by a random part so that nodes and names do not all come at once.
func (s *Store) showManaged(ca *authority, m *managed, c *shown) {
	m.show(c)
	leaf := c.tls.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	left := life / 3
	if life < 10*24*time.Hour {
		left = life / 2
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ca, m.renewal = ca.key, leaf.NotAfter.Add(-left-rand.N(life/50+1))
	m.info, m.infoDue = acme.RenewalInfo{}, time.Time{}
	m.failures, m.err, m.complaint, m.due = 0, nil, complaintNone, time.Time{}
}

// renewAt is when the certificate is replaced: when the CA says (RFC 9773), but never so late that nothing could go wrong any
// more. mu is held.
func (m *managed) renewAt(c *shown) time.Time {
	if !m.info.HasWindow() {
		return m.renewal
	}
	leaf := c.tls.Leaf
	last := leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 6)
	if m.info.SelectedTime.After(last) {
		return last
	}
	return m.info.SelectedTime
}

// soon makes the keeper look at once: the configuration may have changed what can be had, and from whom.
func (m *managed) soon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due = time.Time{}
}

// allManaged is every certificate from a CA, by name. mu is held.
func (s *Store) allManaged() []*managed {
	all := make([]*managed, 0, len(s.names))
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		all = append(all, s.names[name])
	}
	return append(all, s.demand.all()...)
}

func (m *managed) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.current()
	st := newStatus("acme", "", c, m.err, &m.staple)
	if m.demand {
		st.Source = "on-demand"
	}
	if c == nil {
		st.Names = []string{m.name}
		st.Renewal = m.due
		return st
	}
	st.Renewal = m.renewAt(c)
	if m.failures > 0 {
		st.Renewal = m.due
	}
	return st
}

// sampleOf is a name that a certificate for name must cover.
func sampleOf(name string) string {
	if suffix, ok := strings.CutPrefix(name, "*."); ok {
		return "any." + suffix
	}
	return name
}
