// Package pool is the kernel that all chapters share: pools of members, what is known against each member, and the picking
// of the next one.
//
// Start at [Pool.Acquire], which gives a piece of work its member. [Set] is all pools of a configuration and carries members
// over a reload. The algorithms are in package policy, the judgement about health in package health, drains in package
// cluster: each writes its own [Reason], and the pool turns the reasons into an atomic snapshot of usable members, so that
// no policy can forget health and no request takes a lock.
//
// It opens no connections and judges nobody.
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

	version  atomic.Uint64 // rises with each change of what a snapshot is made of; written with mu held
	building sync.Mutex    // held while a snapshot is made; taken before mu

	mu      sync.Mutex // guards what follows and the guarded fields of the members
	members []*Member
	policy  Policy
	region  string        // this node's
	now     time.Time     // of the last change
	pending bool          // a rebuild is about to begin
	cost    time.Duration // of the last rebuild
}

// snapshot is what requests see. It is never changed.
type snapshot struct {
	version  uint64
	usable   []*Member
	picker   Picker // nil without usable members
	sticky   map[uint64]*Member
	capacity int64 // the sum of the usable members' limits; 0 is unlimited
	panic    bool
	spilled  bool
}

// allows reports whether m, which the snapshot holds, may still be used: it may have got a reason since.
func (s *snapshot) allows(m *Member) bool {
	r := m.Reasons()
	return r == 0 || s.panic && r&Drained == 0
}

// Config returns the pool's settings. They may change with a reload; ask again for each piece of work.
func (p *Pool) Config() *config.Pool { return p.cfg.Load() }

// Usable returns the members that work is given to. The slice must not be changed. A change of reasons shows here at once, in
// pools of more than [AtOnce] members within moments; work never goes to a member with a reason in either.
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
	snap := p.snap.Load()
	s := make([]MemberState, 0, len(p.members))
	for _, m := range p.members {
		s = append(s, MemberState{m, m.weight, m.effective, m.backup, m.region, m.used.Load() && snap.allows(m)})
	}
	return s
}

// Set adds or removes one reason against m and reports whether that changed anything. Only the reason's one writer calls it.
// A member that becomes usable again starts slowly, if the pool says so.
func (p *Pool) Set(m *Member, r Reason, on bool, now time.Time) bool {
	p.mu.Lock()
	changed := p.mark(m, r, on, now)
	p.mu.Unlock()
	if changed {
		p.refresh()
	}
	return changed
}

// SetMany is [Pool.Set] for many members with one rebuild: on says which of them have the reason.
func (p *Pool) SetMany(r Reason, now time.Time, on func(*Member) bool) (changed []*Member) {
	p.mu.Lock()
	for _, m := range p.members {
		if p.mark(m, r, on(m), now) {
			changed = append(changed, m)
		}
	}
	p.mu.Unlock()
	if len(changed) > 0 {
		p.refresh()
	}
	return changed
}

// mark is Set without the rebuild. mu is held.
func (p *Pool) mark(m *Member, r Reason, on bool, now time.Time) bool {
	old := m.Reasons()
	next := old &^ r
	if on {
		next = old | r
	}
	if next == old {
		return false
	}
	m.reasons.Store(uint32(next))
	m.recovered = time.Time{}
	if next == 0 && p.cfg.Load().SlowStart > 0 {
		m.recovered = now
	}
	p.touch(now)
	return true
}

// Tick moves slow starts on. It is called about once a second and reports whether any is still going.
func (p *Pool) Tick(now time.Time) bool {
	p.mu.Lock()
	ramping := false
	for _, m := range p.members {
		ramping = ramping || !m.recovered.IsZero()
	}
	if ramping {
		p.touch(now)
	}
	p.mu.Unlock()
	if ramping {
		p.refresh()
	}
	return ramping
}
