package kernel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Anybody may send IP protocol 112 to this machine, or echo replies that nobody has asked for, from the other end of the Internet,
// too. Each packet that comes up costs a process with real-time priority some 10 µs, and one that waits takes the place of a peer's in the socket's
// buffer. What is certainly a stranger's is dropped by the kernel, for nearly nothing, by a filter at the socket.

// netHeader is where a classic filter finds the IP header (SKF_NET_OFF of linux/filter.h).
const netHeader = 0xfff00000 // -0x100000

// Keep implements [VRRPSocket].
func (s *vrrpSocket) Keep(k VRRPKeep) error {
	if k.everything() {
		return s.ears.filter(nil)
	}
	return s.ears.filter(k.program(s.v6))
}

// program is the filter. A packet that is too short for a load is dropped.
func (k *VRRPKeep) program(v6 bool) []bpf.Instruction {
	const dropIt, takeIt = 0, 0xffffffff
	ttl, source, words := uint32(8), uint32(12), 1 // RFC 791 section 3.1
	if v6 {
		ttl, source, words = 7, 8, 4 // RFC 8200 section 3
	}
	drop, take := bpf.RetConstant{Val: dropIt}, bpf.RetConstant{Val: takeIt}
	var b []bpf.Instruction
	if k.Near {
		b = append(b, bpf.LoadAbsolute{Off: netHeader + ttl, Size: 1}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 255, SkipTrue: 1}, drop)
	}
	if len(k.From) > 0 {
		var from []netip.Addr
		for _, a := range k.From {
			if a = a.Unmap().WithZone(""); a.Is6() == v6 {
				from = append(from, a)
			}
		}
		for n, a := range from { // word by word; the first that is equal jumps behind the last one and its drop
			raw := a.AsSlice()
			for w := range words {
				b = append(b,
					bpf.LoadAbsolute{Off: netHeader + source + uint32(4*w), Size: 4},
					bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(raw[4*w:]), SkipFalse: uint8(2*(words-1-w) + 1)})
			}
			b = append(b, bpf.Jump{Skip: uint32((len(from)-1-n)*(2*words+1) + 1)})
		}
		b = append(b, drop)
	}
	if len(k.RouterIDs) == 0 {
		return append(b, take)
	}
	// The message's second byte. A raw socket of IPv4 has the IP header before it, one of IPv6 has not.
	if v6 {
		b = append(b, bpf.LoadAbsolute{Off: 1, Size: 1})
	} else {
		b = append(b, bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: 1, Size: 1})
	}
	for _, id := range k.RouterIDs {
		b = append(b, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(id), SkipFalse: 1}, take)
	}
	return append(b, drop)
}

// filter gives the socket a filter in the place of the one that it has; without instructions it has none any more.
func (s *socket) filter(program []bpf.Instruction) error {
	var err error
	if len(program) == 0 {
		err = s.control(func(fd int) error {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil && err != unix.ENOENT {
				return os.NewSyscallError("SO_DETACH_FILTER", err)
			}
			return nil
		})
	} else {
		err = s.control(func(fd int) error { return attachFilter(fd, program) })
	}
	if err != nil && err != net.ErrClosed {
		return fmt.Errorf("filter packets: %w", err)
	}
	return err
}

func attachFilter(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	f := make([]unix.SockFilter, len(raw))
	for i, p := range raw {
		f[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return os.NewSyscallError("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}))
}

// onlyID is the filter that keeps replies to one id: eight bytes of ICMP, as long as our requests are.
func onlyID(v6 bool, id uint16) []bpf.Instruction {
	const dropIt, takeIt = 0, 0xffffffff
	b := []bpf.Instruction{bpf.LoadAbsolute{Off: 4, Size: 2}} // RFC 4443 section 4.2
	if !v6 {
		b = []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: 4, Size: 2}} // RFC 792, behind the IP header
	}
	return append(b, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(id), SkipFalse: 1}, bpf.RetConstant{Val: takeIt}, bpf.RetConstant{Val: dropIt})
}
