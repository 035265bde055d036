package pool

import (
	"fmt"
	"time"

	"skein/config"
)

// Set is all pools of one configuration. The engine keeps the live one and asks it for the next.
type Set struct {
	pools  []*Pool
	byName map[string]*Pool
	commit []func(now time.Time)
}

// NewSet returns a Set without pools, the one before the first configuration.
func NewSet() *Set { return &Set{byName: map[string]*Pool{}} }

// Pools returns all pools in the order of the file.
func (s *Set) Pools() []*Pool { return s.pools }

// Pool returns the pool of that name, or nil.
func (s *Set) Pool(name string) *Pool { return s.byName[name] }

// Options are what a Set needs of packages above it.
type Options struct {
	Policy  func(config.Policy) (Policy, error) // package policy's New
	Drained func(server string) bool            // package cluster; nil is nothing drained
	Now     time.Time
}

// Next prepares the pools of c: pools of the same name and their unchanged members are the same objects as in s, and
// nothing that lives is touched before [Set.Commit].
func (s *Set) Next(c *config.Config, o Options) (*Set, error) {
	n := NewSet()
	for _, pc := range c.Pools {
		pol, err := o.Policy(pc.Policy)
		if err != nil {
			return nil, fmt.Errorf("pool %q: %w", pc.Name, err)
		}
		p := s.byName[pc.Name]
		isNew := p == nil
		have := map[string]*Member{}
		if isNew {
			p = &Pool{Name: pc.Name}
		} else {
			for _, m := range p.Members() {
				have[m.ID] = m
			}
		}
		type keep struct {
			m *Member
			c config.Member
		}
		var kept []keep
		members := make([]*Member, 0, len(pc.Members))
		for _, mc := range pc.Members {
			m := newMember(pc.Name, mc, &p.total)
			if old := have[m.ID]; old != nil {
				delete(have, m.ID) // a member that is listed twice is two members, here as well
				kept = append(kept, keep{old, mc})
				m = old
			} else if o.Drained != nil && o.Drained(m.Server) {
				m.reasons.Store(uint32(Drained))
			}
			members = append(members, m)
		}
		fill := func(p *Pool, now time.Time) {
			p.mu.Lock()
			for _, k := range kept {
				k.m.set(k.c)
			}
			p.members, p.policy, p.region = members, pol, c.Region
			p.cfg.Store(pc)
			p.touch(now)
			p.mu.Unlock()
			p.rebuild()
		}
		if isNew {
			fill(p, o.Now)
		} else {
			n.commit = append(n.commit, func(now time.Time) { fill(p, now) })
		}
		n.pools = append(n.pools, p)
		n.byName[p.Name] = p
	}
	return n, nil
}

// Commit makes the prepared settings and members live. It cannot fail.
func (s *Set) Commit(now time.Time) {
	for _, f := range s.commit {
		f(now)
	}
	s.commit = nil
}
