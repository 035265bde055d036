// Package pool is the kernel that all chapters share: pools of members, what is known against each member, and the picking
// of the next one.
//
// Start at [Pool.Acquire], which gives a piece of work its member. [Set] is all pools of a configuration and carries members
// over a reload. The algorithms are in package policy, the judgement about health in package health, drains in package
// cluster: each writes its own [Reason], and the pool turns the reasons into an atomic snapshot of usable members, so that
// no policy can forget health and no request takes a lock.
//
// It opens no connections, starts no goroutines and owns no clock.
package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"skein/config"
)

// Pool is servers that can do the same work. Pools live on across reloads by name.
type Pool struct {
	Name string

	snap   atomic.Pointer[snapshot]
	cfg    atomic.Pointer[config.Pool]
	queue  queue
	budget budget
	total  atomic.Int64 // work in progress on all members

	mu      sync.Mutex // guards what follows and the guarded fields of the members
	members []*Member
	policy  Policy
	region  string // this node's
}

// snapshot is what requests see. It is never changed.
type snapshot struct {
	usable  []*Member
	picker  Picker // nil without usable members
	sticky  map[uint64]*Member
	panic   bool
	spilled bool
}

// Config returns the pool's settings. They may change with a reload; ask again for each piece of work.
func (p *Pool) Config() *config.Pool { return p.cfg.Load() }

// Usable returns the members that work is given to now. The slice must not be changed.
func (p *Pool) Usable() []*Member { return p.snap.Load().usable }

// Panicking reports whether so few members are healthy that health is ignored.
func (p *Pool) Panicking() bool { return p.snap.Load().panic }

// Spilled reports whether members of other regions are used because too few of the own region are healthy.
func (p *Pool) Spilled() bool { return p.snap.Load().spilled }

// Members returns all members, the unusable ones too.
func (p *Pool) Members() []*Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Member(nil), p.members...)
}

// MemberState is what [Pool.States] says of one member.
type MemberState struct {
	*Member
	Weight    int // configured
	Effective int // hundredths, slow start included
	Backup    bool
	Region    string
	InUse     bool // work may be given to it now
}

// States describes all members, for status pages.
func (p *Pool) States() []MemberState {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := make(map[*Member]bool)
	for _, m := range p.snap.Load().usable {
		used[m] = true
	}
	s := make([]MemberState, 0, len(p.members))
	for _, m := range p.members {
		s = append(s, MemberState{m, m.weight, m.effective, m.backup, m.region, used[m]})
	}
	return s
}

// Set adds or removes one reason against m and reports whether that changed anything. Only the reason's one writer calls it.
// A member that becomes usable again starts slowly, if the pool says so.
func (p *Pool) Set(m *Member, r Reason, on bool, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := Reason(m.reasons.Load())
	next := old &^ r
	if on {
		next = old | r
	}
	if next == old {
		return false
	}
	m.reasons.Store(uint32(next))
	switch {
	case next != 0:
		m.recovered = time.Time{}
	case p.cfg.Load().SlowStart > 0:
		m.recovered = now
	}
	p.rebuild(now)
	return true
}

// SetMany is [Pool.Set] for many members with one rebuild: on says which of them have the reason.
func (p *Pool) SetMany(r Reason, now time.Time, on func(*Member) bool) (changed []*Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		old := Reason(m.reasons.Load())
		next := old &^ r
		if on(m) {
			next = old | r
		}
		if next == old {
			continue
		}
		m.reasons.Store(uint32(next))
		m.recovered = time.Time{}
		if next == 0 && p.cfg.Load().SlowStart > 0 {
			m.recovered = now
		}
		changed = append(changed, m)
	}
	if len(changed) > 0 {
		p.rebuild(now)
	}
	return changed
}

// Tick moves slow starts on. It is called about once a second and reports whether any is still going.
func (p *Pool) Tick(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if !m.recovered.IsZero() {
			p.rebuild(now)
			return true
		}
	}
	return false
}

// rebuild makes the next snapshot. mu is held.
func (p *Pool) rebuild(now time.Time) {
	c := p.cfg.Load()
	for _, m := range p.members {
		m.peers = len(p.members)
		m.effective = m.ramp(now, c.SlowStart)
		limit := int64(c.MaxConns)
		if limit > 0 {
			limit = max(1, limit*int64(m.effective)/int64(max(1, m.weight*100)))
		}
		m.limit.Store(limit)
	}
	s := choose(p.members, c, p.region)
	if len(s.usable) > 0 {
		s.picker = p.policy.Build(s.usable)
	}
	if c.Sticky != nil {
		s.sticky = make(map[uint64]*Member, len(s.usable))
		for _, m := range s.usable {
			s.sticky[m.Hash] = m
		}
	}
	p.snap.Store(s)
	p.dispatch()
}

// ramp is m's weight in hundredths: a straight line from a hundredth of the weight to all of it over the slow start.
func (m *Member) ramp(now time.Time, slow time.Duration) int {
	full := m.weight * 100
	if m.recovered.IsZero() {
		return full
	}
	since := now.Sub(m.recovered)
	if slow <= 0 || since >= slow {
		m.recovered = time.Time{}
		return full
	}
	return max(m.weight, int(float64(full)*float64(max(0, since))/float64(slow)))
}
