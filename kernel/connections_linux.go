package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// States of TCP (include/net/tcp_states.h) in which a peer may still wait for something of ours. newSynReceived are the
// handshakes that have no socket yet.
const (
	established    = 1
	synReceived    = 3
	finWait1       = 4
	closeWait      = 8
	lastACK        = 9
	closing        = 11
	newSynReceived = 12

	openStates = 1<<established | 1<<synReceived | 1<<finWait1 | 1<<closeWait | 1<<lastACK | 1<<closing | 1<<newSynReceived
)

// Sizes of the messages of sock_diag (include/uapi/linux/inet_diag.h).
const (
	diagRequestSize = unix.SizeofNlMsghdr + 56 // struct inet_diag_req_v2
	diagSourceAt    = 4 + 2 + 2                // of struct inet_diag_msg: family, state, timer, retransmits; two ports
	diagCookieAt    = diagSourceAt + 2*16 + 4  // two addresses, interface
	diagMessageSize = 72
	diagBytecode    = 1 // INET_DIAG_REQ_BYTECODE

	maxFilter = 1000 // addresses, 32 bytes each: the length of an attribute has 16 bits
)

// Connections counts the TCP connections to one of these addresses that are open or opening: in one of SYN_RECV, ESTABLISHED,
// FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING. Those that are accepted by no program yet are among them.
//
// The kernel looks through all its sockets for it, and tells of each that counts: 1 µs of CPU for each, so 0.1 s for 100,000.
// It is nothing to do for each request.
func (n *Net) Connections(local []netip.Addr) (int, error) {
	ids, err := n.ConnectionIDs(local)
	return len(ids), err
}

// ConnectionIDs are the kernel's names of the connections that Connections counts (SO_COOKIE): no other connection gets the same
// one while the machine runs, so that who remembers them can tell old connections from new ones.
func (n *Net) ConnectionIDs(local []netip.Addr) ([]uint64, error) {
	if len(local) == 0 {
		return nil, nil
	}
	ids, err := connections(local)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return ids, nil
}

func connections(local []netip.Addr) ([]uint64, error) {
	wanted := make(map[netip.Addr]bool, len(local))
	families := []byte{unix.AF_INET6} // those of a listener for both families are IPv6, with ::ffff:1.2.3.4
	for _, a := range local {
		if a = a.Unmap().WithZone(""); a.Is4() && len(families) == 1 {
			families = append(families, unix.AF_INET)
		}
		wanted[a.Unmap().WithZone("")] = true
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	receiveBuffer(fd, 1<<18)
	// The kernel answers at once; but nothing may wait for ever.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return nil, os.NewSyscallError("SO_RCVTIMEO", err)
	}
	var ids []uint64
	b := make([]byte, 1<<16)
	for _, f := range families {
		found, err := listFamily(fd, f, wanted, b)
		if errors.Is(err, unix.ENOENT) && f == unix.AF_INET6 {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	return ids, nil
}

func listFamily(fd int, family byte, wanted map[netip.Addr]bool, b []byte) ([]uint64, error) {
	request := make([]byte, diagRequestSize)
	e := binary.NativeEndian
	if len(wanted) <= maxFilter {
		filter := diagFilter(wanted)
		request = e.AppendUint16(request, uint16(4+len(filter)))
		request = e.AppendUint16(request, diagBytecode)
		request = append(request, filter...)
	}
	e.PutUint32(request, uint32(len(request)))
	e.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	e.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	e.PutUint32(body[4:], openStates)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("send", err)
	}
	var ids []uint64
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("receive", err)
		}
		var done bool
		ids, done, err = listMessages(ids, b[:n], wanted)
		if err != nil || done {
			return ids, err
		}
	}
}

// diagFilter is a program for the kernel, which says whether it need tell of a socket: most that a balancer has lead to
// members, and have other local addresses. For each address there are two instructions:
//
//	if the local address is this one: next instruction, else: the one after it
//	go to the end, which means yes
//
// The last has no second one; its "else" leads behind the end, which means no. One for an IPv4 address is true for ::ffff: and
// that address, too.
func diagFilter(wanted map[netip.Addr]bool) []byte {
	const jump, local = 1, 7 // INET_DIAG_BC_JMP, INET_DIAG_BC_S_COND
	e := binary.NativeEndian
	var conditions [][]byte
	total := 0
	for a := range wanted {
		raw := a.AsSlice()
		c := []byte{local, byte(12 + len(raw))}
		c = e.AppendUint16(c, uint16(12+len(raw)+4))
		c = append(c, byte(family(a)), byte(a.BitLen()), 0, 0)
		c = e.AppendUint32(c, 0xffffffff) // any port
		conditions = append(conditions, append(c, raw...))
		total += 12 + len(raw) + 4
	}
	total -= 4
	b := make([]byte, 0, total)
	for i, c := range conditions {
		b = append(b, c...)
		if i < len(conditions)-1 {
			toEnd := total - len(b)
			b = append(b, jump, 4)
			b = e.AppendUint16(b, uint16(toEnd))
		}
	}
	return b
}

// listMessages reads one part of the list and appends what it finds to ids.
func listMessages(ids []uint64, b []byte, wanted map[netip.Addr]bool) (all []uint64, done bool, err error) {
	e := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(e.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return ids, false, fmt.Errorf("a message of %d bytes says that it has %d", len(b), length)
		}
		body := b[unix.SizeofNlMsghdr:length]
		switch kind := e.Uint16(b[4:]); {
		case kind == unix.NLMSG_DONE:
			return ids, true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return ids, true, unix.Errno(-int32(e.Uint32(body)))
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= diagMessageSize:
			if wanted[diagSource(body)] {
				ids = append(ids, e.Uint64(body[diagCookieAt:]))
			}
		}
		b = b[min(len(b), (length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return ids, false, nil
}

func diagSource(m []byte) netip.Addr {
	if m[0] == unix.AF_INET {
		return netip.AddrFrom4([4]byte(m[diagSourceAt:]))
	}
	return netip.AddrFrom16([16]byte(m[diagSourceAt:])).Unmap()
}
