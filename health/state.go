package health

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"skein/pool"
)

// state is what is known about one member.
type state struct {
	pool   *pool.Pool
	member *pool.Member

	// run counts failures of real work in a row: connect failures, time-outs and broken answers in the low half, gateway answers in
	// the high one.
	run  atomic.Uint64
	gone atomic.Bool // no longer configured; set before run is emptied for the last time

	// Guarded by the Monitor's mu.
	check    *check // nil without one
	judge    judge
	last     Result
	since    time.Time // when the judge's verdict last changed, or the member was added
	ejection ejection
}

func (s *state) ejected() bool { return s.member.Reasons()&pool.Ejected != 0 }

// turn carries a new verdict of the active check into the pool. The Monitor's mu is held.
func (s *state) turn(up bool, reason string, now time.Time) change {
	c := change{event: "member came up", level: slog.LevelInfo, member: s.member, reason: reason, after: now.Sub(s.since)}
	if !up {
		c.event, c.level = "member went down", slog.LevelWarn
	}
	s.since = now
	s.pool.Set(s.member, pool.Unhealthy, !up, now)
	return c
}

// change is one change of a member's state, for the log.
type change struct {
	event  string
	level  slog.Level
	member *pool.Member
	reason string
	after  time.Duration // spent in the state before
	length time.Duration // of an ejection
}

// report logs. mu is not held: a log that blocks must not stop the checks.
func (m *Monitor) report(news []change) {
	for _, c := range news {
		args := []any{
			"pool", c.member.Pool, "server", c.member.Server, "address", c.member.Address,
			"reason", c.reason, "after", c.after.Round(time.Millisecond),
		}
		if c.length > 0 {
			args = append(args, "for", c.length)
		}
		m.log.Log(context.Background(), c.level, c.event, args...)
	}
}

// Status is what health knows about a member, for status pages.
type Status struct {
	Checked bool      // it has an active check
	Up      bool      // the verdict of the active check; true without one and before the first result
	Since   time.Time // of that verdict
	Last    Result    // of the active check; its Time is zero before the first one
	Turning int       // results in a row that contradict Up

	Errors  int // connect failures, time-outs and broken answers in a row
	Gateway int // 502, 503 and 504 answers in a row
	Ejected bool
	Until   time.Time // the end of the ejection
}

// Status describes a member. One that is not configured is up and unchecked.
func (m *Monitor) Status(pm *pool.Member) Status {
	s := (*m.states.Load())[pm]
	if s == nil {
		return Status{Up: true}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	errors, gateway := unpack(s.run.Load())
	st := Status{
		Checked: s.check != nil, Up: s.judge.up, Since: s.since, Last: s.last, Turning: s.judge.run,
		Errors: errors, Gateway: gateway,
	}
	if s.ejected() {
		st.Ejected, st.Until = true, s.ejection.until
	}
	return st
}
