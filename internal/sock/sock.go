// Package sock makes one connection cheap: it receives without the wasted system call that net.Conn spends before each wait,
// times out many connections with one coarse timer, and notices a client that went away while nobody was reading.
//
// Start at [Conn.Loop]. The trick is called write-then-park: net.Conn's Read first tries to receive, usually in vain, and
// then waits. [syscall.RawConn]'s Read calls a function until it is content and waits in between; only entering it clears the
// poller's readiness, so an edge that comes while the function works is never lost. A whole conversation (receive, serve,
// write the answer, wait for the next request) therefore lives inside one RawConn.Read, and each wait costs nothing but the
// wait.
//
// Rules for whoever works inside Loop:
//
//   - [Conn.Recv] there, never [Conn.Read]: Read wants the lock that Loop holds.
//   - A receive that filled the buffer is followed by another before parking: the edge was for all bytes, not for these.
//   - Writes may be made anywhere: they have a lock of their own, and a short one waits for writability, not for bytes.
//   - Leave Loop for splicing, tunnels and closing: [Conn.Close] waits for Loop to return. Only the owner closes; everybody
//     else calls [Conn.Abort].
//
// Connections that cannot do the trick (TLS, other systems, or on request for tests) take the plain path through net.Conn:
// the same code runs over both, [Conn.Recv] then waits where it would have said [ErrAgain].
package sock

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrAgain says that nothing is there to receive now: return false from Loop's function to wait.
var ErrAgain = errors.New("nothing to receive yet")

// ErrSlow says that the peer takes bytes too slowly.
var ErrSlow = errors.New("the peer takes bytes too slowly")

// expired is the value of due once the deadline has passed or somebody aborted; such a connection can only be closed.
const expired = -1

// stream is what a connection needs of the net or os package.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Conn is one connection with one owner.
//
// On Linux an accepted connection begins without a place in the poller: as long as nothing has to be waited for, all calls go
// to the descriptor. A client that connects, asks and leaves costs no registration at all.
type Conn struct {
	Gone func() // called from another goroutine when the peer reset the connection while Busy; set before the first Busy

	timer  *Timer
	owner  any       // whoever serves the connection, for [Timer.Each]
	fd     int       // -1 if all goes through nc
	tls    *tls.Conn // nc, after Secure
	below  *below    // what tls reads from
	cut    bool      // Reset was called
	remote netip.AddrPort

	nc  atomic.Pointer[stream] // nil before the connection had to wait; all that register sets is there once this is
	raw syscall.RawConn        // nil before that too, and on the plain path
	reg sync.Mutex             // held by register: a reader and a writer may have to wait at the same time

	index int    // in timer's list; guarded by timer.mu
	watch uint64 // id in timer's watch; guarded by timer.mu
	busy  atomic.Int64
	due   atomic.Int64
	limit atomic.Int64 // no deadline is later; 0 is none
	nudge atomic.Bool  // Nudge was called, and Calm not yet
	look  atomic.Int32 // ticks until the timer looks for an end that nobody was told of; 0 is never
	stall stall

	f     func() bool // Loop's function
	step  func(uintptr) bool
	flush func(uintptr) bool

	out  []byte // what flush has to write
	sent int
	werr error
	idle time.Duration // how long a write may wait without progress; 0 is as long as due
	rate int           // bytes a second that are enough progress; 0 is a single byte

	waited time.Duration
}

// Loop calls f until it returns true, waiting for something to receive before each further call. It returns nil then, or
// the error that ended the waiting: os.ErrDeadlineExceeded after the deadline or [Conn.Abort].
func (c *Conn) Loop(f func() bool) error {
	if c.fd < 0 {
		for !f() {
			if c.Expired() {
				return os.ErrDeadlineExceeded
			}
		}
		return nil
	}
	if c.nc.Load() == nil {
		if f() {
			return nil
		}
		if err := c.register(); err != nil {
			return err
		}
	}
	c.f = f
	return c.raw.Read(c.step)
}

func (c *Conn) stepRaw(uintptr) bool { return c.f() }

// register gives the connection its place in the poller, which tells at once what has happened before.
func (c *Conn) register() error {
	if c.nc.Load() != nil {
		return nil
	}
	c.reg.Lock()
	defer c.reg.Unlock()
	if c.nc.Load() != nil {
		return nil
	}
	f := adopt(c.fd)
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	c.raw = raw
	c.step, c.flush = c.stepRaw, c.flushRaw
	var nc stream = f
	c.nc.Store(&nc)
	// Abort and Nudge may have come before there was anything to wake.
	if c.nudge.Load() {
		c.wakeReader()
	}
	if c.Expired() {
		c.wake()
	}
	return nil
}

