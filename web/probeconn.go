package web

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialOwn connects to one of our listeners. Its address is known to the accepting side before the listener can see it: from
// must be removed, if it is valid.
func (w *Web) dialOwn(ctx context.Context, to netip.AddrPort, own *probe) (nc net.Conn, from netip.AddrPort, err error) {
	d := net.Dialer{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		e := raw.Control(func(fd uintptr) {
			var any unix.Sockaddr = &unix.SockaddrInet6{Addr: to.Addr().As16()}
			if to.Addr().Is4() {
				any = &unix.SockaddrInet4{Addr: to.Addr().As4()}
			}
			// To the address itself, as from it: that fails if this machine does not have it any more.
			if err = os.NewSyscallError("bind", unix.Bind(int(fd), any)); err != nil {
				return
			}
			var sa unix.Sockaddr
			if sa, err = unix.Getsockname(int(fd)); err != nil {
				return
			}
			switch sa := sa.(type) {
			case *unix.SockaddrInet4:
				from = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
			case *unix.SockaddrInet6:
				from = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
			}
			w.probes.add(from, own)
		})
		return cmp.Or(e, err)
	}}
	nc, err = d.DialContext(ctx, "tcp", to.String())
	return nc, from, err
}

// inject puts a connection into the accept path that came by no network: on a backup, the address that a listener waits for is
// another node's.
func (w *Web) inject(p *port, own *probe) (net.Conn, error) {
	if !w.enter() {
		return nil, net.ErrClosed
	}
	defer w.accepting.Done()
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	w.start(p, -1, theirs, loopback(), own)
	return ours, nil
}

// loopback stands for this machine where no address is to be had.
func loopback() netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0) }

// enter lets the caller begin connections until accepting.Done; false if the service stops.
func (w *Web) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		w.accepting.Add(1)
	}
	return w.running
}

// socketPair is two ends of a connection inside the kernel, which has room for what either end writes: TLS over [net.Pipe]
// would wait for itself.
func socketPair() (a, b net.Conn, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ends := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "probe")
		c, e := net.FileConn(f)
		_ = f.Close()
		if ends[i] = c; e != nil {
			err = e
		}
	}
	if err != nil {
		for _, c := range ends {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return ends[0], ends[1], nil
}

// sysError is what the system says of an error, without the addresses: they stand beside it, or mean nothing to the reader.
func sysError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
