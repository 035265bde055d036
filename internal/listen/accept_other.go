//go:build !linux

package listen

import "net"

// acceptor is the net package's listener where we have no better.
type acceptor struct{ *net.TCPListener }

func newAcceptor(l *net.TCPListener) (acceptor, error) { return acceptor{l}, nil }

func (l *acceptor) close() error { return l.Close() }