// Recv receives into p, inside Loop only. It returns io.EOF at the end and ErrAgain if nothing is there.
func (c *Conn) Recv(p []byte) (int, error) {
	if c.fd < 0 {
		n, err := c.stream().Read(p)
		if n > 0 {
			return n, nil
		}
		return 0, err
	}
	if c.tls != nil {
		return c.recvTLS(p)
	}
	n, err := recv(c.fd, p)
	switch {
	case err == syscall.EAGAIN:
		return 0, ErrAgain
	case err != nil:
		return 0, os.NewSyscallError("recv", err)
	case n == 0:
		return 0, io.EOF
	}
	if c.look.Load() != 0 {
		c.look.Store(0)
	}
	return n, nil
}

// Waits reports whether [Conn.Recv] waits where it could say ErrAgain: on the plain path.
func (c *Conn) Waits() bool { return c.fd < 0 }

// Rest says that the owner waits behind a receive that got less than it asked for. The peer's end may have come along with
// those bytes: then it makes no edge of its own, and nobody would see it before the deadline. A second receive would tell, but
// costs each request one; instead the timer looks once at who has rested for a Tick, and nudges if the end is there.
func (c *Conn) Rest() {
	if c.fd >= 0 {
		c.look.Store(2)
	}
}

// unseenEnd is called once a Tick, and reports whether the owner rests beside the peer's end.
func (c *Conn) unseenEnd() bool {
	n := c.look.Load()
	return n > 0 && c.look.CompareAndSwap(n, n-1) && n == 1 && ended(c.fd)
}

// Quiet reports whether the peer has sent nothing, not even its end: only then may an idle connection be used again.
func (c *Conn) Quiet() bool {
	if c.fd >= 0 {
		return quiet(c.fd)
	}
	ok := true // if nothing can be said, the first read will tell
	if !c.control(func(fd int) { ok = quiet(fd) }) {
		return false
	}
	return ok
}

// control calls f with the descriptor, on the plain path too, if there is one. It reports false if the connection is closed.
func (c *Conn) control(f func(fd int)) bool {
	if c.fd >= 0 {
		f(c.fd)
		return true
	}
	s := any(c.stream())
	if t, ok := s.(interface{ NetConn() net.Conn }); ok { // TLS
		s = t.NetConn()
	}
	sc, ok := s.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { f(int(fd)) }) == nil
}

func (c *Conn) stream() stream { return *c.nc.Load() }

// Read reads as net.Conn does, outside Loop only.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.register(); err != nil {
		return 0, err
	}
	return c.stream().Read(p)
}

// Progress lets a write that waits go on for as long as the peer takes rate bytes a second, and at least one in each idle;
// meanwhile what Arm said does not count. An idle of 0 stops that.
func (c *Conn) Progress(idle time.Duration, rate int) { c.idle, c.rate = idle, rate }

// Waited is how long writes have waited for the peer to take what it was sent.
func (c *Conn) Waited() time.Duration { return c.waited }

// Write writes all of p, waiting as long as it must.
func (c *Conn) Write(p []byte) (int, error) {
	switch {
	case c.fd < 0:
		return c.writePlain(p)
	case c.tls != nil:
		return c.tls.Write(p) // which comes back to writeFD
	}
	return c.writeFD(c.fd, p)
}

func (c *Conn) writeFD(fd int, p []byte) (int, error) {
	// Nearly always the socket takes everything. No lock is needed for that: one goroutine writes, and nobody closes before it
	// has ended.
	n, err := write(fd, p)
	if n == len(p) {
		return n, nil
	}
	if err != nil && err != syscall.EAGAIN {
		return 0, os.NewSyscallError("write", err)
	}
	if err := c.register(); err != nil {
		return n, err
	}
	c.out, c.sent, c.werr = p, max(0, n), nil
	c.hold()
	err = c.raw.Write(c.flush)
	c.resume()
	c.out = nil
	if err == nil {
		err = c.werr
	}
	return c.sent, err
}

func (c *Conn) flushRaw(fd uintptr) bool {
	for {
		n, err := write(int(fd), c.out[c.sent:])
		if n > 0 {
			c.sent += n
			if c.sent == len(c.out) {
				return true
			}
			c.moved(n)
			continue
		}
		if err == syscall.EAGAIN {
			return false
		}
		c.werr = os.NewSyscallError("write", err)
		if err == nil {
			c.werr = io.ErrUnexpectedEOF
		}
		return true
	}
}

