package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const originCommand = "origin-process"

// origin is the site behind every proxy: GET /1m answers 1 MiB, every other path the small answer. One thread, answers
// made beforehand; it costs a fraction of what any proxy costs, so it is not what limits a measurement.
type origin struct {
	poll         *poller
	listener     int
	port         int
	small, large []byte
	scripted     []byte        // to FastCGI
	conns        []*originConn // by descriptor
	in           []byte        // what one receive brought, when nothing is left over from an earlier one
}

// originConn is one connection from a proxy. It holds a buffer only while a request is incomplete: 10,000 members are
// 10,000 of these.
type originConn struct {
	head []byte // an incomplete request
	out  []byte // what is left of an answer
	last bool   // close after it
}

const maxHead = 16 << 10

// newOrigin listens on a port of the kernel's choice, on every address: the members of the scenarios with many of them are
// 127.0.x.y, which a socket bound to 127.0.0.1 would not receive. Peers from elsewhere are turned away by accept.
func newOrigin() (*origin, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open origin socket: %w", err)
	}
	o := &origin{listener: fd, small: answer(smallSize), large: answer(largeSize), scripted: scriptAnswer(smallSize), in: make([]byte, maxHead)}
	fail := func(err error) (*origin, error) {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen as origin: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		return fail(err)
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return fail(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fail(err)
	}
	o.port = name.(*unix.SockaddrInet4).Port
	if o.poll, err = newPoller(); err != nil {
		return fail(err)
	}
	if err := o.poll.add(fd, fd); err != nil {
		o.poll.close()
		return fail(err)
	}
	return o, nil
}

// run answers until the stream at descriptor until ends, or something breaks.
func (o *origin) run(until int) error {
	if err := o.poll.add(until, until); err != nil {
		return err
	}
	for {
		events, err := o.poll.wait(-1)
		if err != nil {
			return err
		}
		for _, e := range events {
			fd := int(e.Fd)
			if fd == until {
				return nil
			}
			if fd == o.listener {
				if err := o.accept(); err != nil {
					return err
				}
				continue
			}
			c := o.conns[fd]
			if c == nil {
				continue // closed by an earlier event of this batch
			}
			if err := o.serve(fd, c); err != nil && !errors.Is(err, errAgain) {
				o.conns[fd] = nil
				_ = unix.Close(fd)
			}
		}
	}
}

// accept takes every connection that waits, since an edge is told once.
func (o *origin) accept() error {
	for {
		fd, peer, err := unix.Accept4(o.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if from, ok := peer.(*unix.SockaddrInet4); !ok || from.Addr[0] != 127 {
			_ = unix.Close(fd)
			continue
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		for len(o.conns) <= fd {
			o.conns = append(o.conns, make([]*originConn, 1024)...)
		}
		o.conns[fd] = &originConn{}
		if err := o.poll.add(fd, fd); err != nil {
			return err
		}
	}
}

// serve goes on with one connection until it would block, which is errAgain, or has ended, which is any other error.
func (o *origin) serve(fd int, c *originConn) error {
	for {
		for len(c.out) > 0 {
			n, err := send(fd, c.out)
			if err != nil {
				return err
			}
			c.out = c.out[n:]
		}
		if c.last {
			return io.EOF
		}
		n, err := receive(fd, o.in, 0)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.EOF
		}
		if err := o.answer(c, o.in[:n]); err != nil {
			return err
		}
	}
}

// answer reads one request out of what came. A proxy does not send the next one before it has the answer, so bytes behind
// a request are an error here.
func (o *origin) answer(c *originConn, in []byte) error {
	if len(c.head) > 0 {
		c.head = append(c.head, in...)
		in = c.head
	}
	if in[0] == 1 { // no method begins so: it is FastCGI
		return o.script(c, in)
	}
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		if len(in) > maxHead {
			return errors.New("request too long")
		}
		if len(c.head) == 0 {
			c.head = bytes.Clone(in)
		}
		return nil
	}
	if end+4 != len(in) || !bytes.HasPrefix(in, []byte("GET /")) {
		return errors.New("request that the origin does not serve")
	}
	c.out = o.small
	if bytes.HasPrefix(in[len("GET "):], []byte(largePath+" ")) {
		c.out = o.large
	}
	c.last = bytes.Contains(in, []byte("\r\nConnection: close\r\n")) || bytes.Contains(in, []byte("\r\nconnection: close\r\n"))
	c.head = nil
	return nil
}

func (o *origin) close() {
	for fd, c := range o.conns {
		if c != nil {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Close(o.listener)
	o.poll.close()
}

// originMain is the origin's process: it prints its port and answers until standard input ends, which also happens when
// the harness is killed.
func originMain(in *os.File, out io.Writer) error {
	own()
	o, err := newOrigin()
	if err != nil {
		return err
	}
	defer o.close()
	if _, err := fmt.Fprintln(out, o.port); err != nil {
		return fmt.Errorf("tell port: %w", err)
	}
	return o.run(int(in.Fd()))
}
