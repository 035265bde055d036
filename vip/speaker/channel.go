package speaker

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Channel is one end of the pair of sockets between the parent and the speaker. Each packet is one message.
type Channel interface {
	// Receive blocks for the next packet. Any error is the end of the other side.
	Receive(b []byte) (n int, err error)
	// Send blocks while the other side does not read.
	Send(b []byte) error
	// Close ends both, and what waits in them.
	Close() error
}

// maxMessage is the largest message in bytes: a status of some hundred instances.
const maxMessage = 1 << 20

// NewChannel makes a channel of its file, which may be closed afterwards. An error says that the file is no such socket.
func NewChannel(f *os.File) (Channel, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open the speaker's channel: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok || u.LocalAddr().Network() != "unixpacket" {
		c.Close()
		return nil, fmt.Errorf("open the speaker's channel: a socket of %s is none", c.LocalAddr().Network())
	}
	// A packet must fit into the buffer as a whole. The kernel gives what its limit allows (net.core.wmem_max).
	_ = u.SetWriteBuffer(maxMessage)
	return &socket{u}, nil
}

type socket struct{ conn *net.UnixConn }

func (s *socket) Receive(b []byte) (int, error) {
	n, _, flags, _, err := s.conn.ReadMsgUnix(b, nil)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	case flags&syscall.MSG_TRUNC != 0:
		return 0, fmt.Errorf("message of more than %d bytes", len(b))
	}
	return n, nil
}

func (s *socket) Send(b []byte) error {
	if len(b) == 0 || len(b) > maxMessage { // nothing would be taken for the end
		return fmt.Errorf("send %d bytes: %w", len(b), syscall.EMSGSIZE)
	}
	_, err := s.conn.Write(b)
	return err
}

func (s *socket) Close() error { return s.conn.Close() }
