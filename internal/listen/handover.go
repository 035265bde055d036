package listen

import (
	"encoding/json"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process of a newer program takes the sockets over while the older one still serves:
//
//	elder                          heir
//	hello, the chain's key   -->
//	tcp :443, udp :443, ...  -->   (each with its descriptor)
//	end                      -->   opens what its configuration names, of these and others;
//	                               accepts nothing and reads nothing yet
//	                         <--   ready
//	lets go: reads no UDP
//	and accepts no plain
//	connection any more
//	go                       -->   begins
//
// Both have the same kernel sockets throughout, so that nobody who waits in a backlog notices. Until "ready" the elder does not
// change anything, and an heir that dies costs nothing. An elder that dies, at whatever time, is as good as its "go": somebody
// has to serve. The messages are JSON in packets of a SOCK_SEQPACKET pair.

// handoverVersion is that of the messages. An heir of another version refuses, and the elder goes on.
const handoverVersion = 1

// message is one of the conversation. Those of a socket have a descriptor with them.
type message struct {
	Kind       string `json:"kind"`
	Version    int    `json:"version,omitempty"`    // hello
	Key        []byte `json:"key,omitempty"`        // hello
	Generation byte   `json:"generation,omitempty"` // hello: the elder's; route: whose
	Address    string `json:"address,omitempty"`    // as configured
}

// Kinds of messages.
const (
	helloKind = "hello"
	tcpKind   = "tcp"
	udpKind   = "udp"
	routeKind = "route"
	plainKind = "plain " // and the network
	endKind   = "end"
	readyKind = "ready"
	goKind    = "go"
)

// maxMessage is the size of a message in bytes: a path or a name with its port is the longest part of it.
const maxMessage = 16 << 10

// Handover is the elder's side. It ends with [Handover.Go] or [Handover.Withdraw].
type Handover struct {
	set  *Set
	conn *net.UnixConn
	away map[*packetConn]*net.UnixConn
}

// Pair makes the two ends of a conversation: ours, and a descriptor for the process that will call [Inherit] with it.
func Pair() (ours *net.UnixConn, theirs int, err error) { return pair() }

// Offer sends all sockets, within the deadline. None may be opened or released until the Handover has ended, but for the end of
// the process. Offer does not close c.
func (s *Set) Offer(c *net.UnixConn, deadline time.Time) (*Handover, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &Handover{s, c, map[*packetConn]*net.UnixConn{}}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := h.offer(); err != nil {
		h.Withdraw()
		return nil, fmt.Errorf("hand over sockets: %w", err)
	}
	return h, nil
}

// offer sends everything. The set's mu is held.
func (h *Handover) offer() error {
	s := h.set
	if err := tell(h.conn, message{Kind: helloKind, Version: handoverVersion, Key: s.key[:], Generation: s.ids.generation}, nil); err != nil {
		return err
	}
	for address, l := range s.open {
		raw, err := l.syscallConn()
		if err == nil {
			err = tell(h.conn, message{Kind: tcpKind, Address: address}, raw)
		}
		if err != nil {
			return fmt.Errorf("tcp %s: %w", address, err)
		}
	}
	for name, p := range s.plains {
		raw, err := p.Listener.(syscall.Conn).SyscallConn()
		if err == nil {
			err = tell(h.conn, message{Kind: name}, raw)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for address, p := range s.packets {
		if err := h.offerPacket(address, p.conn); err != nil {
			return fmt.Errorf("udp %s: %w", address, err)
		}
	}
	return tell(h.conn, message{Kind: endKind}, nil)
}

// offerPacket sends a UDP socket, with the ways to all processes whose packets may come there.
func (h *Handover) offerPacket(address string, c *packetConn) error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	if err := tell(h.conn, message{Kind: udpKind, Address: address}, raw); err != nil {
		return err
	}
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	h.away[c] = ours
	defer unix.Close(theirs)
	if err := tellFD(h.conn, message{Kind: routeKind, Address: address, Generation: h.set.ids.generation}, theirs); err != nil {
		return err
	}
	for generation, r := range c.living() {
		if err := tell(h.conn, message{Kind: routeKind, Address: address, Generation: generation}, r.raw); err != nil && c.living()[generation] == r {
			return err // of a process that still lives
		}
	}
	return nil
}

// Ready waits until the heir has everything and could begin, within the deadline of [Set.Offer]. io.EOF says that it ended.
func (h *Handover) Ready() error {
	m, _, err := hear(h.conn)
	if err != nil {
		return err
	}
	if m.Kind != readyKind {
		return fmt.Errorf("the new process said %q, want %q", m.Kind, readyKind)
	}
	return nil
}

// ClosePlain closes the listeners of [Set.Listen], without the paths of unix sockets, when the heir is ready. Those who come
// wait in the backlog until it begins. ClosePlain returns when all connections that were accepted have ended, at the latest
// after the given time: then nobody talks to this process any more.
func (h *Handover) ClosePlain(within time.Duration) {
	h.set.mu.Lock()
	var plains []*plain
	for _, p := range h.set.plains {
		plains = append(plains, p)
	}
	h.set.mu.Unlock()
	for _, p := range plains {
		p.owned(false)
		_ = p.Close()
	}
	late := time.NewTimer(within)
	defer late.Stop()
	for _, p := range plains {
		p.wait(late.C)
	}
}

// LetGo gives the reading of UDP sockets up: QUIC packets come through the heir from now on. Listeners of [Set.Open] go on until
// they are released; who of the two accepts a connection does not matter.
func (h *Handover) LetGo() {
	for c, away := range h.away {
		c.leave(away)
	}
	h.away = nil
}

// Go lets the heir begin. An error says that it has died since it was ready.
func (h *Handover) Go() error { return tell(h.conn, message{Kind: goKind}, nil) }

// Withdraw forgets a Handover that was not let go. The heir must have ended.
func (h *Handover) Withdraw() {
	for _, c := range h.away {
		_ = c.Close()
	}
	h.away = nil
}

// tell sends a message, with a descriptor if raw is not nil.
func tell(c *net.UnixConn, m message, raw syscall.RawConn) error {
	if raw == nil {
		return tellFD(c, m, -1)
	}
	var err error
	if e := raw.Control(func(fd uintptr) { err = tellFD(c, m, int(fd)) }); e != nil {
		return e
	}
	return err
}

func tellFD(c *net.UnixConn, m message, fd int) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d can be sent", len(b), maxMessage)
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	_, _, err = c.WriteMsgUnix(b, rights, nil)
	return err
}
