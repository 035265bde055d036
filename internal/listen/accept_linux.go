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

// Conn is an accepted TCP connection. It costs two system calls less than a net.TCPConn, because the options are inherited and
// the addresses come with the accept; and none of its calls tells the scheduler, which on a half idle machine would wake the
// run time's monitor thread for each connection.
type Conn struct {
	*os.File
	remote netip.AddrPort
	local  *net.TCPAddr
}

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

// Addr is the socket's address, with the real port where 0 was asked for.
func (l *acceptor) Addr() net.Addr { return l.addr }

// Accept waits for the next connection; [net.ErrClosed] says that the socket is closed.
func (l *acceptor) Accept() (net.Conn, error) {
	var fd int
	var from unix.RawSockaddrAny
	var errno syscall.Errno
	err := l.raw.Read(func(s uintptr) bool {
		for {
			size := uint32(unix.SizeofSockaddrAny)
			n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, s, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
			fd, errno = int(n), e
			switch e {
			case syscall.EINTR, syscall.ECONNABORTED:
				continue // the client left while it waited
			case syscall.EAGAIN:
				return false
			}
			return true
		}
	})
	if l.closed.Load() {
		err = net.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, os.NewSyscallError("accept4", errno)
	}
	return &Conn{File: os.NewFile(uintptr(fd), "client"), remote: addrPort(&from), local: l.addr}, nil
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

// AddrPort is the client's address; IPv4 is never in IPv6 form.
func (c *Conn) AddrPort() netip.AddrPort { return c.remote }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// LocalAddr implements [net.Conn]. It asks the kernel: a listener of every address does not know which one was meant.
func (c *Conn) LocalAddr() net.Addr {
	local := net.Addr(c.local)
	c.control(func(fd int) {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			local = &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		case *unix.SockaddrInet6:
			local = &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		}
	})
	return local
}

// CloseWrite sends the end and goes on receiving.
func (c *Conn) CloseWrite() (err error) {
	c.control(func(fd int) { err = os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR)) })
	return err
}

// SetLinger is as of a [net.TCPConn].
func (c *Conn) SetLinger(sec int) (err error) {
	c.control(func(fd int) {
		l := &unix.Linger{Linger: int32(max(0, sec))}
		if sec >= 0 {
			l.Onoff = 1
		}
		err = os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, l))
	})
	return err
}

func (c *Conn) control(f func(fd int)) {
	raw, err := c.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

var (
	_ net.Conn     = (*Conn)(nil)
	_ syscall.Conn = (*Conn)(nil)
)
