package health

import (
	"context"
	"math/rand/v2"
	"time"

	"skein/config"
)

// check is the schedule of one member's active check. Each has a goroutine that sleeps nearly all the time; a shared
// scheduler would save its stack, but then a few members that hang could delay the checks of all others.
type check struct {
	monitor *Monitor
	state   *state
	cfg     *config.Check // guarded by the Monitor's mu; equal settings may replace it
	h2      bool          // HTTP/2 is spoken
	probe   *probe
	stop    func() // guarded by the Monitor's mu; nil until started
}

func newCheck(m *Monitor, s *state, c *config.Check) *check {
	h2 := speaks2(s.pool, c)
	return &check{monitor: m, state: s, cfg: c, h2: h2, probe: newProbe(c, s.member, h2, m.dial)}
}

// end stops the check, if there is one and it has started. A result that is on its way is dropped by record.
func (c *check) end() {
	if c != nil && c.stop != nil {
		c.stop()
	}
}

func (c *check) loop(ctx context.Context, delay time.Duration) {
	t := time.NewTimer(delay)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		if ctx.Err() != nil {
			return
		}
		r := c.probe.run(ctx)
		if ctx.Err() != nil {
			return // it failed because it was stopped
		}
		t.Reset(max(0, c.record(r)-time.Since(r.Time)))
	}
}

// record judges a result and returns the time from this check's beginning to the next one's.
func (c *check) record(r Result) time.Duration {
	m, s := c.monitor, c.state
	var news []change
	m.mu.Lock()
	if s.check != c {
		m.mu.Unlock()
		return 0 // replaced or removed; the context has ended too
	}
	s.last = r
	s.member.Stats.Checks.Add(1)
	if !r.OK {
		s.member.Stats.ChecksFailed.Add(1)
	}
	if s.judge.observe(r.OK, c.cfg.Rise, c.cfg.Fall) {
		news = append(news, s.turn(s.judge.up, r.Text, time.Now()))
	}
	wait := s.judge.interval(c.cfg, rand.Float64())
	m.mu.Unlock()
	m.report(news)
	return wait
}
