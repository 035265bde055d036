package listen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Elder is the heir's side of a handover; see handover.go.
type Elder struct {
	conn *net.UnixConn
}

// Bounds of what an heir takes, so that a descriptor which is no elder's ends in an error.
const (
	inheritTime = 30 * time.Second
	maxSockets  = 1 << 16
)

// errElder says what to do about an environment that promises an elder where there is none.
var errElder = errors.New("the descriptor that SKEIN_UPGRADE names is not that of a skein which is being upgraded\nhint: unset SKEIN_UPGRADE")

// Inherit takes the sockets of the elder at the other end of a descriptor of [Pair]. The Set opens those that are asked for
// again, and begins with [Set.Begin]; until then nobody is accepted and no packet is read.
func Inherit(fd int) (*Set, *Elder, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "elder")
	if f == nil {
		return nil, nil, errElder
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, nil, errElder
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, nil, errElder
	}
	s, err := inherit(u)
	if err != nil {
		_ = u.Close()
		return nil, nil, fmt.Errorf("take sockets over: %w", err)
	}
	return s, &Elder{u}, nil
}

func inherit(c *net.UnixConn) (set *Set, err error) {
	if err := c.SetReadDeadline(time.Now().Add(inheritTime)); err != nil {
		return nil, err
	}
	hello, _, err := hear(c)
	switch {
	case err != nil:
		return nil, err
	case hello.Kind != helloKind || hello.Version != handoverVersion || len(hello.Key) != len(Set{}.key):
		return nil, fmt.Errorf("the running process offers them in another way (version %d, want %d)\nhint: restart skein once instead of upgrading it in place", hello.Version, handoverVersion)
	}
	s := newSet([32]byte(hello.Key), 0)
	defer func() {
		if err != nil {
			s.Discard()
		}
	}()
	taken := map[byte]bool{hello.Generation: true}
	for range maxSockets {
		m, f, err := hear(c)
		if err != nil {
			return nil, err
		}
		if m.Kind == endKind {
			generation := hello.Generation + 1
			for taken[generation] {
				if generation++; generation == hello.Generation {
					return nil, errors.New("255 processes still finish their connections\nhint: lower timeouts { drain }")
				}
			}
			s.ids = newIDs(s.key, generation)
			return s, c.SetReadDeadline(time.Time{})
		}
		if f == nil {
			return nil, fmt.Errorf("%s %s came without a descriptor", m.Kind, m.Address)
		}
		switch m.Kind {
		case routeKind:
			taken[m.Generation] = true
			s.routes[m.Address] = append(s.routes[m.Address], inheritedRoute{m.Generation, f})
		case tcpKind, udpKind:
			s.keep(m.Kind+" "+m.Address, f)
		default:
			s.keep(m.Kind, f)
		}
	}
	return nil, fmt.Errorf("more than %d", maxSockets)
}

// inheritedRoute is the way to an elder, before somebody opens its UDP socket.
type inheritedRoute struct {
	generation byte
	f          *os.File
}

// keep holds a socket until it is asked for. mu is held, or nobody else has s yet.
func (s *Set) keep(name string, f *os.File) {
	if old := s.inherited[name]; old != nil {
		_ = old.Close()
	}
	s.inherited[name] = f
}

// take returns a socket of the elder's, nil without one. mu is held.
func (s *Set) take(name string) *os.File {
	f := s.inherited[name]
	delete(s.inherited, name)
	return f
}

// Ready tells the elder that this process could begin.
func (e *Elder) Ready() error { return tell(e.conn, message{Kind: readyKind}, nil) }

// Wait waits until the elder has let go, or has died. It returns an error only when ctx ends before.
func (e *Elder) Wait(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = e.conn.SetReadDeadline(time.Unix(1, 0)) })()
	defer e.Close()
	if _, _, err := hear(e.conn); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// Close ends the conversation. To an elder that was not told Ready it says that the upgrade has failed.
func (e *Elder) Close() { _ = e.conn.Close() }

// Begin lets accept and read, and closes what the elder had and nobody here has asked for.
func (s *Set) Begin() {
	s.Discard()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.plains {
		p.owned(true)
	}
	close(s.begun)
}

// Discard closes what the elder had and nobody here has asked for.
func (s *Set) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.inherited {
		_ = f.Close()
	}
	clear(s.inherited)
	for _, routes := range s.routes {
		for _, r := range routes {
			_ = r.f.Close()
		}
	}
	clear(s.routes)
}

// hear reads a message and the descriptor with it, nil without one. io.EOF is the end of the other process.
func hear(c *net.UnixConn) (m message, f *os.File, err error) {
	b, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return message{}, nil, err
	}
	if n == 0 {
		return message{}, nil, io.EOF
	}
	if f, err = descriptor(oob[:oobn]); err != nil {
		return message{}, nil, err
	}
	if err := json.Unmarshal(b[:n], &m); err != nil {
		if f != nil {
			_ = f.Close()
		}
		return message{}, nil, err
	}
	return m, f, nil
}

// descriptor is the one that came with a message, nil without.
func descriptor(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var f *os.File
	for i := range all {
		fds, err := unix.ParseUnixRights(&all[i])
		if err != nil {
			continue // not descriptors
		}
		for _, fd := range fds {
			if f != nil {
				_ = unix.Close(fd)
				continue
			}
			f = os.NewFile(uintptr(fd), "inherited")
		}
	}
	return f, nil
}
