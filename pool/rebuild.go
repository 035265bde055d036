package pool

import "time"

// AtOnce is the most members of a pool in which each change of reasons is followed by a new snapshot before the call returns.
//
// In larger pools the tables of some policies take tens of milliseconds, and a failing switch changes a thousand members in
// one go. There the changes are gathered. Nothing waits for that: a request looks at the reasons of the member that it picked
// and picks again if there are any, so that a member is out of use at once, whatever the age of the snapshot. Only its return
// and the finer questions (backups, panic, regions) take their time.
const AtOnce = 128

// gather is how long changes in a large pool are gathered: this, or as long as keeps the rebuilds to a tenth of one core.
const gather = 50 * time.Millisecond

// touch notes that the snapshot is out of date. mu is held.
func (p *Pool) touch(now time.Time) {
	p.version.Add(1)
	p.now = now
}

// refresh makes a new snapshot, now or soon.
func (p *Pool) refresh() {
	p.mu.Lock()
	if len(p.members) <= AtOnce {
		p.mu.Unlock()
		p.rebuild()
		return
	}
	if !p.pending {
		p.pending = true
		time.AfterFunc(max(gather, 10*p.cost), p.rebuild)
	}
	p.mu.Unlock()
}

// rebuild makes the next snapshot, unless another goroutine has done that since the caller's change. mu is free while the
// policy builds, so that those who report reasons need not wait for it.
func (p *Pool) rebuild() {
	p.building.Lock()
	defer p.building.Unlock()
	began := time.Now()
	p.mu.Lock()
	p.pending = false
	old := p.snap.Load()
	if old != nil && old.version == p.version.Load() {
		p.mu.Unlock()
		return
	}
	c, policy := p.cfg.Load(), p.policy
	for _, m := range p.members {
		m.peers = len(p.members)
		m.effective = m.ramp(p.now, c.SlowStart)
		limit := int64(c.MaxConns)
		if limit > 0 {
			limit = max(1, limit*int64(m.effective)/int64(max(1, m.weight*100)))
		}
		m.limit.Store(limit)
	}
	s := choose(p.members, c, p.region)
	s.version = p.version.Load()
	for _, m := range s.usable {
		s.capacity += m.limit.Load()
		m.built = s.version
	}
	p.mu.Unlock()

	if len(s.usable) > 0 {
		s.picker = policy.Build(s.usable)
	}
	if c.Sticky != nil {
		s.sticky = make(map[uint64]*Member, len(s.usable))
		for _, m := range s.usable {
			s.sticky[m.Hash] = m
		}
	}
	for _, m := range s.usable {
		m.used.Store(true)
	}
	p.snap.Store(s)
	if old != nil {
		for _, m := range old.usable {
			if m.built != s.version {
				m.used.Store(false)
			}
		}
	}
	p.mu.Lock()
	p.cost = time.Since(began)
	p.mu.Unlock()
	p.dispatch()
}

// stale reports whether s is older than the last change.
func (p *Pool) stale(s *snapshot) bool { return s.version != p.version.Load() }

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
