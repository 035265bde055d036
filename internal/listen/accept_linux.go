package listen

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acceptor is a listening socket that we accept from ourselves. The net package's own cannot be waited on by others, so the
// socket is taken over as a file.
type acceptor struct {
	file   *os.File
	raw    syscall.RawConn
	addr   *net.TCPAddr
	closed *atomic.Bool
}

func newAcceptor(l *net.TCPListener) (acceptor, error) {
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return acceptor{}, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return acceptor{}, err
	}
	return acceptor{f, raw, l.Addr().(*net.TCPAddr), new(atomic.Bool)}, nil
}

func (l *acceptor) close() error {
	l.closed.Store(true)
	return l.file.Close()
}

func (l *acceptor) syscallConn() (syscall.RawConn, error) { return l.raw, nil }

// Addr is the socket's address, with the real port where 0 was asked for.
func (l *acceptor) Addr() net.Addr { return l.addr }

// Accept waits for the next connection and gives its descriptor, non-blocking, to f together with the client's address; nc is
// for systems where a connection is no bare descriptor, and nil here.
// [net.ErrClosed] says that the socket is closed. None of its calls tells the scheduler, which on a half idle machine would
// wake the run time's monitor thread for each connection.
func (l *acceptor) Accept(f func(fd int, nc net.Conn, client netip.AddrPort)) error {
	var from unix.RawSockaddrAny
	var errno syscall.Errno
	err := l.raw.Read(func(s uintptr) bool {
		for {
			size := uint32(unix.SizeofSockaddrAny)
			n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, s, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
			errno = e
			switch e {
			case 0:
				f(int(n), nil, addrPort(&from))
				if l.closed.Load() {
					return true // while clients keep coming there is no other end of this
				}
			case syscall.EINTR, syscall.ECONNABORTED: // the client left while it waited
			case syscall.EAGAIN:
				return false
			default:
				return true
			}
		}
	})
	switch {
	case l.closed.Load():
		return net.ErrClosed
	case err != nil:
		return err
	}
	return os.NewSyscallError("accept4", errno)
}

// addrPort reads the kernel's form of an address.
func addrPort(a *unix.RawSockaddrAny) netip.AddrPort {
	switch a.Addr.Family {
	case unix.AF_INET:
		s := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), port(&s.Port))
	case unix.AF_INET6:
		s := (*unix.RawSockaddrInet6)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), port(&s.Port))
	}
	return netip.AddrPort{}
}

// port is in network order, whatever the machine's.
func port(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
