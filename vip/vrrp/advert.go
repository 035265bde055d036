package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Version 3 (RFC 9568 section 5.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+---------------+---------------+
//	|   3   | type 1|   router ID   |   priority    | address count |
//	+-------+-------+---------------+---------------+---------------+
//	|   0   | interval in 1/100 s   |           checksum            |
//	+-------+-----------------------+-------------------------------+
//	|                 addresses, 4 or 16 bytes each                 |
//
// Version 2 (RFC 3768 section 5.1), whose 8 bytes of password are there without a password, too, but not over IPv6, which only
// keepalived has:
//
//	|   2   | type 1|   router ID   |   priority    | address count |
//	+-------+-------+---------------+---------------+---------------+
//	|   auth type   | interval in s |           checksum            |
//	+---------------+---------------+-------------------------------+
//	|                        addresses                              |
//	|                       password, 8 bytes                       |
const (
	headerSize   = 8
	passwordSize = 8
	typeAdvert   = 1
	checksumAt   = 6
	maxInterval  = 0x0fff                // of version 3, in steps; the 4 bits above are reserved and masked
	step         = 10 * time.Millisecond // in which version 3 counts

	authNone = 0
	authPass = 1
)

// Advert is a VRRP advertisement.
type Advert struct {
	Version   int
	RouterID  uint8
	Priority  uint8         // 0: the master gives up
	Interval  time.Duration // between two of the same master
	Addresses []netip.Addr  // of one family
	Auth      uint8         // version 2: 0 is none, 1 a simple password
	Password  [8]byte       // padded with zeros
}

// Append appends the message, without an IP header, that goes from src to dst. plain leaves the pseudo-header out of the
// checksum of version 3 over IPv4; version 2 never has it there, and over IPv6 it always is. The interval is rounded down to
// what the version can say.
func (a *Advert) Append(b []byte, src, dst netip.Addr, plain bool) []byte {
	start := len(b)
	b = append(b, byte(a.Version<<4|typeAdvert), a.RouterID, a.Priority, byte(len(a.Addresses)))
	if a.Version == 2 {
		b = append(b, a.Auth, byte(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/step)&maxInterval)
	}
	b = append(b, 0, 0)
	for _, ip := range a.Addresses {
		if ip.Is4() {
			v := ip.As4()
			b = append(b, v[:]...)
		} else {
			v := ip.As16()
			b = append(b, v[:]...)
		}
	}
	if a.Version == 2 && src.Is4() {
		b = append(b, a.Password[:]...)
	}
	message := b[start:]
	s := sum(0, message)
	if !src.Is4() || a.Version == 3 && !plain {
		s += pseudoSum(src, dst, len(message))
	}
	binary.BigEndian.PutUint16(message[checksumAt:], fold(s))
	return b
}

// password is the 8 bytes of a password: cut, or padded with zeros, as keepalived does.
func password(s string) (p [passwordSize]byte) {
	copy(p[:], s)
	return p
}
