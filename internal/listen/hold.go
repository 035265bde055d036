package listen

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// In the last moments of a planned handover nobody may come in any more by the addresses that are handed over, and nobody may
// be refused either. A closed socket would answer with a reset, a backlog that nobody accepts from would be lost with the
// address. So a filter in the kernel drops what would begin a connection, as if the network had lost it: a client sends its SYN
// again after a second (RFC 6298 section 2), or its QUIC Initial after a probe time-out (RFC 9002 section 6.2), and finds the
// new owner of the address.

// hold is one call of [Set.Hold].
type hold struct{ addresses []netip.Addr }

// Hold lets nobody begin a connection to these addresses until release is called: there is no answer at all. Connections that
// stand are not disturbed, nor are other addresses of the same sockets. It also holds for sockets that are opened while it
// lasts, but not for those of [Set.Listen]. Several holds may last at once; each release ends one, and may be called again.
func (s *Set) Hold(addresses []netip.Addr) (release func(), err error) {
	h := &hold{}
	for _, a := range addresses {
		h.addresses = append(h.addresses, a.Unmap().WithZone(""))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = append(s.holds, h)
	if err := s.filterAll(); err != nil {
		s.drop(h)
		return nil, err
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.drop(h)
		})
	}, nil
}

// drop ends a hold. mu is held.
func (s *Set) drop(h *hold) {
	s.holds = slices.DeleteFunc(s.holds, func(o *hold) bool { return o == h })
	// Fewer addresses need a shorter filter, and none needs no filter. What fails now is a socket that is closed.
	_ = s.filterAll()
}

// filterAll brings the filter of every socket up to date. mu is held.
func (s *Set) filterAll() error {
	for address, l := range s.open {
		raw, err := l.syscallConn()
		if err == nil {
			err = s.filter(raw, address, ipOf(l.Addr()), tcpKind)
		}
		if err != nil {
			return err
		}
	}
	for address, p := range s.packets {
		raw, err := p.conn.SyscallConn()
		if err == nil {
			err = s.filter(raw, address, ipOf(p.conn.LocalAddr()), udpKind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// filter gives one socket the filter that the holds ask for, or none. bound is the address that it listens on. mu is held.
func (s *Set) filter(raw syscall.RawConn, address string, bound netip.Addr, kind string) error {
	var held []netip.Addr
	for _, h := range s.holds {
		for _, a := range h.addresses {
			if takes(bound, a) && !slices.Contains(held, a) {
				held = append(held, a)
			}
		}
	}
	var err error
	if e := raw.Control(func(fd uintptr) { err = setFilter(int(fd), held, kind == udpKind) }); e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("hold new connections on %s %s: %w\nhint: with very many addresses, raise the sysctl net.core.optmem_max", kind, address, err)
	}
	return nil
}

// held is a [net.ListenConfig]'s Control that also gives the new socket its filter, before anybody can come. mu is held while
// it is called.
func (s *Set) held(control func(network, address string, raw syscall.RawConn) error, kind string) func(network, address string, raw syscall.RawConn) error {
	return func(network, address string, raw syscall.RawConn) error {
		if err := control(network, address, raw); err != nil {
			return err
		}
		var bound netip.Addr
		if a, err := netip.ParseAddrPort(address); err == nil {
			bound = a.Addr().Unmap().WithZone("")
		}
		// ":8080", but also "0.0.0.0:8080", is what the socket's family makes of it.
		if !bound.IsValid() || bound.IsUnspecified() {
			if bound = netip.IPv6Unspecified(); strings.HasSuffix(network, "4") {
				bound = netip.IPv4Unspecified()
			}
		}
		return s.filter(raw, address, bound, kind)
	}
}

// takes reports whether what is sent to a comes to a socket that is bound there. The wildcard of IPv6 is that of IPv4, too,
// unless the system says otherwise: then the filter waits for what never comes.
func takes(bound, a netip.Addr) bool {
	if bound.IsUnspecified() {
		return bound.Is6() || a.Is4()
	}
	return bound == a
}

// ipOf is the address of a socket, IPv4 in its own form.
func ipOf(a net.Addr) netip.Addr {
	var ip netip.Addr
	switch a := a.(type) {
	case *net.TCPAddr:
		ip, _ = netip.AddrFromSlice(a.IP)
	case *net.UDPAddr:
		ip, _ = netip.AddrFromSlice(a.IP)
	}
	return ip.Unmap()
}
