// Package listen owns every listening socket of the process, keyed by address, so that sockets survive reloads and one
// address can serve several blocks.
//
// Start at [Set.Open], for TCP, and [Set.OpenPacket], for QUIC over UDP. A service opens what its next configuration needs
// before anything changes, and releases what it no longer needs after; an address that is in both is the same socket
// throughout, and no connection in its backlog is lost.
//
// It does not serve and knows nothing of protocols, but for the few bytes of a QUIC packet that say whose it is.
package listen

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Set is the sockets of one process.
type Set struct {
	key   [32]byte // the same in all processes of a chain of upgrades
	ids   *ids
	begun chan struct{} // closed once this process may take visitors

	mu      sync.Mutex // guards what follows and all refs
	open    map[string]*Listener
	packets map[string]*Packet
	plains  map[string]*plain
	// What an elder has handed over and nobody has asked for yet.
	inherited map[string]*os.File
	routes    map[string][]inheritedRoute
	holds     []*hold
}

// NewSet returns a Set without sockets.
func NewSet() *Set {
	var key [32]byte
	rand.Read(key[:])
	s := newSet(key, 0)
	close(s.begun)
	return s
}

func newSet(key [32]byte, generation byte) *Set {
	return &Set{
		key: key, ids: newIDs(key, generation), begun: make(chan struct{}),
		open: map[string]*Listener{}, packets: map[string]*Packet{}, plains: map[string]*plain{},
		inherited: map[string]*os.File{}, routes: map[string][]inheritedRoute{},
	}
}

// Secret is a key for a purpose, the same in all processes of a chain of upgrades and unknown to everybody else: what it signs
// or encrypts for clients (QUIC's tokens and stateless resets, TLS session tickets) means the same after an upgrade. It lives
// in memory only, so that a restart makes another one.
func (s *Set) Secret(purpose string) [32]byte { return derive(s.key, purpose) }

// derive makes a key that tells nothing about key nor about those for other purposes.
func derive(key [32]byte, purpose string) (k [32]byte) {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte(purpose))
	copy(k[:], h.Sum(nil))
	return k
}

// Listener is one listening socket, shared by everyone who opened its address.
type Listener struct {
	Address string // as configured

	acceptor
	set  *Set
	gone chan struct{} // closed with the socket
	refs int
}

// Open returns the socket of a TCP address, host:port, and opens it if nobody has. It works for an address that this
// machine does not have yet (a virtual one, on the backup). Each Open needs one [Listener.Release].
func (s *Set) Open(ctx context.Context, address string) (*Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.open[address]; l != nil {
		l.refs++
		return l, nil
	}
	nl, err := s.listen(ctx, address)
	if err != nil {
		return nil, explain(address, err)
	}
	a, err := newAcceptor(nl)
	if err != nil {
		return nil, explain(address, err)
	}
	l := &Listener{Address: address, acceptor: a, set: s, gone: make(chan struct{}), refs: 1}
	s.open[address] = l
	return l, nil
}

// listen opens a socket, or takes the elder's. mu is held.
func (s *Set) listen(ctx context.Context, address string) (*net.TCPListener, error) {
	f := s.take(tcpKind + " " + address)
	if f == nil {
		lc := net.ListenConfig{KeepAlive: -1, Control: s.held(control, tcpKind)} // keep-alive is inherited from the listening socket
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return l.(*net.TCPListener), nil
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		_ = l.Close()
		return nil, errors.New("the socket that was handed over is not of TCP")
	}
	raw, err := t.SyscallConn()
	if err == nil {
		// What this program sets, not what the older one did: a filter that it still holds visitors with among it.
		err = s.held(control, tcpKind)(family("tcp", t.Addr().(*net.TCPAddr).IP), t.Addr().String(), raw)
	}
	if err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// family is a network as the net package names it to [net.ListenConfig]'s Control.
func family(network string, ip net.IP) string {
	if ip.To4() != nil {
		return network + "4"
	}
	return network + "6"
}

// Accept waits for connections; see the acceptor of this system. Before the Set has begun none is accepted.
func (l *Listener) Accept(f func(fd int, nc net.Conn, client netip.AddrPort)) error {
	select {
	case <-l.set.begun:
		return l.acceptor.Accept(f)
	case <-l.gone:
		return net.ErrClosed
	}
}

// Release gives the socket back; the last one closes it.
func (l *Listener) Release() {
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	if l.refs--; l.refs > 0 {
		return
	}
	delete(l.set.open, l.Address)
	close(l.gone)
	_ = l.acceptor.close()
}

// explain turns a listen error into one that says what to do.
func explain(address string, err error) error {
	var hint string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there; see who with: ss -ltnp"
	case errors.Is(err, syscall.EACCES):
		hint = "run as root, or grant CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine does not have that address"
	}
	var sys syscall.Errno
	if errors.As(err, &sys) {
		err = sys
	}
	if hint != "" {
		return fmt.Errorf("listen %s: %w\nhint: %s", address, err, hint)
	}
	return fmt.Errorf("listen %s: %w", address, err)
}
