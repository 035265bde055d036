//go:build !linux

package listen

import (
	"net"
	"net/netip"
	"syscall"
)

// acceptor is the net package's listener where we have no better.
type acceptor struct{ l *net.TCPListener }

func newAcceptor(l *net.TCPListener) (acceptor, error) { return acceptor{l}, nil }

func (a *acceptor) close() error { return a.l.Close() }

func (a *acceptor) syscallConn() (syscall.RawConn, error) { return a.l.SyscallConn() }

// Addr is the socket's address, with the real port where 0 was asked for.
func (a *acceptor) Addr() net.Addr { return a.l.Addr() }

// Accept waits for connections and gives each to f, without a descriptor; [net.ErrClosed] says that the socket is closed.
func (a *acceptor) Accept(f func(fd int, nc net.Conn, client netip.AddrPort)) error {
	for {
		nc, err := a.l.AcceptTCP()
		if err != nil {
			return err
		}
		f(-1, nc, nc.RemoteAddr().(*net.TCPAddr).AddrPort())
	}
}
