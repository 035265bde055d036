package web

import (
	"encoding/binary"
	"net"
	"os"
	"syscall"
)

// records is what TLS to a member reads from. It gives TLS no byte beyond the record that it reads: crypto/tls would keep what
// came along with an answer to itself, and nobody could tell whether the member has said more, such as that it closes. What
// it holds back is counted in pending.
type records struct {
	net.Conn

	buf  []byte // nil while nothing is pending: idle connections hold no memory
	r, w int
	head [5]byte // of the record: type, version, length of what follows (RFC 8446 section 5.1)
	n    int     // bytes of head that are known
	left int     // bytes behind head
}

const recordsBuffer = 16<<10 + 512 // a record and a little more

func (c *records) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.r == c.w {
		if c.buf == nil {
			c.buf = make([]byte, recordsBuffer)
		}
		n, err := c.Conn.Read(c.buf)
		if n == 0 {
			c.buf = nil
			return 0, err
		}
		c.r, c.w = 0, n
	}
	b := c.buf[c.r:c.w]
	if c.left > 0 {
		n := copy(p, b[:min(len(b), c.left)])
		c.left -= n
		c.taken(n)
		return n, nil
	}
	n := copy(p, b[:min(len(b), len(c.head)-c.n)])
	copy(c.head[c.n:], p[:n])
	c.taken(n)
	if c.n += n; c.n == len(c.head) {
		c.n, c.left = 0, int(binary.BigEndian.Uint16(c.head[3:]))
	}
	return n, nil
}

func (c *records) taken(n int) {
	if c.r += n; c.r == c.w {
		c.buf, c.r, c.w = nil, 0, 0
	}
}

// pending reports whether bytes came that TLS has not read.
func (c *records) pending() bool { return c.r < c.w }

// SyscallConn gives package sock the descriptor.
func (c *records) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, os.ErrInvalid
}
