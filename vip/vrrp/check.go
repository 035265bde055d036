package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// check says what is wrong with settings. The configuration has told its user before, in words with a file and a line; this is the
// last line of defence, as the machine relies on it.
func (s *Settings) check() error {
	if s.Version != 2 && s.Version != 3 {
		return fmt.Errorf("version %d: must be 2 or 3", s.Version)
	}
	if s.RouterID == 0 {
		return fmt.Errorf("router id 0: must be 1 - 255")
	}
	if n := len(s.Addresses); n == 0 || n > MaxAddresses {
		return fmt.Errorf("%d addresses: must be 1 - %d", n, MaxAddresses)
	}
	v4 := s.Source.Is4()
	for i, a := range s.Addresses {
		if !a.IsValid() || a.Is4() != v4 || a != bare(a) {
			return fmt.Errorf("address %v: must be of the family of source %v", a, s.Source)
		}
		if contains(s.Addresses[:i], a) {
			return fmt.Errorf("address %v: is there twice", a)
		}
	}
	if !s.Source.IsValid() || s.Source.Is4In6() {
		return fmt.Errorf("source %v: must be an address of this node", s.Source)
	}
	for i, p := range s.Peers {
		switch {
		case !p.IsValid() || p.Is4() != v4 || p.Is4In6() || p.IsMulticast():
			return fmt.Errorf("peer %v: must be a unicast address of the family of source %v", p, s.Source)
		case bare(p) == bare(s.Source):
			return fmt.Errorf("peer %v: is the source", p)
		case contains(s.Peers[:i], p):
			return fmt.Errorf("peer %v: is there twice", p)
		}
	}
	if s.Far && len(s.Peers) == 0 {
		return fmt.Errorf("far: needs peers, as multicast does not pass a router")
	}
	if s.Priority == 0 {
		return fmt.Errorf("priority 0: must be 1 - 255")
	}
	if s.PreemptDelay < 0 || s.StartDelay < 0 {
		return fmt.Errorf("delays %v and %v: must not be negative", s.PreemptDelay, s.StartDelay)
	}
	if s.Password != "" && (s.Version != 2 || !v4) {
		return fmt.Errorf("password: only version 2 over IPv4 has one")
	}
	switch s.Checksum {
	case "", Auto, PseudoHeader, RFC9568:
	default:
		return fmt.Errorf("checksum %q: must be %q, %q or %q", s.Checksum, Auto, PseudoHeader, RFC9568)
	}
	return s.checkInterval()
}

func (s *Settings) checkInterval() error {
	unit, most := step, maxInterval*step
	if s.Version == 2 {
		unit, most = time.Second, 255*time.Second
	}
	if s.Interval < unit || s.Interval > most || s.Interval%unit != 0 {
		return fmt.Errorf("interval %v: version %d has %v - %v in steps of %v", s.Interval, s.Version, unit, most, unit)
	}
	return nil
}

// contains compares without zones.
func contains(list []netip.Addr, a netip.Addr) bool {
	for _, l := range list {
		if bare(l) == bare(a) {
			return true
		}
	}
	return false
}
