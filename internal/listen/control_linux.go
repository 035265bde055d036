package listen

import (
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// control sets what accepted sockets inherit, which costs nothing for each of them.
func control(network, _ string, raw syscall.RawConn) (err error) {
	cerr := raw.Control(func(fd uintptr) {
		s := int(fd)
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1}, // accept when the client has spoken, at the latest after about a second
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}, // clients that vanish without a word
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
		} {
			if err = unix.SetsockoptInt(s, o.level, o.name, o.value); err != nil {
				return
			}
		}
		err = freebind(network, s)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// controlPacket is control for UDP.
func controlPacket(network, _ string, raw syscall.RawConn) (err error) {
	cerr := raw.Control(func(fd uintptr) { err = freebind(network, int(fd)) })
	if cerr != nil {
		return cerr
	}
	return err
}

// freebind lets a backup balancer listen on the virtual address before it owns it.
func freebind(network string, s int) error {
	err := unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	if err == nil && strings.HasSuffix(network, "6") {
		err = unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	}
	return err
}

// send sends without waiting and without a signal if nobody listens.
func send(fd int, b []byte) error {
	return unix.Sendto(fd, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
}

// passBuffer is what we ask for in bytes for packets that wait for an elder. The kernel gives no more than net.core.wmem_max.
const passBuffer = 1 << 20

// pair makes two connected SOCK_SEQPACKET sockets, ours and one for another process.
func pair() (ours *net.UnixConn, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	_ = unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, passBuffer) // less costs packets at worst
	f := os.NewFile(uintptr(fds[0]), "pair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, -1, err
	}
	return c.(*net.UnixConn), fds[1], nil
}
