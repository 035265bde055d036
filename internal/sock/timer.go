package sock

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Tick is how coarse deadlines are. They are not early, except by as much as an overloaded machine lets the timer itself be
// late.
const Tick = 100 * time.Millisecond

// patience is how long an owner is busy before its peer is watched: quick work never pays for the watch.
const patience = 2 * Tick

// Timer looks at all its connections once a Tick: one comparison for each instead of a timer operation for each read.
type Timer struct {
	Plain bool // every connection takes the plain path; set before the first Wrap

	now   atomic.Int64
	base  time.Time
	pipes pipes

	mu    sync.Mutex // guards what follows
	conns []*Conn
	watch watch
}

// NewTimer returns a Timer that needs [Timer.Run] to move.
func NewTimer() *Timer {
	t := &Timer{base: time.Now()}
	t.now.Store(1) // 0 means no deadline
	return t
}

// Run ends connections whose time is up until ctx ends.
func (t *Timer) Run(ctx context.Context) {
	watching, err := t.watch.open()
	if err == nil {
		defer watching.Close()
		go watching.run()
	}
	defer t.pipes.close()
	tick := time.NewTicker(Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.sweep()
		}
	}
}

// sweep ends what is due and begins to watch the peers of those that have been busy for long.
func (t *Timer) sweep() {
	now := int64(time.Since(t.base)) + 1
	// Deadlines are made from the time of the last sweep; a whole tick is added here so that none is early while sweeps come on time.
	t.now.Store(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		if end := c.stall.end.Load(); end > 0 {
			if c.stalled(now, end) {
				c.Abort()
			}
		} else if d := c.due.Load(); d > 0 && now > d+int64(Tick) && c.due.CompareAndSwap(d, expired) {
			c.wake()
		}
		if c.unseenEnd() {
			c.Nudge()
		}
		if b := c.busy.Load(); b > 0 && c.watch == 0 && c.Gone != nil && now-b > int64(patience) {
			t.watch.add(c)
		}
	}
}

// Wrap takes a connection over for owner, which may be nil.
func (t *Timer) Wrap(nc net.Conn, owner any) *Conn {
	c := &Conn{timer: t, owner: owner, fd: -1, remote: addrPort(nc.RemoteAddr())}
	s := stream(nc)
	c.nc.Store(&s)
	if sc, ok := nc.(syscall.Conn); ok && !t.Plain && fast {
		raw, err := sc.SyscallConn()
		if err == nil && raw.Control(func(fd uintptr) { c.fd = int(fd) }) == nil {
			c.raw = raw
			c.step, c.flush = c.stepRaw, c.flushRaw
		}
	}
	t.add(c)
	return c
}

// Take takes over the descriptor of a connected, non-blocking socket.
func (t *Timer) Take(fd int, remote netip.AddrPort, owner any) *Conn {
	c := &Conn{timer: t, owner: owner, fd: fd, remote: remote}
	if t.Plain {
		s := stream(adopt(fd))
		c.nc.Store(&s)
		c.fd = -1
	}
	t.add(c)
	return c
}

func (t *Timer) add(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.index = len(t.conns)
	t.conns = append(t.conns, c)
}

func (t *Timer) remove(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.conns) - 1
	t.conns[c.index] = t.conns[last]
	t.conns[c.index].index = c.index
	t.conns[last] = nil
	t.conns = t.conns[:last]
	if c.watch != 0 {
		t.watch.remove(c)
	}
}

// Now is the coarse time: nanoseconds since the Timer was made, as of the last Tick.
func (t *Timer) Now() time.Duration { return time.Duration(t.now.Load()) }

// Each calls f with each connection that has an owner. f must not open or close any.
func (t *Timer) Each(f func(c *Conn, owner any)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		if c.owner != nil {
			f(c, c.owner)
		}
	}
}

// AbortAll aborts every connection.
func (t *Timer) AbortAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		c.Abort()
	}
}

// Len is the number of open connections.
func (t *Timer) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}