// writePlain writes in pieces so that progress is seen.
func (c *Conn) writePlain(p []byte) (sent int, err error) {
	c.hold()
	defer c.resume()
	for sent < len(p) {
		n, err := c.stream().Write(p[sent:min(len(p), sent+piece)])
		sent += n
		if err != nil {
			return sent, err
		}
		c.moved(n)
	}
	return sent, nil
}

// Arm gives the connection d from now on; 0 is no limit. It reports false if the connection has expired meanwhile: then
// it must be closed.
func (c *Conn) Arm(d time.Duration) bool {
	next := int64(0)
	if d > 0 {
		next = c.timer.now.Load() + int64(d)
	}
	next = c.clip(next)
	for {
		old := c.due.Load()
		if old == expired {
			return false
		}
		if c.due.CompareAndSwap(old, next) {
			return true
		}
	}
}

// Ceiling makes no later deadline possible than d from now; 0 takes that back. It counts from the next Arm.
func (c *Conn) Ceiling(d time.Duration) {
	limit := int64(0)
	if d > 0 {
		limit = c.timer.now.Load() + int64(d)
	}
	c.limit.Store(limit)
}

// clip makes a deadline no later than the ceiling.
func (c *Conn) clip(next int64) int64 {
	if limit := c.limit.Load(); limit > 0 && (next == 0 || next > limit) {
		return limit
	}
	return next
}

// Expired reports whether the deadline passed or somebody aborted.
func (c *Conn) Expired() bool { return c.due.Load() == expired }

// Abort ends all waiting on the connection, now and later. Anybody may call it as long as the owner has not closed.
func (c *Conn) Abort() {
	if c.due.Swap(expired) != expired {
		c.wake()
	}
}

// Drop is Abort for a connection whose peer cannot be reached any more: the kernel forgets it at once, instead of trying for
// minutes to say goodbye. It is called from [Timer.Each].
func (c *Conn) Drop() {
	c.control(func(fd int) { _ = linger0(fd) })
	c.Abort()
}

// Nudge wakes whoever waits to receive with os.ErrDeadlineExceeded, without ending the connection: nobody can receive before
// the owner calls [Conn.Calm]. Who is not waiting finds out when it would; writes are not disturbed.
func (c *Conn) Nudge() {
	c.nudge.Store(true)
	c.wakeReader()
}

// Calm lets the owner wait again after a nudge. It reports false if the connection has expired meanwhile.
func (c *Conn) Calm() bool {
	c.nudge.Store(false)
	if nc := c.nc.Load(); nc != nil {
		_ = (*nc).SetReadDeadline(time.Time{})
	}
	if c.Expired() {
		c.wake()
		return false
	}
	return true
}

// Revive gives the owner of an expired connection d more for parting words. The connection must be closed all the same.
func (c *Conn) Revive(d time.Duration) bool {
	return c.register() == nil && c.stream().SetDeadline(time.Now().Add(d)) == nil
}

func (c *Conn) wake() {
	if nc := c.nc.Load(); nc != nil {
		_ = (*nc).SetDeadline(time.Unix(1, 0))
	}
}

func (c *Conn) wakeReader() {
	if nc := c.nc.Load(); nc != nil {
		_ = (*nc).SetReadDeadline(time.Unix(1, 0))
	}
}

// Busy tells the timer whether the owner waits for somebody else while the peer should stay: only then is it watched.
func (c *Conn) Busy(on bool) {
	if on {
		c.busy.Store(c.timer.now.Load())
	} else {
		c.busy.Store(0)
	}
}

// Close closes the connection. Only the owner calls it, once, outside Loop.
func (c *Conn) Close() error {
	c.timer.remove(c)
	if c.cut && c.tls != nil {
		return c.below.Close() // a close_notify would say that all was sent (RFC 8446 section 6.1)
	}
	if nc := c.nc.Load(); nc != nil {
		return (*nc).Close()
	}
	return closeFD(c.fd)
}

// CloseWrite sends the end, if the connection knows how.
func (c *Conn) CloseWrite() (err error) {
	if c.fd < 0 || c.tls != nil {
		if w, ok := c.stream().(interface{ CloseWrite() error }); ok { // TLS says it in its own words first
			return w.CloseWrite()
		}
	}
	c.control(func(fd int) { err = closeWrite(fd) })
	return err
}

// Reset makes Close drop the connection at once, so that the peer cannot take what it has for all. Only the owner calls it.
func (c *Conn) Reset() {
	c.cut = true
	c.control(func(fd int) { _ = linger0(fd) })
}

// Remote is the peer's address. IPv4 addresses are never in IPv6 form.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
