package sock

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Secure makes the connection speak TLS, as the server, from the next byte on. What was received before stays received. The
// caller then completes it with [Conn.Handshake]; [Conn.Recv], [Conn.Read] and [Conn.Write] go through it.
// Only the owner calls it, outside Loop and before the first [Conn.Busy].
//
// TLS can write and then park, too: crypto/tls keeps what it has of a record when the connection below says that there is no
// more for now, as long as that is an error of the temporary kind, and goes on where it was at the next Read.
func (c *Conn) Secure(config *tls.Config) (*tls.Conn, error) {
	if err := c.register(); err != nil {
		return nil, err
	}
	b := &below{c: c, fd: c.fd, stream: c.stream()}
	b.step = b.stepRead
	t := tls.Server(b, config)
	var nc stream = t
	c.tls, c.below = t, b
	c.nc.Store(&nc)
	// An abort that came between the two had no TLS to wake, only what is below it; that is the same descriptor.
	if c.Expired() {
		c.wake()
	}
	return t, nil
}

// Handshake completes Secure. A nudge is for those who rest: a handshake that the peer has begun goes on, since crypto/tls
// could not take it up again, and a request may come with its last flight.
func (c *Conn) Handshake() error {
	c.below.shaking = true
	err := c.tls.Handshake()
	c.below.shaking = false
	return err
}

// Insecure takes Secure back after a handshake that has failed: what follows goes by without TLS. An alert tells the peer why,
// and arrives only if what the peer has sent meanwhile is received before the connection is closed.
func (c *Conn) Insecure() {
	if c.below != nil {
		c.nc.Store(&c.below.stream)
		c.tls, c.below = nil, nil
	}
}

// recvTLS is Recv over TLS.
func (c *Conn) recvTLS(p []byte) (int, error) {
	b := c.below
	b.inLoop = true
	n, err := c.tls.Read(p)
	b.inLoop = false
	switch {
	case n > 0:
		if c.look.Load() != 0 {
			c.look.Store(0)
		}
		if n < len(p) {
			b.records.taken++
		}
		return n, nil
	case err == errWait:
		b.records.taken = b.records.complete
		return 0, ErrAgain
	}
	return 0, err
}

// Drained reports whether nothing is known to be left behind a receive that got less than it asked for: over TLS one receive
// brings one record, and more of them may have come by one system call.
func (c *Conn) Drained() bool {
	return c.tls == nil || c.fd < 0 || c.below.records.left == 0 && c.below.records.taken == c.below.records.complete
}

// records follows the records of TLS through the bytes that were received. RFC 8446 section 5.1:
//
//	type | legacy version (16) | length (16) | fragment
type records struct {
	head     [5]byte
	have     int // bytes of head
	left     int // bytes of the record that are still to come; of a head that has begun at least 1
	complete int // records that came whole
	taken    int // of them, what crypto/tls has given us; too few while others than data come
}

func (r *records) received(p []byte) {
	for len(p) > 0 {
		if r.have < len(r.head) {
			n := copy(r.head[r.have:], p)
			r.have += n
			p = p[n:]
			if r.left = 1; r.have < len(r.head) {
				return
			}
			r.left = int(r.head[3])<<8 | int(r.head[4])
		}
		n := min(r.left, len(p))
		r.left -= n
		p = p[n:]
		if r.left == 0 {
			r.have = 0
			r.complete++
		}
	}
}

// errWait is how below says that nothing is there to receive.
var errWait net.Error = wait{}

type wait struct{}

func (wait) Error() string   { return ErrAgain.Error() }
func (wait) Timeout() bool   { return true }
func (wait) Temporary() bool { return true } // crypto/tls asks this one

// below is what TLS reads from and writes to: the descriptor, by the same cheap calls as without TLS. It is only used where
// crypto/tls allows: one reader, and one writer at a time.
type below struct {
	c      *Conn
	fd     int // -1 on the plain path
	stream stream

	inLoop  bool // Recv: say errWait instead of waiting
	shaking bool // in Handshake
	begun   bool // something was received
	records records

	step func(uintptr) bool
	p    []byte
	n    int
	err  error
}

func (b *below) Read(p []byte) (int, error) {
	n, err := b.read(p)
	for b.shaking && b.begun && errors.Is(err, os.ErrDeadlineExceeded) && b.c.nudge.Load() && b.c.Calm() {
		n, err = b.read(p)
	}
	if n > 0 {
		b.begun = true
	}
	return n, err
}

func (b *below) read(p []byte) (int, error) {
	if b.fd < 0 {
		n, err := b.stream.Read(p)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = os.ErrDeadlineExceeded // without a file's name around it, so that crypto/tls knows it to be temporary
		}
		return n, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	b.p, b.n, b.err = p, 0, nil
	if b.inLoop {
		if !b.stepRead(0) {
			return 0, errWait
		}
	} else if err := b.c.raw.Read(b.step); err != nil {
		return 0, err // the poller's own error, which crypto/tls knows to be temporary if it is a deadline's
	}
	b.p = nil
	if b.err != nil {
		return 0, b.err
	}
	if b.n == 0 {
		return 0, io.EOF
	}
	b.records.received(p[:b.n])
	return b.n, nil
}

func (b *below) stepRead(uintptr) bool {
	n, err := recv(b.fd, b.p)
	if err == syscall.EAGAIN {
		return false
	}
	b.n, b.err = n, nil
	if err != nil {
		b.n, b.err = 0, os.NewSyscallError("recv", err)
	}
	return true
}

func (b *below) Write(p []byte) (int, error) {
	if b.fd < 0 {
		return b.stream.Write(p)
	}
	return b.c.writeFD(b.fd, p)
}

func (b *below) Close() error                       { return b.stream.Close() }
func (b *below) SetDeadline(t time.Time) error      { return b.stream.SetDeadline(t) }
func (b *below) SetReadDeadline(t time.Time) error  { return b.stream.SetReadDeadline(t) }
func (b *below) SetWriteDeadline(t time.Time) error { return b.stream.SetWriteDeadline(t) }
func (b *below) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(b.c.remote) }

// LocalAddr is asked for rarely, by those who choose a certificate by it.
func (b *below) LocalAddr() net.Addr {
	if n, ok := b.stream.(net.Conn); ok {
		return n.LocalAddr()
	}
	return net.TCPAddrFromAddrPort(b.c.Local())
}

// SyscallConn gives [Conn.control] the descriptor.
func (b *below) SyscallConn() (syscall.RawConn, error) {
	if s, ok := b.stream.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, os.ErrInvalid
}
