package sock

import (
	"math"
	"sync/atomic"
	"time"
)

// stall is the state of a write that waits.
//
// A slow but honest reader must not be cut off, and one who has stopped must be. "The socket took more" is too coarse a sign
// of life: the kernel wakes a writer only when a third of the send buffer is free again, which may be a megabyte. What counts
// is what the peer's machine has acknowledged: the bytes that the socket took less those that still lie in it (SIOCOUTQ,
// tcp(7)). The timer looks at that only when a write has waited for all of its time, so that it costs nothing else; one who
// stops is therefore cut off after at least that time, and at most twice as long.
type stall struct {
	end   atomic.Int64 // when the write gives up; 0 if none waits
	grace atomic.Int64 // the Conn's idle when the write began
	least atomic.Int64 // bytes that are progress within grace
	taken atomic.Int64 // bytes that the socket took from writes that waited
	mark  atomic.Int64 // taken less what lay in the socket at the last look; unseen before the first
	began time.Time    // of the writer
}

const unseen = math.MinInt64

// piece is how much a plain write gives to the socket at a time.
const piece = 16 << 10

// hold is called before a write that may wait.
func (c *Conn) hold() {
	s := &c.stall
	s.began = time.Now()
	if c.idle == 0 {
		return
	}
	s.grace.Store(int64(c.idle))
	s.least.Store(max(1, int64(float64(c.rate)*c.idle.Seconds())))
	s.mark.Store(unseen)
	s.end.Store(c.clip(c.timer.now.Load() + int64(c.idle)))
}

// moved is called when the socket took n bytes.
func (c *Conn) moved(n int) {
	s := &c.stall
	s.taken.Add(int64(n))
	if s.end.Load() > 0 {
		s.end.Store(c.clip(c.timer.now.Load() + s.grace.Load()))
	}
}

// resume is called when the write has ended. The time that it took does not count for the deadline that it stood in for.
func (c *Conn) resume() {
	took := time.Since(c.stall.began)
	c.waited += took
	if c.idle == 0 {
		return
	}
	if d := c.due.Load(); d > 0 {
		c.due.CompareAndSwap(d, c.clip(d+int64(took)))
	}
	c.stall.end.Store(0)
}

// stalled reports whether a write waits that should give up. Only the timer calls it, with its mu held: the connection cannot
// be closed meanwhile.
func (c *Conn) stalled(now, end int64) bool {
	s := &c.stall
	late := now > end+int64(Tick)
	mark := s.mark.Load()
	if !late && mark != unseen {
		return false
	}
	seen := s.taken.Load() - c.inSocket()
	s.mark.CompareAndSwap(mark, seen)
	if !late || mark == unseen {
		return false
	}
	slack := int64(0)
	if c.fd < 0 {
		slack = piece // what a plain write has put into the socket so far, it tells at its end
	}
	limit := c.limit.Load()
	if seen == mark || seen+slack-mark < s.least.Load() || limit > 0 && now > limit+int64(Tick) {
		return true
	}
	s.end.CompareAndSwap(end, c.clip(now+s.grace.Load()))
	return false
}

// inSocket is how many bytes were written that the peer has not acknowledged; 0 if that cannot be known.
func (c *Conn) inSocket() (n int64) {
	c.control(func(fd int) { n = unacknowledged(fd) })
	return n
}
