package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// OpenVRRP opens what one virtual router speaks with. It stays with the link's index: if the link is made anew it must be
// opened again.
//
// It is two sockets, as one that is bound to a group cannot choose its source: one hears and one speaks.
func (n *Net) OpenVRRP(o VRRPOptions) (VRRPSocket, error) {
	s, err := openVRRP(o)
	if err != nil {
		return nil, fmt.Errorf("open VRRP socket on %s for %s: %w", o.Link, o.Source, explain(err))
	}
	return s, nil
}

type vrrpSocket struct {
	v6     bool
	index  int
	source netip.Addr
	ears   *socket
	mouth  *socket
	// frames speaks instead of mouth to the group, if the source's MAC is not the link's.
	frames *socket
	mac    []byte
	id     atomic.Uint32 // of IPv4 packets in frames
}

func openVRRP(o VRRPOptions) (*vrrpSocket, error) {
	if !o.Source.IsValid() || o.Source.Is4In6() {
		return nil, errors.New("the source is no IPv4 or IPv6 address")
	}
	if len(o.MAC) != 0 && len(o.MAC) != 6 {
		return nil, fmt.Errorf("%s is no MAC of Ethernet", o.MAC)
	}
	link := o.Link
	if !o.Multicast && !o.Source.IsLinkLocalUnicast() {
		link = linkOf(o.Source, link)
	}
	index, err := indexOf(link)
	if err != nil {
		return nil, err
	}
	s := &vrrpSocket{v6: o.Source.Is6(), index: index, source: o.Source.WithZone(""), mac: o.MAC}
	hears := s.source
	if o.Multicast {
		hears = Group(s.source)
	}
	f := family(s.source)
	s.ears, err = newSocket(f, unix.SOCK_RAW, protocolVRRP, func(fd int) error { return s.listen(fd, link, hears) })
	if err != nil {
		return nil, err
	}
	s.mouth, err = newSocket(f, unix.SOCK_RAW, protocolVRRP, func(fd int) error { return s.speak(fd, link) })
	if err == nil && o.Multicast && len(o.MAC) != 0 {
		s.frames, err = newFrameSocket()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// linkOf is the link that has the source: nodes may speak to each other by another network than that of the virtual addresses. It
// is link if that has it, if no other has it, or if there is no such link: then the sockets cannot be opened, and say so.
func linkOf(source netip.Addr, link string) string {
	links, err := New().Links()
	if err != nil || !slices.ContainsFunc(links, func(k Link) bool { return k.Name == link }) {
		return link
	}
	other := link
	for _, k := range links {
		if !slices.ContainsFunc(k.Prefixes, func(p netip.Prefix) bool { return p.Addr() == source }) {
			continue
		}
		if k.Name == link {
			return link
		}
		other = k.Name
	}
	return other
}

// listen makes fd hear one address on one link. Without the binding to the address a router would hear unicast
// advertisements as if they had been multicast, and with the sockets of other routers all groups that those have joined
// (that is what MULTICAST_ALL means).
func (s *vrrpSocket) listen(fd int, link string, hears netip.Addr) error {
	if err := unix.BindToDevice(fd, link); err != nil {
		return os.NewSyscallError("SO_BINDTODEVICE", err)
	}
	receiveBuffer(fd, 1<<18) // a thousand advertisements: ten seconds of ten peers
	if err := unix.Bind(fd, socketAddress(hears, s.index)); err != nil {
		return os.NewSyscallError("bind "+hears.String(), err)
	}
	if s.v6 {
		if err := setOptions(fd,
			option{"IPV6_MULTICAST_ALL", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0},
			option{"IPV6_RECVHOPLIMIT", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1},
			option{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		); err != nil {
			return err
		}
		if hears.IsMulticast() {
			return os.NewSyscallError("IPV6_JOIN_GROUP", unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
				&unix.IPv6Mreq{Multiaddr: hears.As16(), Interface: uint32(s.index)}))
		}
		return nil
	}
	// What IPv4 has to tell, the header tells, which a raw socket hears, too.
	if err := setOptions(fd, option{"IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0}); err != nil {
		return err
	}
	if hears.IsMulticast() {
		return os.NewSyscallError("IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: hears.As4(), Ifindex: int32(s.index)}))
	}
	return nil
}

// speak makes fd send as RFC 9568 section 5.1 says, from the source, on the link.
func (s *vrrpSocket) speak(fd int, link string) error {
	if err := deaf(fd); err != nil {
		return err
	}
	if err := unix.BindToDevice(fd, link); err != nil {
		return os.NewSyscallError("SO_BINDTODEVICE", err)
	}
	if err := unix.Bind(fd, socketAddress(s.source, s.index)); err != nil {
		return os.NewSyscallError("bind "+s.source.String(), err)
	}
	// Afterwards, as IP_TOS makes a priority, too. Queues of the link send this one first.
	priority := option{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl}
	if s.v6 {
		return setOptions(fd,
			option{"IPV6_UNICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255},
			option{"IPV6_MULTICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255},
			option{"IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0},
			option{"IPV6_MULTICAST_IF", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, s.index},
			option{"IPV6_TCLASS", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, ipControl},
			priority)
	}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
		&unix.IPMreqn{Address: s.source.As4(), Ifindex: int32(s.index)}); err != nil {
		return os.NewSyscallError("IP_MULTICAST_IF", err)
	}
	return setOptions(fd,
		option{"IP_TTL", unix.IPPROTO_IP, unix.IP_TTL, 255},
		option{"IP_MULTICAST_TTL", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255},
		option{"IP_MULTICAST_LOOP", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0},
		option{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT}, // DF 0
		option{"IP_TOS", unix.IPPROTO_IP, unix.IP_TOS, ipControl},
		priority)
}

func (s *vrrpSocket) Send(dst netip.Addr, payload []byte) error {
	var err error
	if s.frames != nil && dst.IsMulticast() {
		err = s.frames.sendFrame(s.index, vrrpFrame(s.mac, s.source, dst, uint16(s.id.Add(1)), payload))
	} else {
		err = s.mouth.send(payload, socketAddress(dst, s.index))
	}
	if err != nil {
		return fmt.Errorf("send to %s: %w", dst, err)
	}
	return nil
}

func (s *vrrpSocket) Receive(b []byte) (n int, src, dst netip.Addr, ttl int, err error) {
	for {
		if s.v6 {
			n, src, dst, ttl, err = s.receive6(b)
		} else {
			n, src, dst, ttl, err = s.receive4(b)
		}
		if err != nil || src.IsValid() {
			return n, src, dst, ttl, err
		}
	}
}

// receive4 reads a packet with its IPv4 header. The kernel has checked that header already.
func (s *vrrpSocket) receive4(b []byte) (n int, src, dst netip.Addr, ttl int, err error) {
	packet := make([]byte, maxIPv4Header+len(b))
	n, _, _, err = s.ears.receive(packet, nil)
	if err != nil {
		return 0, src, dst, 0, err
	}
	header, ok := parseIPv4(packet[:n])
	if !ok {
		return 0, netip.Addr{}, dst, 0, nil
	}
	return copy(b, packet[header.length:n]), header.src, header.dst, header.ttl, nil
}

// receive6 reads a packet whose header the kernel has taken off.
func (s *vrrpSocket) receive6(b []byte) (n int, src, dst netip.Addr, ttl int, err error) {
	oob := make([]byte, 128)
	n, oobn, from, err := s.ears.receive(b, oob)
	if err != nil {
		return 0, src, dst, 0, err
	}
	ttl, dst = parseControl6(oob[:oobn])
	return n, fromSocketAddress(from), dst, ttl, nil
}

// parseControl6 finds the hop limit and the destination; -1 and an invalid address if they are missing.
func parseControl6(oob []byte) (hops int, dst netip.Addr) {
	hops = -1
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return hops, dst
	}
	for _, m := range messages {
		if m.Header.Level != unix.IPPROTO_IPV6 {
			continue
		}
		switch {
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			hops = int(int32(binary.NativeEndian.Uint32(m.Data)))
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			dst = netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return hops, dst
}

func (s *vrrpSocket) Close() error {
	var errs []error
	for _, c := range []*socket{s.ears, s.mouth, s.frames} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}
