//go:build unix

package sock

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Local is our own address of the connection, the one that the peer has connected to; invalid if there is none.
func (c *Conn) Local() (a netip.AddrPort) {
	c.control(func(fd int) {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			a = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *unix.SockaddrInet6:
			a = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
		}
	})
	return a
}
