package keepalived

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// emitter returns a function that sends frames from the visitor's first port, thousands a second: it keeps its socket.
func (s *site) emitter() func(frame []byte) {
	s.t.Helper()
	fd, index := -1, 0
	if err := s.visitor.Do(func() (err error) {
		link, err := net.InterfaceByName(s.visitor.Port(0).Name)
		if err != nil {
			return err
		}
		index = link.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { unix.Close(fd) })
	return func(frame []byte) {
		s.t.Helper()
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
			s.t.Fatalf("send a frame: %v", err)
		}
	}
}

// frame4 is an Ethernet frame to the group of VRRP, with a packet of IPv4 that has these options (a multiple of four bytes).
func frame4(from net.HardwareAddr, src, dst netip.Addr, ttl int, options, payload []byte) []byte {
	frame := append([]byte{0x01, 0x00, 0x5e, 0x00, 0x00, 0x12}, from...)
	frame = append(frame, 0x08, 0x00)
	size := 20 + len(options)
	ip := make([]byte, 20, size+len(payload))
	ip[0], ip[1] = 0x40|byte(size/4), 0xc0
	binary.BigEndian.PutUint16(ip[2:], uint16(size+len(payload)))
	ip[8], ip[9] = byte(ttl), 112
	s, d := src.As4(), dst.As4()
	copy(ip[12:], s[:])
	copy(ip[16:], d[:])
	ip = append(ip, options...)
	sum := 0
	for i := 0; i < size; i += 2 {
		sum += int(ip[i])<<8 | int(ip[i+1])
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum&0xffff))
	return append(append(frame, ip...), payload...)
}
