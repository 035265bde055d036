package sock

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Dial connects to an IP address ("tcp") or to a unix socket ("unix") within timeout, and returns errors.ErrUnsupported for
// anything else, and on the plain path: names are for the net package, which knows how to look them up.
//
// Once says that all there is to send goes with one write: only a second one could be held back (RFC 9293 section 3.7.4), so
// that nothing need be said against it.
//
// A connection that stands at once, as on this machine and to unix sockets, has cost four system calls and no place in the
// poller yet: where each request has a connection of its own, opening it the net package's way would be a fifth of its cost.
func (t *Timer) Dial(ctx context.Context, network, address string, timeout time.Duration, once bool) (*Conn, error) {
	sa, domain, remote, err := socketAddress(network, address)
	if t.Plain {
		err = errors.ErrUnsupported
	}
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, dialError(network, address, "socket", err)
	}
	if domain != unix.AF_UNIX && !once {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	for {
		if err = unix.Connect(fd, sa); err != unix.EINTR {
			break
		}
	}
	c := &Conn{timer: t, fd: fd, remote: remote}
	switch {
	case err == unix.EINPROGRESS && stands(fd): // on this machine it does, as soon as connect has returned
		err = nil
	case err == unix.EINPROGRESS:
		err = c.connected(ctx, timeout)
	case err != nil: // for a unix socket EAGAIN too: its backlog is full
		err = os.NewSyscallError("connect", err)
	}
	if err == nil && selfConnected(fd, remote) {
		err = os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	if err != nil {
		if nc := c.nc.Load(); nc != nil {
			_ = (*nc).Close()
		} else {
			_ = closeFD(fd)
		}
		return nil, dialError(network, address, "", err)
	}
	t.add(c)
	return c, nil
}

// socketAddress reads an address; errors.ErrUnsupported for what is neither.
func socketAddress(network, address string) (unix.Sockaddr, int, netip.AddrPort, error) {
	if network == "unix" {
		return &unix.SockaddrUnix{Name: address}, unix.AF_UNIX, netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil || a.Addr().Zone() != "" {
		return nil, 0, a, errors.ErrUnsupported
	}
	if ip := a.Addr().Unmap(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, unix.AF_INET, a, nil
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6, a, nil
}

// connected waits until a connection stands that could not be made at once.
func (c *Conn) connected(ctx context.Context, timeout time.Duration) error {
	if err := c.register(); err != nil {
		return err
	}
	_ = c.stream().SetDeadline(time.Now().Add(timeout))
	defer context.AfterFunc(ctx, func() { _ = c.stream().SetDeadline(time.Unix(1, 0)) })()
	var state int
	var told error
	err := c.raw.Write(func(fd uintptr) bool {
		// connect(2): writability says that it has ended, SO_ERROR how; before that there is no peer.
		if state, told = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); told != nil || state != 0 {
			return true
		}
		return stands(int(fd))
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case told != nil:
		return os.NewSyscallError("getsockopt", told)
	case state != 0:
		return os.NewSyscallError("connect", syscall.Errno(state))
	}
	return c.stream().SetDeadline(time.Time{})
}

// stands reports whether a connection has been made: only then it has a peer.
func stands(fd int) bool {
	_, ok := endOf(fd, unix.SYS_GETPEERNAME)
	return ok
}

// ephemeral is the lowest port that the kernel gives out by itself on any usual machine.
const ephemeral = 1024

// selfConnected reports whether a connection to a port of this machine where nobody listens has met itself: TCP's simultaneous
// open, when the kernel has chosen the very same port for our end. Only loopback peers can be that.
func selfConnected(fd int, remote netip.AddrPort) bool {
	if !remote.IsValid() || !remote.Addr().IsLoopback() || remote.Port() < ephemeral {
		return false
	}
	port, ok := endOf(fd, unix.SYS_GETSOCKNAME)
	return ok && port == remote.Port()
}

// endOf asks for the address of one end of a connection and returns its port. It asks the kernel itself: x/sys would ask for the
// protocol as well.
func endOf(fd int, call uintptr) (port uint16, ok bool) {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, e := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return 0, false
	}
	// Where it stands is the same for IPv4 and IPv6, ip(7) and ipv6(7): behind the family, in network order.
	p := (*[4]byte)(unsafe.Pointer(&sa))
	return uint16(p[2])<<8 | uint16(p[3]), true
}

func dialError(network, address, call string, err error) error {
	if call != "" {
		err = os.NewSyscallError(call, err)
	}
	a := net.Addr(&net.UnixAddr{Name: address, Net: "unix"})
	if network != "unix" {
		a = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
	}
	return &net.OpError{Op: "dial", Net: network, Addr: a, Err: err}
}
