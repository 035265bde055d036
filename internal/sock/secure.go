package sock

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Secure makes the connection speak TLS, as the server, from the next byte on. What was received before stays received. The
// caller then completes the handshake on the returned connection; [Conn.Read] and [Conn.Write] go through it. Only the owner
// calls it, outside Loop and before the first [Conn.Busy].
func (c *Conn) Secure(config *tls.Config) (*tls.Conn, error) {
	if err := c.register(); err != nil {
		return nil, err
	}
	b := &below{c: c, fd: c.fd, stream: c.stream()}
	b.step = b.stepRead
	t := tls.Server(b, config)
	var nc stream = t
	c.fd = -1
	c.secure = c.raw != nil
	c.nc.Store(&nc)
	// An abort that came between the two had no TLS to wake, only what is below it; that is the same descriptor.
	if c.Expired() {
		c.wake()
	}
	return t, nil
}

// below is what TLS reads from and writes to: the descriptor, by the same cheap calls as without TLS. It is only used where
// crypto/tls allows: one reader, and one writer at a time.
type below struct {
	c      *Conn
	fd     int // -1 on the plain path
	stream stream

	step func(uintptr) bool
	p    []byte
	n    int
	err  error
}

func (b *below) Read(p []byte) (int, error) {
	if b.fd < 0 {
		return b.stream.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	b.p, b.n, b.err = p, 0, nil
	err := b.c.raw.Read(b.step)
	b.p = nil
	if err != nil {
		return 0, err // the poller's own error, which crypto/tls knows to be temporary if it is a deadline's
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.n == 0 {
		return 0, io.EOF
	}
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
	var a net.Addr = &net.TCPAddr{}
	if n, ok := b.stream.(net.Conn); ok {
		return n.LocalAddr()
	}
	if b.fd >= 0 {
		a = localAddr(b.fd)
	}
	return a
}

// SyscallConn gives [Conn.control] the descriptor.
func (b *below) SyscallConn() (syscall.RawConn, error) {
	if s, ok := b.stream.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, os.ErrInvalid
}
