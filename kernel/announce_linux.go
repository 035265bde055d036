package kernel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Announce tells the neighbors once that the address is here: a gratuitous ARP request, or an unsolicited neighbor
// advertisement. Links that have no neighbors (lo, tunnels) need none.
func (n *Net) Announce(link string, a netip.Addr) error {
	if err := n.announce(link, a.WithZone("")); err != nil {
		return fmt.Errorf("announce %s on %s: %w", a, link, explain(err))
	}
	return nil
}

func (n *Net) announce(link string, a netip.Addr) error {
	s, err := n.frameSocket()
	if err != nil {
		return err
	}
	e, err := s.ethernet(link)
	if err != nil || e.mac == nil {
		return err
	}
	if a.Is4() {
		return s.sendFrame(e.index, gratuitousARP(e.mac, a))
	}
	// A host that says that it is no router is taken out of the routers that its neighbors know (RFC 4861 section 7.2.5).
	forwarding, err := readNumber("/proc/sys/net/ipv6/conf/" + link + "/forwarding")
	if err != nil {
		return err
	}
	return s.sendFrame(e.index, unsolicitedNA(e.mac, a, forwarding == 1))
}

// frameSocket is the socket that sends whole frames on all links. There is one for all: closing a packet socket waits for a
// grace period of RCU, milliseconds, and there may be a thousand announcements in a takeover.
func (n *Net) frameSocket() (*socket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frames != nil {
		return n.frames, nil
	}
	s, err := newFrameSocket()
	n.frames = s
	return s, err
}

// newFrameSocket opens a packet socket of protocol 0, which receives nothing.
func newFrameSocket() (*socket, error) {
	return newSocket(unix.AF_PACKET, unix.SOCK_RAW, 0, func(fd int) error {
		return setOptions(fd, option{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl})
	})
}

type ethernet struct {
	index int
	mac   net.HardwareAddr // nil if the link has no neighbors
}

// ethernet asks for the link each time, which costs a few µs: it may have been made anew.
func (s *socket) ethernet(link string) (e ethernet, err error) {
	r := ifreq{}
	if copy(r.name[:], link) == unix.IFNAMSIZ || link == "" {
		return e, unix.ENODEV // no link can have that name
	}
	err = s.control(func(fd int) error {
		if err := r.ioctl(fd, unix.SIOCGIFINDEX); err != nil {
			return err
		}
		e.index = int(int32(binary.NativeEndian.Uint32(r.data[:])))
		if err := r.ioctl(fd, unix.SIOCGIFFLAGS); err != nil {
			return err
		}
		if binary.NativeEndian.Uint16(r.data[:])&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
			return nil
		}
		if err := r.ioctl(fd, unix.SIOCGIFHWADDR); err != nil {
			return err
		}
		if kind := binary.NativeEndian.Uint16(r.data[:]); kind != unix.ARPHRD_ETHER {
			return fmt.Errorf("it is no Ethernet (ARPHRD %d), whose frames are all that is known here", kind)
		}
		e.mac = slices.Clone(r.data[2:8])
		return nil
	})
	return e, err
}

// ifreq is struct ifreq; that of x/sys cannot tell a MAC.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

func (r *ifreq) ioctl(fd int, request uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(r))); errno != 0 {
		return errno
	}
	return nil
}

func (s *socket) sendFrame(index int, frame []byte) error {
	return s.send(frame, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6})
}
