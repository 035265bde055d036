package main

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// client is one client connection. It has at most one request under way.
type client struct {
	fd      int
	id      int    // its place in the driver's list and in the epoll set
	out     []byte // what is left of the request
	in      []byte // the head of the answer, and the body when it fits
	n       int    // bytes in in
	need    int    // bytes of the body still to come, -1 before the head is complete
	start   int64  // when the request was due (open loop) or sent (closed loop)
	busy    bool   // a request is under way
	parting bool   // answered, and waits for the proxy to close
	checked bool   // one whole body was compared; later long ones are counted
}

// dial starts to connect; bytes may be sent at once and wait for the connection. The source address from, if any, leaves
// the port to connect(2): only then may connections to different targets share it.
func (c *client) dial(to, from *unix.SockaddrInet4) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	c.fd, c.n, c.need, c.busy, c.parting, c.out = fd, 0, -1, false, false, nil
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if from != nil {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, from); err != nil {
			return fmt.Errorf("bind source address: %w", err)
		}
	}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

func (c *client) close() {
	if c.fd > 0 {
		_ = unix.Close(c.fd)
		c.fd = 0
	}
}

// ask starts a request.
func (c *client) ask(request []byte, start int64) error {
	c.out, c.n, c.need, c.start, c.busy = request, 0, -1, start, true
	return c.flush()
}

// flush sends what is left of the request; that the connection is not made yet is no error.
func (c *client) flush() error {
	for len(c.out) > 0 {
		n, err := send(c.fd, c.out)
		if errors.Is(err, errAgain) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send request: %w", err)
		}
		c.out = c.out[n:]
	}
	return nil
}

var errClosed = errors.New("connection closed before the answer was complete")

// proceed takes what has come and says whether the answer is complete. Scratch is a large buffer that all share; want is
// the body that must come.
func (c *client) proceed(want, scratch []byte) (done bool, err error) {
	if err := c.flush(); err != nil {
		return false, err
	}
	for {
		if c.need < 0 {
			err = c.readHead(want)
		} else {
			err = c.readBody(want, scratch)
		}
		if errors.Is(err, errAgain) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if c.need == 0 {
			c.busy, c.checked = false, true
			return true, nil
		}
	}
}

// readHead receives into the connection's buffer, and compares the part of the body that came with the head: all of it,
// for the small answer.
func (c *client) readHead(want []byte) error {
	if c.n == len(c.in) {
		return errors.New("answer with too long a head")
	}
	n, err := receive(c.fd, c.in[c.n:], 0)
	if err != nil {
		return received(err)
	}
	if n == 0 {
		return errClosed
	}
	c.n += n
	end := bytes.Index(c.in[:c.n], []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	length, err := checkHead(c.in[:end+2])
	if err != nil {
		return err
	}
	if length != len(want) {
		return fmt.Errorf("answer of %d bytes, want %d", length, len(want))
	}
	if !bytes.HasPrefix(want, c.in[end+4:c.n]) {
		return errors.New("answer with another body")
	}
	c.need = length - (c.n - end - 4)
	return nil
}

// readBody takes the rest of a long body. The first on a connection is compared; of the others the kernel counts the bytes
// and drops them without a copy (MSG_TRUNC, tcp(7)), so that the driver keeps up with a proxy that splices.
func (c *client) readBody(want, scratch []byte) error {
	flags := unix.MSG_TRUNC
	if !c.checked {
		flags = 0
	}
	n, err := receive(c.fd, scratch[:min(c.need, len(scratch))], flags)
	if err != nil {
		return received(err)
	}
	if n == 0 {
		return errClosed
	}
	if at := len(want) - c.need; !c.checked && !bytes.Equal(want[at:at+n], scratch[:n]) {
		return errors.New("answer with another body")
	}
	c.need -= n
	return nil
}

// ended says whether the proxy has closed a connection on which nothing is due. Bytes are an error.
func (c *client) ended(scratch []byte) (bool, error) {
	n, err := receive(c.fd, scratch, 0)
	switch {
	case errors.Is(err, errAgain):
		return false, nil
	case err != nil:
		return true, received(err)
	case n > 0:
		return false, errors.New("bytes after the answer")
	}
	return true, nil
}

func received(err error) error {
	if errors.Is(err, errAgain) {
		return err
	}
	return fmt.Errorf("receive answer: %w", err)
}
