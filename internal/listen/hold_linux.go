package listen

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// netOff is where a classic filter finds the IP header (SKF_NET_OFF of linux/filter.h). Offsets below it count from the header
// of TCP or UDP.
const netOff = 0xfff00000 // -0x100000

// What a filter returns: how many bytes of the packet it lets through.
const (
	dropIt = 0
	takeIt = 0xffffffff
)

// setFilter makes a socket drop what would begin a connection to one of the addresses; without addresses it takes everything.
//
// Sockets that are accepted meanwhile keep the filter for life. It costs them some ten instructions for each packet and can do
// no harm: an established connection has no use for a SYN (RFC 9293 section 3.10.7.4 answers it and goes on).
func setFilter(fd int, addresses []netip.Addr, udp bool) error {
	if len(addresses) == 0 {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
		}
		return nil
	}
	program, err := bpf.Assemble(filterOf(addresses, udp))
	if err != nil {
		return err
	}
	f := make([]unix.SockFilter, len(program))
	for i, p := range program {
		f[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	if len(f) > 4096 { // BPF_MAXINSNS
		return unix.E2BIG
	}
	// It takes the place of another filter at once: no packet passes between the two.
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}))
}

// filterOf is the filter: first whether the packet begins anything, which few do, and then whether its destination is held. A
// load that the packet is too short for ends the filter and drops it, as the protocol would do itself.
func filterOf(addresses []netip.Addr, udp bool) []bpf.Instruction {
	var b []bpf.Instruction
	if udp {
		b = beginsQUIC()
	} else {
		// RFC 9293 section 3.1: byte 13 has the flags, 0x02 is SYN and 0x10 is ACK.
		b = []bpf.Instruction{
			bpf.LoadAbsolute{Off: 13, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x12},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x02, SkipTrue: 1},
			bpf.RetConstant{Val: takeIt},
		}
	}
	var four, six []bpf.Instruction
	for _, a := range addresses {
		if a.Is4() {
			v := a.As4()
			four = append(four, bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(v[:]), SkipFalse: 1}, bpf.RetConstant{Val: dropIt})
			continue
		}
		v := a.As16()
		for i := range uint32(4) { // RFC 8200 section 3: the destination is at 24
			six = append(six,
				bpf.LoadAbsolute{Off: netOff + 24 + 4*i, Size: 4},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(v[4*i:]), SkipFalse: uint8(2*(3-i) + 1)})
		}
		six = append(six, bpf.RetConstant{Val: dropIt})
	}
	take := bpf.RetConstant{Val: takeIt}
	four = append(append([]bpf.Instruction{bpf.LoadAbsolute{Off: netOff + 16, Size: 4}}, four...), take) // RFC 791 section 3.1
	b = append(b,
		bpf.LoadAbsolute{Off: netOff, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4}, // the IP version: a wildcard of IPv6 takes both
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 4, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(four))})
	b = append(b, four...)
	return append(append(b, six...), take)
}

// beginsQUIC lets everything through but QUIC's Initial packets: the first byte says that the header is long, and with the
// version behind it which type it is (RFC 9000 section 17.2, RFC 9369 section 3.2). Data begins behind the 8 bytes of UDP's
// header. Handshakes under way are stopped with it, which costs nothing: the address is about to go, and QUIC connections with
// it.
func beginsQUIC() []bpf.Instruction {
	const first, version = 8, 9
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: version, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 1, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x6b3343cf, SkipTrue: 5},
		bpf.RetConstant{Val: takeIt},
		// Version 1: long header (0x80), type 0 in 0x30. Bit 0x40 may be anything (RFC 9287).
		bpf.LoadAbsolute{Off: first, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xb0},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x80, SkipTrue: 5},
		bpf.RetConstant{Val: takeIt},
		// Version 2: type 1.
		bpf.LoadAbsolute{Off: first, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xb0},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x90, SkipTrue: 1},
		bpf.RetConstant{Val: takeIt},
	}
}
