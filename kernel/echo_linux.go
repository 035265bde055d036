package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

// OpenEcho opens a socket that pings, IPv4 or IPv6. It is bound to no source: the kernel chooses as for other packets.
func (n *Net) OpenEcho(v6 bool) (EchoSocket, error) {
	domain, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if v6 {
		domain, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	s, err := newSocket(domain, unix.SOCK_RAW, protocol, func(fd int) error {
		receiveBuffer(fd, 1<<17)
		if err := setOptions(fd, option{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl}); err != nil {
			return err
		}
		return onlyReplies(fd, v6)
	})
	if err != nil {
		return nil, fmt.Errorf("open echo socket: %w", explain(err))
	}
	return &echoSocket{v6: v6, socket: s}, nil
}

// onlyReplies makes the kernel keep all other messages, so that a flood of requests to this machine costs nothing here.
func onlyReplies(fd int, v6 bool) error {
	if !v6 {
		blocked := ^uint32(1 << echoReply4)
		return os.NewSyscallError("ICMP_FILTER", unix.SetsockoptInt(fd, unix.SOL_RAW, unix.ICMP_FILTER, int(int32(blocked))))
	}
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = 0xffffffff
	}
	f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return os.NewSyscallError("ICMP6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f))
}

type echoSocket struct {
	v6     bool
	socket *socket
	once   sync.Once
	id     uint16 // of the first request: the filter's
	free   sync.Once
}

func (s *echoSocket) Send(dst netip.Addr, id, seq uint16) error {
	if err := s.send(dst, id, seq); err != nil {
		return fmt.Errorf("ping %s: %w", dst, err)
	}
	return nil
}

func (s *echoSocket) send(dst netip.Addr, id, seq uint16) error {
	if dst.Is6() != s.v6 {
		return unix.EAFNOSUPPORT
	}
	if err := s.narrow(id); err != nil {
		return err
	}
	index := 0
	if dst.Zone() != "" {
		var err error
		if index, err = indexOf(dst.Zone()); err != nil {
			return err
		}
	}
	b := []byte{echoRequest4, 0, 0, 0}
	if s.v6 {
		b[0] = echoRequest6 // the kernel makes the checksum, as it knows the source
	}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	if !s.v6 {
		binary.BigEndian.PutUint16(b[2:], checksum(b, 0))
	}
	return s.socket.send(b, socketAddress(dst, index))
}

// narrow makes the kernel keep replies to others than this socket's requests, see strangers_linux.go. Whoever asks with several ids
// hears all replies.
func (s *echoSocket) narrow(id uint16) (err error) {
	s.once.Do(func() {
		s.id = id
		err = s.socket.filter(onlyID(s.v6, id))
	})
	if id != s.id {
		s.free.Do(func() { err = s.socket.filter(nil) })
	}
	return err
}

func (s *echoSocket) Receive() (src netip.Addr, id, seq uint16, err error) {
	b := make([]byte, 256) // the replies to our requests have 8 bytes; of those to others' the beginning is enough
	for {
		n, _, from, err := s.socket.receive(b, nil)
		if err != nil {
			return src, 0, 0, err
		}
		message := b[:n]
		if !s.v6 {
			h, ok := parseIPv4(message)
			if !ok {
				continue
			}
			message = message[h.length:]
		}
		if id, seq, ok := parseReply(message, s.v6); ok {
			return fromSocketAddress(from), id, seq, nil
		}
	}
}

// parseReply reads an echo reply that has no data, as our requests have none. The checksum of IPv4 is looked at here, as raw
// sockets hear before the kernel does; that of IPv6 it has checked.
func parseReply(b []byte, v6 bool) (id, seq uint16, ok bool) {
	if len(b) != 8 || b[1] != 0 {
		return 0, 0, false
	}
	if v6 && b[0] != echoReply6 || !v6 && (b[0] != echoReply4 || checksum(b, 0) != 0) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), true
}

func (s *echoSocket) Close() error { return s.socket.close() }
