// Package health judges members: it alone writes [pool.Unhealthy] and [pool.Ejected].
//
// Two judges work side by side. The active check asks each member on a schedule ([config.Check]); the passive ejection
// ([config.Eject]) listens to what happens to real work, through [Monitor.Failure], [Monitor.Gateway] and [Monitor.Success].
// Either can take a member out, and a member is back when neither has anything against it.
//
// Start at [Monitor]. check.go is one member's schedule, judge.go the arithmetic of rise and fall, probe.go what goes over the
// wire, eject.go the passive half.
//
// It promises that a check never outlives its member, that a reload disturbs no unchanged check, that ejection never takes a
// pool's last usable member, and that whatever a member answers costs bounded memory and time. It does not choose members
// (pool does, panic and slow start included) and knows nothing of drains.
package health

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skein/config"
	"skein/pool"
)

// Dial opens the connection of a check.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Monitor holds what is known about every member of the live configuration. All methods may be called from any goroutine.
type Monitor struct {
	log  *slog.Logger
	dial Dial

	// states is read by each piece of work, and replaced as a whole by Apply.
	states atomic.Pointer[map[*pool.Member]*state]
	// counting is the number of members with failures in a row. While it is 0, Success has nothing to reset.
	counting atomic.Int64

	mu      sync.Mutex // guards what follows, the guarded fields of each state, and the writing of states
	pools   []*pool.Pool
	pending []*check                                   // wait for Run
	start   func(c *check, delay time.Duration) func() // starts c and returns what stops it; nil unless Run runs
}

// New returns a Monitor without members. A nil dial is the system's.
func New(log *slog.Logger, dial Dial) *Monitor {
	if dial == nil {
		// Keep-alive probes and the happy eyeballs delay are of no use to a connection that lives for one check.
		dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	m := &Monitor{log: log, dial: dial}
	m.states.Store(&map[*pool.Member]*state{})
	return m
}

// Run checks and readmits members until ctx ends, and returns when every check has ended. It is called once.
func (m *Monitor) Run(ctx context.Context) error {
	var checks sync.WaitGroup
	m.mu.Lock()
	m.start = func(c *check, delay time.Duration) func() {
		ctx, stop := context.WithCancel(ctx)
		checks.Go(func() { c.loop(ctx, delay) })
		return stop
	}
	pending := m.pending
	m.pending = nil
	m.launch(pending)
	m.mu.Unlock()

	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
			m.tick(time.Now())
		case <-ctx.Done():
			m.mu.Lock()
			m.start = nil
			m.mu.Unlock()
			checks.Wait()
			return nil
		}
	}
}

// Apply makes set the live configuration: it is called at commit, after [pool.Set.Commit], and cannot fail. Checks of members
// that are gone end, new members get theirs, and an unchanged member keeps its state and its schedule. Changed settings of
// a check begin a new schedule but change no verdict; a pool that has lost its check or its ejection gives back the members
// that these had taken.
func (m *Monitor) Apply(set *pool.Set) {
	var news []change
	now := time.Now()
	m.mu.Lock()
	old, next := *m.states.Load(), map[*pool.Member]*state{}
	var fresh []*check
	m.pools = set.Pools()
	// The smallest pools first: they are not to wait while the checks of a large one are spread.
	bySize := slices.Clone(m.pools)
	size := func(p *pool.Pool) int { return len(p.Config().Members) }
	slices.SortStableFunc(bySize, func(a, b *pool.Pool) int { return cmp.Compare(size(a), size(b)) })
	for _, p := range bySize {
		c := p.Config()
		for _, pm := range p.Members() {
			s := old[pm]
			if s == nil {
				s = &state{pool: p, member: pm, judge: judge{up: true}, since: now}
			}
			next[pm] = s
			if ch := m.recheck(s, c.Check, now, &news); ch != nil {
				fresh = append(fresh, ch)
			}
			if s.ejected() && c.Eject.Errors == 0 && c.Eject.Gateway == 0 {
				news = append(news, m.readmit(s, now))
			}
		}
	}
	for pm, s := range old {
		if next[pm] == nil {
			s.check.end()
			s.check = nil
			m.forget(s)
		}
	}
	m.states.Store(&next)
	m.launch(fresh)
	m.mu.Unlock()
	m.report(news)
}

// recheck brings s's check in line with c and returns it if it is a new one that must be started. mu is held.
func (m *Monitor) recheck(s *state, c *config.Check, now time.Time, news *[]change) *check {
	switch {
	case s.check == nil && c == nil:
		return nil
	case c == nil:
		s.check.end()
		s.check = nil
		if !s.judge.up {
			*news = append(*news, s.turn(true, "it is no longer checked", now))
		}
		s.judge, s.last = judge{up: true}, Result{}
		return nil
	case s.check != nil && reflect.DeepEqual(s.check.cfg, c) && s.check.h2 == speaks2(s.pool, c):
		s.check.cfg = c // let go of the old configuration
		return nil
	}
	s.check.end()
	s.judge.run = 0
	s.check = newCheck(m, s, c)
	return s.check
}

// launch starts checks, spread over time, or keeps them for Run. mu is held.
func (m *Monitor) launch(fresh []*check) {
	if m.start == nil {
		m.pending = append(m.pending, fresh...)
		return
	}
	for i, c := range fresh {
		if c.state.check == c { // a pending one may have been replaced
			c.stop = m.start(c, spread(i, len(fresh), c.cfg.Every))
		}
	}
}

// tick carries out what is due: it is called once a second.
func (m *Monitor) tick(now time.Time) {
	var news []change
	m.mu.Lock()
	for _, s := range *m.states.Load() {
		if s.ejected() && !now.Before(s.ejection.until) {
			news = append(news, m.readmit(s, now))
		}
	}
	pools := m.pools
	m.mu.Unlock()
	m.report(news)
	for _, p := range pools {
		// Not only health begins slow starts: a server that is no longer drained has one too.
		if p.Config().SlowStart > 0 {
			p.Tick(now)
		}
	}
}
