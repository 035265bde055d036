package http2

import (
	"os"
	"time"
)

// One timer serves a whole connection: whoever waits writes down until when, and only the earliest of them touches the timer.
// When it fires it looks at everybody. So a wait costs no timer, a request that does not wait not even a look at the clock.

// now is nanoseconds since the connection began, and never 0.
func (c *Conn) now() int64 { return int64(time.Since(c.begun)) + 1 }

// after is the time d from now, which the clock will not miss; 0 if d is. Called with mu held.
func (c *Conn) after(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	now := c.now()
	at := now + int64(d)
	c.wind(at, now)
	return at
}

func (c *Conn) wind(at, now int64) {
	if c.over || c.clockAt != 0 && c.clockAt <= at {
		return
	}
	c.clockAt = at
	if c.clock == nil {
		c.clock = time.AfterFunc(time.Duration(at-now), c.tick)
		return
	}
	c.clock.Reset(time.Duration(at - now))
}

func (c *Conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.clockAt == 0 || c.clockAt > now { // it was wound to be later meanwhile
		if c.clockAt > now {
			at := c.clockAt
			c.clockAt = 0
			c.wind(at, now)
		}
		return
	}
	c.clockAt = 0
	next := int64(0)
	passed := func(at *int64) bool {
		if *at == 0 {
			return false
		}
		if *at <= now {
			*at = 0
			return true
		}
		if next == 0 || *at < next {
			next = *at
		}
		return false
	}
	if passed(&c.due.words) {
		c.t.Abort()
	}
	if !c.closed {
		if passed(&c.due.header) && c.fatal == nil {
			c.cfg.Stats.CutHeader.Add(1)
			c.fail(&ConnError{CodeNo, os.ErrDeadlineExceeded.Error() + " before SETTINGS or the end of a header block"})
		}
		if passed(&c.due.ping) {
			c.farewell()
		}
		if passed(&c.due.idle) && len(c.streams) == 0 && c.leaving != left {
			c.cfg.Stats.CutIdle.Add(1)
			c.farewell()
		}
		for _, s := range c.streams {
			if s.receiving && passed(&s.recvDue) {
				s.late = true
				s.recv.Broadcast()
			}
			if s.starving && passed(&s.sendDue) {
				s.stalled()
			}
		}
	}
	if next != 0 {
		c.wind(next, now)
	}
}
