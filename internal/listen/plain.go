package listen

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// plain is a listener of the net package that a successor can take over.
type plain struct {
	net.Listener

	set    *Set
	name   string // among the sockets of its Set
	closed chan struct{}
	once   sync.Once
	active atomic.Int64 // connections that are open or being accepted
}

// plainConn tells its listener when it is closed.
type plainConn struct {
	net.Conn

	p    *plain
	once sync.Once
}

// Close implements [net.Conn].
func (c *plainConn) Close() error {
	c.once.Do(func() { c.p.active.Add(-1) })
	return c.Conn.Close()
}

// Listen opens a listener for what few visit, such as the admin socket: network is "unix" or "tcp". It has one owner, whose
// Close ends it, and it removes a unix socket's path then, unless a successor has taken it over. What it was given by an elder
// it takes only for the same network and address.
func (s *Set) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &plain{set: s, name: plainKind + network + " " + address, closed: make(chan struct{})}
	var err error
	if f := s.take(p.name); f != nil {
		p.Listener, err = net.FileListener(f) // never removes a path; see Begin
		_ = f.Close()
	} else {
		p.Listener, err = new(net.ListenConfig).Listen(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	s.plains[p.name] = p
	return p, nil
}

// Accept implements [net.Listener]. Before the Set has begun it waits.
func (p *plain) Accept() (net.Conn, error) {
	select {
	case <-p.set.begun:
		p.active.Add(1) // before, so that no moment is left in which a connection is there and not counted
		c, err := p.Listener.Accept()
		if err != nil {
			p.active.Add(-1)
			return nil, err
		}
		return &plainConn{Conn: c, p: p}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *plain) Close() error {
	err := net.ErrClosed
	p.once.Do(func() {
		p.set.mu.Lock()
		delete(p.set.plains, p.name)
		p.set.mu.Unlock()
		close(p.closed)
		err = p.Listener.Close()
	})
	return err
}

// wait waits for the end of the connections of a closed listener, until late.
func (p *plain) wait(late <-chan time.Time) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.active.Load() > 0 {
		select {
		case <-tick.C:
		case <-late:
			return
		}
	}
}

// owned says whether the path of a unix socket is ours to remove.
func (p *plain) owned(yes bool) {
	if l, ok := p.Listener.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(yes)
	}
}
