package health

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"skein/config"
	"skein/pool"
)

// Kind is how a piece of work failed at its member.
type Kind uint8

// The kinds of failure.
const (
	ConnectFailed Kind = iota + 1 // no connection could be opened
	TimedOut                      // no answer in time
	Broken                        // the answer was cut off or was not HTTP
)

// String names one failure, as in "the last one a time-out".
func (k Kind) String() string {
	switch k {
	case ConnectFailed:
		return "connect failure"
	case TimedOut:
		return "time-out"
	case Broken:
		return "broken answer"
	}
	return "failure"
}

// Success reports that pm did a piece of work of p. While no member has failed lately, this is one atomic load.
func (m *Monitor) Success(_ *pool.Pool, pm *pool.Member) {
	if m.counting.Load() == 0 {
		return
	}
	if s := (*m.states.Load())[pm]; s != nil {
		m.clear(s)
	}
}

// Failure reports that pm failed at a piece of work of p, for a reason that is the member's and not the client's.
func (m *Monitor) Failure(p *pool.Pool, pm *pool.Member, k Kind) {
	limit := p.Config().Eject.Errors
	s := (*m.states.Load())[pm]
	if limit == 0 || s == nil {
		return
	}
	n, _ := m.count(s, func(errors, gateway int) (int, int) { return errors + 1, gateway })
	if n >= limit {
		m.eject(s, fmt.Sprintf("%d failures in a row, the last one a %v", n, k))
	}
}

// Gateway reports that pm answered a piece of work of p with 502, 503 or 504. It has answered, so this ends a run of failures.
func (m *Monitor) Gateway(p *pool.Pool, pm *pool.Member) {
	limit := p.Config().Eject.Gateway
	s := (*m.states.Load())[pm]
	if limit == 0 || s == nil {
		m.Success(p, pm)
		return
	}
	_, n := m.count(s, func(_, gateway int) (int, int) { return 0, gateway + 1 })
	if n >= limit {
		m.eject(s, fmt.Sprintf("%d gateway answers (502, 503, 504) in a row", n))
	}
}

func unpack(run uint64) (errors, gateway int) { return int(uint32(run)), int(run >> 32) }

// count changes s's run by f and returns the new one.
func (m *Monitor) count(s *state, f func(errors, gateway int) (int, int)) (errors, gateway int) {
	for {
		old := s.run.Load()
		errors, gateway = f(unpack(old))
		if !s.run.CompareAndSwap(old, uint64(gateway)<<32|uint64(uint32(errors))) {
			continue
		}
		if old == 0 {
			m.counting.Add(1)
		}
		if s.gone.Load() {
			m.clear(s) // nobody else would
		}
		return errors, gateway
	}
}

// clear ends s's run. Each run is added to counting once, by the count that began it, and taken off once, by the clear that
// found it.
func (m *Monitor) clear(s *state) {
	if s.run.Load() != 0 && s.run.Swap(0) != 0 {
		m.counting.Add(-1)
	}
}

// forget takes s, which is no longer configured, out of the counting.
func (m *Monitor) forget(s *state) {
	s.gone.Store(true)
	m.clear(s)
}

// eject takes s's member out, if the pool can do without it. Either way its run begins anew, so that a pool in which every
// member fails does not ask for each failure.
func (m *Monitor) eject(s *state, reason string) {
	now := time.Now()
	m.mu.Lock()
	m.clear(s)
	e := s.pool.Config().Eject
	if s.gone.Load() || !s.member.Usable() || !mayEject(s, e.MaxShare) {
		m.mu.Unlock()
		return
	}
	c := change{
		event: "member was ejected", level: slog.LevelWarn, member: s.member, reason: reason,
		after: now.Sub(later(s.since, s.ejection.back)),
	}
	c.length = s.ejection.next(e, now)
	s.member.Stats.Ejections.Add(1)
	s.pool.Set(s.member, pool.Ejected, true, now)
	m.mu.Unlock()
	m.report([]change{c})
}

// readmit ends an ejection. mu is held.
func (m *Monitor) readmit(s *state, now time.Time) change {
	m.clear(s)
	s.ejection.back = now
	s.pool.Set(s.member, pool.Ejected, false, now)
	return change{
		event: "member was readmitted", level: slog.LevelInfo, member: s.member,
		reason: "its ejection is over", after: now.Sub(s.ejection.began),
	}
}

// mayEject reports whether s's member may go without leaving the pool with nothing usable or with more than its share
// ejected. Drained members count neither as part of the pool nor as ejected.
func mayEject(s *state, share float64) bool {
	var live, ejected int
	others := false
	for _, o := range s.pool.Members() {
		r := o.Reasons()
		if r&pool.Drained != 0 {
			continue
		}
		live++
		if r&pool.Ejected != 0 {
			ejected++
		}
		others = others || o != s.member && r == 0
	}
	return others && ejected < maxEjected(live, share)
}

// maxEjected is how many of live members may be ejected at once.
func maxEjected(live int, share float64) int {
	if live < 2 {
		return 0
	}
	// 0.29 * 100 is a little less than 29.
	return max(1, int(math.Floor(share*float64(live)+1e-9)))
}

// ejection remembers a member's last ejection. Each one is twice as long as the one before; afterwards, for each stretch of
// time without trouble that is as long as the last ejection was, one doubling is forgotten.
type ejection struct {
	level              int // ejections that count for the length of the next one
	began, until, back time.Time
}

// next begins an ejection and returns its length.
func (j *ejection) next(e config.Eject, now time.Time) time.Duration {
	good := now.Sub(j.back)
	for j.level > 0 && good >= doubled(e, j.level-1) {
		good -= doubled(e, j.level-1)
		j.level--
	}
	d := doubled(e, j.level)
	// Beyond the longest ejection no further doubling is remembered: it would take ever longer to be forgotten.
	if j.level == 0 || doubled(e, j.level-1) < e.MaxTime {
		j.level++
	}
	j.began, j.until = now, now.Add(d)
	return d
}

// doubled is Time doubled n times, at most MaxTime.
func doubled(e config.Eject, n int) time.Duration {
	d := e.Time
	for range n {
		if d >= e.MaxTime/2 {
			return e.MaxTime
		}
		d *= 2
	}
	return min(d, e.MaxTime)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
