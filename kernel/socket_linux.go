package kernel

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a raw socket that the runtime's poller waits for.
type socket struct {
	file *os.File
	conn syscall.RawConn
}

// newSocket opens a socket; prepare sets it up while nobody else knows it.
func newSocket(domain, kind, protocol int, prepare func(fd int) error) (*socket, error) {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "socket")
	conn, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &socket{f, conn}, nil
}

// option is one call of setsockopt.
type option struct {
	what               string
	level, name, value int
}

func setOptions(fd int, options ...option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError(o.what, err)
		}
	}
	return nil
}

// receiveBuffer bounds what waits in a socket: a flood cannot take more memory, and as much as that is never late by itself.
func receiveBuffer(fd, bytes int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil { // beyond net.core.rmem_max
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
}

// deaf makes the kernel drop all that arrives for a socket which only sends.
func deaf(fd int) error {
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return os.NewSyscallError("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &drop}))
}

// send never waits: a full buffer is an error.
func (s *socket) send(b []byte, to unix.Sockaddr) error {
	var err error
	if closed := s.conn.Write(func(fd uintptr) bool {
		for {
			if err = unix.Sendto(int(fd), b, 0, to); err != unix.EINTR {
				return true
			}
		}
	}); closed != nil {
		return net.ErrClosed
	}
	return err
}

// receive waits for a packet and its control messages, for which oob has room.
func (s *socket) receive(b, oob []byte) (n, oobn int, from unix.Sockaddr, err error) {
	if closed := s.conn.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, from, err = unix.Recvmsg(int(fd), b, oob, 0)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	}); closed != nil {
		return 0, 0, nil, net.ErrClosed
	}
	return n, oobn, from, err
}

// control calls f with the descriptor.
func (s *socket) control(f func(fd int) error) error {
	var err error
	if closed := s.conn.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return net.ErrClosed
	}
	return err
}

func (s *socket) close() error {
	if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// socketAddress is a with the scope of a link, which IPv6 needs for link-local addresses and groups.
func socketAddress(a netip.Addr, index int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	s := &unix.SockaddrInet6{Addr: a.As16()}
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
		s.ZoneId = uint32(index)
	}
	return s
}

func fromSocketAddress(s unix.Sockaddr) netip.Addr {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(s.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(s.Addr)
	}
	return netip.Addr{}
}

// priorityControl is TC_PRIO_CONTROL (include/uapi/linux/pkt_sched.h): queues of a link send such packets first.
const priorityControl = 6
