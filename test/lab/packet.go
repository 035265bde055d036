package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Packet is a frame that was seen. What does not apply to it is zero.
type Packet struct {
	Time   time.Time // when the kernel saw it
	Out    bool      // sent by this host; else received
	Frame  []byte    // its first [snap] bytes
	Length int       // of the whole frame

	SrcMAC, DstMAC net.HardwareAddr
	Type           Protocol // Ethernet's type, see [ARP]
	ARP            *ARPPacket

	Src, Dst         netip.Addr
	TTL              int // or hop limit
	TOS              int // or traffic class
	Protocol         Protocol
	Payload          []byte // of IP, extension headers of IPv6 left out
	SrcPort, DstPort uint16
	Flags            TCPFlags
	Advertisement    *Advertisement
}

// snap is how much of a frame is kept: all of a frame that is not TCP's segmentation offload.
const snap = 2048

// ARPPacket is ARP for Ethernet and IPv4 (RFC 826).
type ARPPacket struct {
	Operation            int // 1 asks, 2 answers
	SenderMAC, TargetMAC net.HardwareAddr
	Sender, Target       netip.Addr
}

// Gratuitous reports whether it announces its sender's own address.
func (a *ARPPacket) Gratuitous() bool { return a.Sender == a.Target }

// Advertisement is a neighbor advertisement (RFC 4861 section 4.4).
type Advertisement struct {
	Target                      netip.Addr
	Router, Solicited, Override bool
	MAC                         net.HardwareAddr // the option Target Link-Layer Address; nil without
}

// TCPFlags are the flags of a TCP segment.
type TCPFlags uint8

// The flags.
const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// String implements [fmt.Stringer].
func (f TCPFlags) String() string {
	var names []string
	for i, n := range []string{"FIN", "SYN", "RST", "PSH", "ACK"} {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, "|")
}

// VRRP is the VRRP message that the packet carries, nil if none.
func (p *Packet) VRRP() []byte {
	if p.Protocol != VRRP {
		return nil
	}
	return p.Payload
}

// String implements [fmt.Stringer].
func (p Packet) String() string {
	text := fmt.Sprintf("%s %s > %s", p.Time.Format("15:04:05.000000"), p.SrcMAC, p.DstMAC)
	switch {
	case p.ARP != nil:
		text += fmt.Sprintf(" ARP %d: %s is at %s, target %s", p.ARP.Operation, p.ARP.Sender, p.ARP.SenderMAC, p.ARP.Target)
	case p.Advertisement != nil:
		text += fmt.Sprintf(" %s > %s: %s is at %s", p.Src, p.Dst, p.Advertisement.Target, p.Advertisement.MAC)
	case p.Protocol == VRRP && len(p.Payload) >= 8:
		text += fmt.Sprintf(" %s > %s: VRRPv%d router %d priority %d", p.Src, p.Dst, p.Payload[0]>>4, p.Payload[1], p.Payload[2])
	case p.SrcPort != 0:
		text += fmt.Sprintf(" %s:%d > %s:%d protocol %d %s", p.Src, p.SrcPort, p.Dst, p.DstPort, p.Protocol, p.Flags)
	case p.Src.IsValid():
		text += fmt.Sprintf(" %s > %s: protocol %d", p.Src, p.Dst, p.Protocol)
	default:
		text += fmt.Sprintf(" type %#04x", uint16(p.Type))
	}
	return text + fmt.Sprintf(", %d bytes", p.Length)
}

// decode understands as much of the frame as there is. Nothing in it may be trusted: tests send garbage.
func (p *Packet) decode() {
	b := p.Frame
	if len(b) < 14 {
		return
	}
	p.DstMAC, p.SrcMAC, p.Type = b[0:6:6], b[6:12:12], Protocol(binary.BigEndian.Uint16(b[12:]))
	switch p.Type {
	case ARP:
		p.decodeARP(b[14:])
	case IPv4:
		p.decode4(b[14:])
	case IPv6:
		p.decode6(b[14:])
	}
}

func (p *Packet) decodeARP(b []byte) {
	if len(b) < 28 || binary.BigEndian.Uint16(b) != 1 || Protocol(binary.BigEndian.Uint16(b[2:])) != IPv4 {
		return
	}
	p.ARP = &ARPPacket{
		Operation: int(binary.BigEndian.Uint16(b[6:])),
		SenderMAC: b[8:14:14], Sender: netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: b[18:24:24], Target: netip.AddrFrom4([4]byte(b[24:28])),
	}
}

func (p *Packet) decode4(b []byte) {
	if len(b) < 20 {
		return
	}
	head, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || total < head || len(b) < head {
		return
	}
	p.TOS, p.TTL, p.Protocol = int(b[1]), int(b[8]), Protocol(b[9])
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.Payload = b[head:min(total, len(b))] // Ethernet pads short frames
	if binary.BigEndian.Uint16(b[6:])&0x1fff == 0 {
		p.decodeTransport()
	}
}

func (p *Packet) decode6(b []byte) {
	if len(b) < 40 {
		return
	}
	p.TOS, p.TTL = int(binary.BigEndian.Uint16(b)>>4&0xff), int(b[7])
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, rest := b[6], b[40:min(len(b), 40+int(binary.BigEndian.Uint16(b[4:])))]
	for {
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			if len(rest) < 8 || len(rest) < 8+8*int(rest[1]) {
				return
			}
			next, rest = rest[0], rest[8+8*int(rest[1]):]
			continue
		}
		p.Protocol, p.Payload = Protocol(next), rest
		p.decodeTransport()
		return
	}
}

func (p *Packet) decodeTransport() {
	b := p.Payload
	switch {
	case p.Protocol == TCP && len(b) >= 20:
		p.Flags = TCPFlags(b[13] & 0x1f)
		fallthrough
	case p.Protocol == UDP && len(b) >= 8:
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case p.Protocol == ICMPv6 && len(b) >= 24 && b[0] == 136:
		a := &Advertisement{
			Target: netip.AddrFrom16([16]byte(b[8:24])),
			Router: b[4]&0x80 != 0, Solicited: b[4]&0x40 != 0, Override: b[4]&0x20 != 0,
		}
		for o := b[24:]; len(o) >= 8 && o[1] > 0 && len(o) >= 8*int(o[1]); o = o[8*int(o[1]):] {
			if o[0] == 2 {
				a.MAC = net.HardwareAddr(o[2:8:8])
				break
			}
		}
		p.Advertisement = a
	}
}
