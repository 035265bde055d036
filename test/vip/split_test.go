package vip

import (
	"net"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// gone returns when one balancer alone has lost the address.
func (s *site) gone(own *lab.Timeline, within time.Duration) time.Time {
	s.t.Helper()
	harness.Eventually(s.t, within, "the isolated node gives the address up", func() bool { return len(own.Owners(time.Now())) == 0 })
	h := own.History()
	return h[len(h)-1].From
}

// believes waits until the visitor takes the host's port for the owner of the address.
func (s *site) believes(p *lab.Port, within time.Duration) {
	s.t.Helper()
	var mac net.HardwareAddr
	if !harness.Soon(within, func() bool {
		mac = s.visitor.Neighbor(address)
		return mac.String() == p.MAC.String()
	}) {
		s.t.Errorf("%v later the visitor believes that %s is at %v, want %v of %v", within, address, mac, p.MAC, p)
	}
}

// asks makes the visitor ask once, and so learn where the address is.
func (s *site) asks() {
	s.t.Helper()
	if body, _, err := get(s.visitor, 80, "/", patience); err != nil || body != "hello" {
		s.t.Fatalf("the visitor hears %q: %v", body, err)
	}
}

// fenceLimit is when an isolated node has given up at the latest: nobody has answered for 300 ms, and the judge looks every so
// often. The rest is for a busy machine.
const fenceLimit = time.Second

// Of three nodes the one that is cut off gives the address up, and one of the others takes it. Afterwards there is one owner.
func TestIsolatedOfThree(t *testing.T) {
	for _, way := range []struct {
		name       string
		begin, end func(s *site)
	}{
		{"unplugged", func(s *site) { s.lb[0].Port(0).Unplug() }, func(s *site) { s.lb[0].Port(0).Plug() }},
		{"only heard", func(s *site) { s.lb[0].Port(0).Lose(lab.In, 1) }, func(s *site) { s.lb[0].Port(0).Lose(lab.In, 0) }},
		{"only hears", func(s *site) { s.lb[0].Port(0).Lose(lab.Out, 1) }, func(s *site) { s.lb[0].Port(0).Lose(lab.Out, 0) }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 3)
			own := lab.Watch(address, s.lb[0])
			s.start(s.file(s.front()))
			s.asks()
			began := time.Now()
			way.begin(s)
			at := s.gone(own, patience)
			// Who is heard but hears nothing keeps the others quiet until then.
			next := s.owners.Wait(s.lb[1], patience)
			t.Logf("isolated: gave up after %v, lb2 was the owner after %v, two owners for %v", at.Sub(began), next.Sub(began),
				s.owners.Between(began, time.Time{}).DoubleTime())
			if d := at.Sub(began); d > fenceLimit {
				t.Errorf("it gave up after %v, want at most %v", d, fenceLimit)
			}
			s.waits(0, patience, "it knows", func(n status) bool { return n.of("front").Isolated && n.of("front").State == "fault" })
			s.believes(s.lb[1].Port(0), patience)
			healed := time.Now()
			way.end(s)
			s.owners.Wait(s.lb[0], patience) // it comes first
			if d := s.owners.Between(healed, time.Time{}).DoubleTime(); d > overlap {
				t.Errorf("two owners for %v after the network had healed\n%s", d, s.owners)
			}
			s.believes(s.lb[0].Port(0), time.Second)
			s.stop()
		})
	}
}

// Of two nodes with a witness the one that reaches neither gives the address up.
func TestWitness(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	own := lab.Watch(address, s.lb[0])
	s.start(s.file(s.front(`witness = "10.0.0.99"`)))
	began := time.Now()
	s.lb[0].Port(0).Unplug()
	at := s.gone(own, patience)
	s.owners.Wait(s.lb[1], patience)
	t.Logf("isolated: gave up after %v, two owners for %v", at.Sub(began), s.owners.DoubleTime())
	if d := at.Sub(began); d > fenceLimit {
		t.Errorf("it gave up after %v, want at most %v", d, fenceLimit)
	}
	healed := time.Now()
	s.lb[0].Port(0).Plug()
	s.owners.Wait(s.lb[0], patience)
	if d := s.owners.Between(healed, time.Time{}).DoubleTime(); d > overlap {
		t.Errorf("two owners for %v after the network had healed\n%s", d, s.owners)
	}
	// The witness alone does not decide, as long as the nodes reach each other.
	since := time.Now()
	s.visitor.Port(0).Unplug()
	stay(t, s, s.lb[0], since, 1500*time.Millisecond)
	s.visitor.Port(0).Plug()
	s.stop()
}

// Without a witness both of two nodes own the address while they do not hear each other, as with any VRRP. A second after they
// do, there is one owner, and visitors know which.
func TestBothOwn(t *testing.T) {
	for _, way := range []struct {
		name       string
		begin, end func(s *site)
	}{
		{"split", func(s *site) { s.lan.Split(s.lb[1].Port(0)) }, func(s *site) { s.lan.Heal() }},
		{"isolated ports", func(s *site) { s.lb[0].Port(0).Isolate(true); s.lb[1].Port(0).Isolate(true) }, func(s *site) { s.lb[0].Port(0).Isolate(false) }},
		{"advertisements of one get lost", func(s *site) { s.lb[0].Port(0).Lose(lab.Out, 1, lab.VRRP) }, func(s *site) { s.lb[0].Port(0).Lose(lab.Out, 0, lab.VRRP) }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 2)
			s.start(s.file(s.front()))
			s.asks()
			way.begin(s)
			harness.Eventually(t, patience, "both own the address", func() bool { return len(s.owners.Owners(time.Now())) == 2 })
			time.Sleep(500 * time.Millisecond) // visitors have time to believe the wrong one
			healed := time.Now()
			way.end(s)
			one := s.owners.Wait(s.lb[0], patience)
			t.Logf("one owner %v after the network had healed", one.Sub(healed))
			if d := one.Sub(healed); d > time.Second {
				t.Errorf("two owners until %v after the network had healed", d)
			}
			s.believes(s.lb[0].Port(0), time.Second)
			stay(t, s, s.lb[0], time.Now(), 500*time.Millisecond)
			s.stop()
		})
	}
}

// A node that was stopped in its tracks, as a virtual machine is that moves, says nothing as owner when it goes on: another one
// has the address by then.
func TestSleep(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.start(s.file(s.front("preempt = false")))
	wire := s.lan.Capture(lab.Of(lab.VRRP))
	s.run[0].FreezeAll()
	s.owners.Exclude(s.lb[0])
	s.owners.Wait(s.lb[1], patience)
	nap := 3 * time.Second
	if harness.Soak() {
		nap = 10 * time.Second
	}
	time.Sleep(nap)
	woken := time.Now()
	s.owners.Include(s.lb[0])
	s.run[0].ThawAll()
	harness.Eventually(t, patience, "who slept has no address", func() bool { return !s.lb[0].Has(address) })
	t.Logf("the address was gone %v after the end of the sleep", time.Since(woken))
	since := time.Now()
	stay(t, s, s.lb[1], since, 2*time.Second)
	for _, p := range wire.Packets() {
		if p.Time.After(woken) && p.Src == s.lb[0].Port(0).Addr() {
			t.Errorf("who slept speaks %v after it woke: %v", p.Time.Sub(woken), p)
		}
	}
	s.waits(0, patience, "it knows that it slept", func(n status) bool { return n.of("front").State == "backup" && n.VIPs[0].Families[0].Slept > 0 })
	s.stop()
}
