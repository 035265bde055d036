package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Frames that are sent as a whole, with their Ethernet header:
//
//	destination MAC 6 | source MAC 6 | type 2 | ARP, IPv4 or IPv6

const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd
)

const protocolVRRP = 112

// ipControl is the type of service of VRRP: class selector 6, "internetwork control" (RFC 2474 section 4.2.2.2).
const ipControl = 0xc0

// Group is the multicast group of VRRP for the family of a (RFC 9568 section 5.1.1.2 and 5.1.2.2).
func Group(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4([4]byte{224, 0, 0, 18})
	}
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
}

// VirtualMAC is the MAC of a virtual router (RFC 9568 section 7.3).
func VirtualMAC(routerID uint8, v6 bool) net.HardwareAddr {
	mac := net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, 0x01, routerID}
	if v6 {
		mac[4] = 0x02
	}
	return mac
}

// gratuitousARP tells IPv4 neighbors where an address is now: a request (which all take notice of, RFC 5227 section 3 explains
// why a request) from the address for itself. The target's MAC means nothing there; it is that of keepalived.
func gratuitousARP(mac net.HardwareAddr, a netip.Addr) []byte {
	b := appendEthernet(make([]byte, 0, 42), broadcastMAC(), mac, typeARP)
	b = append(b, 0, 1 /* Ethernet */, typeIPv4>>8, typeIPv4&0xff, 6, 4 /* lengths */, 0, 1 /* request */)
	b = append(b, mac...)
	b = append(b, a.AsSlice()...)
	b = append(b, broadcastMAC()...)
	return append(b, a.AsSlice()...)
}

// unsolicitedNA tells IPv6 neighbors the same (RFC 4861 section 7.2.6): an advertisement to all nodes, which overrides what
// they know.
func unsolicitedNA(mac net.HardwareAddr, a netip.Addr, router bool) []byte {
	allNodes := netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x01})
	b := appendEthernet(make([]byte, 0, 86), groupMAC(allNodes), mac, typeIPv6)
	b = appendIPv6(b, 0, 32, 58, a, allNodes)
	const override, isRouter = 0x20, 0x80
	flags := byte(override)
	if router {
		flags |= isRouter
	}
	at := len(b)
	b = append(b, 136, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, a.AsSlice()...)
	b = append(b, 2 /* target link-layer address */, 1 /* 8 bytes */)
	b = append(b, mac...)
	binary.BigEndian.PutUint16(b[at+2:], checksum(b[at:], pseudoHeader(a, allNodes, 58, len(b)-at)))
	return b
}

// appendEthernet appends an Ethernet header.
func appendEthernet(b []byte, dst, src net.HardwareAddr, kind uint16) []byte {
	b = append(append(b, dst...), src...)
	return binary.BigEndian.AppendUint16(b, kind)
}

// vrrpFrame is a VRRP message to a multicast group from a MAC that need not be the link's.
func vrrpFrame(mac net.HardwareAddr, src, dst netip.Addr, id uint16, payload []byte) []byte {
	if src.Is6() {
		b := appendEthernet(make([]byte, 0, 54+len(payload)), groupMAC(dst), mac, typeIPv6)
		return append(appendIPv6(b, ipControl, len(payload), protocolVRRP, src, dst), payload...)
	}
	b := appendEthernet(make([]byte, 0, 34+len(payload)), groupMAC(dst), mac, typeIPv4)
	at := len(b)
	b = append(b, 0x45, ipControl)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, 0, 0 /* may be fragmented */, 255, protocolVRRP, 0, 0)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(b[at:], 0))
	return append(b, payload...)
}

// appendIPv6 appends an IPv6 header with hop limit 255.
func appendIPv6(b []byte, class byte, length int, next byte, src, dst netip.Addr) []byte {
	b = append(b, 0x60|class>>4, class<<4, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, next, 255)
	return append(append(b, src.AsSlice()...), dst.AsSlice()...)
}

func broadcastMAC() net.HardwareAddr {
	return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

// groupMAC is the MAC of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7).
func groupMAC(group netip.Addr) net.HardwareAddr {
	if group.Is4() {
		a := group.As4()
		return net.HardwareAddr{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	}
	a := group.As16()
	return net.HardwareAddr{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// pseudoHeader is the sum of the IPv6 pseudo-header (RFC 8200 section 8.1).
func pseudoHeader(src, dst netip.Addr, next byte, length int) uint32 {
	return sum(dst.AsSlice(), sum(src.AsSlice(), uint32(next)+uint32(length)))
}

// checksum is the Internet checksum (RFC 1071) of b and of a sum so far.
func checksum(b []byte, sofar uint32) uint16 {
	s := sum(b, sofar)
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// sum adds at most 64 KiB.
func sum(b []byte, s uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

const maxIPv4Header = 60

// ipv4Header is what is looked at of the header of a packet.
type ipv4Header struct {
	src, dst netip.Addr
	ttl      int
	length   int // with its options
}

func parseIPv4(b []byte) (h ipv4Header, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return h, false
	}
	h.length = int(b[0]&0x0f) * 4
	if h.length < 20 || h.length > len(b) {
		return h, false
	}
	h.ttl = int(b[8])
	h.src, h.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	return h, true
}
