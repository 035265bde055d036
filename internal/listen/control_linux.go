package listen

import (
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
