package kernel

import (
	"net"
	"net/netip"
)

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
