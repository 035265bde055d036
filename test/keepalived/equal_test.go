package keepalived

import (
	"slices"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// Test 5: of two masters with the same priority the one with the higher address stays (RFC 9568 section 6.4.3), over IPv6 the higher
// link-local one if it is by multicast.
func TestEqual(t *testing.T) {
	t.Parallel()
	for _, r := range variants() {
		if r.version == 2 && r.unicast {
			continue // the rule knows no difference, and it needs twenty seconds
		}
		t.Run(r.variant(), func(t *testing.T) {
			t.Parallel()
			r.priorities = [2]int{100, 100}
			each(t, func(t *testing.T, pair [2]string) {
				s := newSite(t, pair, r.address(), 1)
				s.lan.Split(s.nodes[0].host.Port(0))
				for _, n := range s.nodes {
					n.start(r)
				}
				s.both()
				heard := s.nodes[0].host.Capture(0, lab.Of(lab.VRRP), func(p *lab.Packet) bool { return !p.Out })
				healed := time.Now()
				s.lan.Heal()
				first := heard.Wait(func(lab.Packet) bool { return true }, settling).Time
				if !r.unicast {
					s.bounded("lb2 is heard", healed, first, r.interval)
				} // else the kernels look for each other's MAC address once a second first
				since := s.owners.Wait(s.nodes[1].host, settling)
				s.bounded("lb1 lets go", first, since, r.interval)
				s.settled(s.nodes[1])
				s.content()
			})
		})
	}
}

// both waits until both nodes own the address.
func (s *site) both() {
	s.t.Helper()
	harness.Eventually(s.t, settling, "both nodes own the address", func() bool {
		return slices.Equal(s.owners.Owners(time.Now()), []string{"lb1", "lb2"})
	})
}
