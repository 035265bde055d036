package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Received is an advertisement as a socket has received it.
type Received struct {
	Payload  []byte // without the IP header
	Src, Dst netip.Addr
	TTL      int // or hop limit
}

// Parse reads an advertisement strictly. plain says that its checksum was made without a pseudo-header, as that of version 2
// over IPv4 always is. The error is a [Refusal].
//
// What depends on the receiver (TTL, its version, password, addresses, peers) is checked by [Group.Receive].
func Parse(r Received) (a Advert, plain bool, err error) {
	why, ok := a.header(r)
	if ok {
		plain, why, ok = a.body(r)
	}
	if !ok {
		return Advert{}, false, why
	}
	return a, plain, nil
}

// header reads all but the addresses, and checks that the length is what it says.
func (a *Advert) header(r Received) (why Refusal, ok bool) {
	b := r.Payload
	if len(b) < headerSize {
		return RefusedLength, false
	}
	a.Version, a.RouterID, a.Priority = int(b[0]>>4), b[1], b[2]
	a.Auth, a.Password = authNone, [passwordSize]byte{}
	switch a.Version {
	case 2:
		a.Auth, a.Interval = b[4], time.Duration(b[5])*time.Second
	case 3:
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&maxInterval) * step
	default:
		return RefusedVersion, false
	}
	src, dst := bare(r.Src), bare(r.Dst)
	if !src.IsValid() || !dst.IsValid() || src.Is4() != dst.Is4() {
		return RefusedSource, false
	}
	size, tail := layout(a.Version, src)
	if len(b) != headerSize+size*int(b[3])+tail {
		return RefusedLength, false
	}
	if a.Auth == authPass {
		copy(a.Password[:], b[len(b)-tail:])
	}
	return 0, true
}

// body checks the rest and reads the addresses, into the memory of those that were there.
func (a *Advert) body(r Received) (plain bool, why Refusal, ok bool) {
	b := r.Payload
	switch {
	case a.Auth > authPass:
		return false, RefusedAuthType, false // 2 was IPsec AH, and that is another IP protocol
	case a.Interval == 0:
		return false, RefusedInterval, false // such a master would be missed before it has finished to speak
	case b[0]&0x0f != typeAdvert:
		return false, RefusedType, false
	case b[3] == 0:
		return false, RefusedCount, false
	case a.RouterID == 0:
		return false, RefusedRouterID, false
	}
	src := bare(r.Src)
	if plain, ok = checksumFits(b, a.Version, src, bare(r.Dst)); !ok {
		return false, RefusedChecksum, false
	}
	size, tail := layout(a.Version, src)
	a.Addresses = a.Addresses[:0]
	for list := b[headerSize : len(b)-tail]; len(list) > 0; list = list[size:] {
		ip, _ := netip.AddrFromSlice(list[:size]) // of 4 or 16 bytes: it cannot fail
		a.Addresses = append(a.Addresses, ip)
	}
	return plain, 0, true
}

// layout is the size of an address and of what follows the addresses.
func layout(version int, src netip.Addr) (address, tail int) {
	switch {
	case !src.Is4():
		return 16, 0
	case version == 2:
		return 4, passwordSize
	}
	return 4, 0
}

// bare is an address as it is compared: a socket adds a zone to a link-local one, or wraps an IPv4 address.
func bare(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
