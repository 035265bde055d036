package vrrp

import (
	"encoding/binary"
	"net/netip"
)

const protocol = 112 // the IP protocol of VRRP (RFC 9568 section 5.1.1.4)

// sum adds 16-bit words in one's complement (RFC 1071); an odd last byte is the upper half of a word. 64 bits hold the carries of
// any message.
func sum(start uint64, b []byte) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		start += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		start += uint64(b[0]) << 8
	}
	return start
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// pseudoSum is the sum over the pseudo-header:
//
//	IPv4 (RFC 768)          source 4, destination 4, zero 1, protocol 1, length 2
//	IPv6 (RFC 8200 8.1)     source 16, destination 16, length 4, zero 3, next header 1
//
// Both add up to the same.
func pseudoSum(src, dst netip.Addr, length int) uint64 {
	return sumAddr(src) + sumAddr(dst) + protocol + uint64(length)
}

func sumAddr(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return sum(0, b[:])
	}
	b := a.As16()
	return sum(0, b[:])
}

// checksumFits says whether the checksum in message is right, and whether it was made without the pseudo-header. A message of an
// IPv4 unicast peer may have been made with the multicast group as the destination: an old keepalived does that.
func checksumFits(message []byte, version int, src, dst netip.Addr) (plain, ok bool) {
	m := sum(0, message)
	if src.Is4() && version == 2 {
		return true, fold(m) == 0
	}
	if fold(m+pseudoSum(src, dst, len(message))) == 0 {
		return false, true
	}
	if !src.Is4() {
		return false, false
	}
	if fold(m) == 0 {
		return true, true
	}
	return false, !dst.IsMulticast() && fold(m+pseudoSum(src, Multicast(false), len(message))) == 0
}
