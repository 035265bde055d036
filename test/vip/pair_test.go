package vip

import (
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// Two balancers that both work: each has an address of its own and takes over the other's.
func TestActiveActive(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	const other = "10.0.0.101"
	right := lab.Watch(other, s.lb...)
	swapped := strings.ReplaceAll(s.vip("right", `address = "`+other+`/24"`), "[server.lb1, server.lb2]", "[server.lb2, server.lb1]")
	file := s.file(s.front(), swapped)
	s.launch(0, file)
	s.launch(1, file)
	split := func() {
		t.Helper()
		s.owners.Wait(s.lb[0], patience)
		right.Wait(s.lb[1], patience)
		s.ready(0)
		s.ready(1)
	}
	split()
	for i := range s.lb {
		both := s.lb[1-i]
		// Who has its own address goes on with it undisturbed.
		mine := []*lab.Timeline{s.owners, right}[1-i]
		since := time.Now()
		s.command(i, "drain", s.lb[i].Name)
		s.owners.Wait(both, patience)
		right.Wait(both, patience)
		if all := mine.Between(since, time.Time{}); len(all) != 1 {
			t.Errorf("the drain of %s disturbs the address of %s:\n%s", s.lb[i].Name, both.Name, all)
		}
		s.command(i, "ready", s.lb[i].Name)
		split()
	}
	for _, tl := range []*lab.Timeline{s.owners, right} {
		if d := tl.DoubleTime(); d > overlap {
			t.Errorf("two owners of %s for %v\n%s", tl.Address, d, tl)
		}
	}
	// And the same when one dies.
	began := time.Now()
	s.owners.Exclude(s.lb[0])
	right.Exclude(s.lb[0])
	s.lb[0].PowerOff()
	s.run[0].Kill()
	s.owners.Wait(s.lb[1], patience)
	if all := right.Between(began, time.Time{}); len(all) != 1 || all[0].Owners[0] != "lb2" {
		t.Errorf("the death of lb1 disturbs the address of lb2:\n%s", all)
	}
	s.lb[0].PowerOn()
	s.owners.Include(s.lb[0])
	right.Include(s.lb[0])
	s.again(0)
	split()
	s.stop()
}

// IPv4 and IPv6 addresses of one vip move together.
func TestFamilies(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	six := lab.Watch("fd00::100", s.lb...)
	s.start(s.file(s.vip("front", `address = ["`+address+`/24", "fd00::100/64"]`, "preempt = false")))
	six.Wait(s.lb[0], patience)
	probe := s.visitor.Probe("http://[fd00::100]/", lab.Probing{})
	probe.Answered(patience)
	for i, strike := range []func(){
		func() { s.run[0].Kill() },
		func() { s.command(1, "drain", "lb2") },
	} {
		strike()
		s.owners.Wait(s.lb[1-i], patience)
		six.Wait(s.lb[1-i], patience)
		probe.Answered(patience)
		if i == 0 {
			s.again(0)
			s.ready(0)
		}
	}
	if a, b := moves(s.owners.History()), moves(six.History()); a != 2 || b != 2 {
		t.Errorf("the addresses moved %d and %d times, want 2 each\n%s%s", a, b, s.owners, six)
	}
	t.Logf("IPv6: %s", probe.Stop())
	s.stop()
}

// Two interfaces, a vip on each, one group: when one link fails both addresses move, once, and back.
func TestGroup(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	out, in := l.Switch("out"), l.Switch("in")
	s := &site{Lab: l, t: t, lan: out, run: make([]*lab.Skein, 2), text: make([]string, 2)}
	s.lb = []*lab.Host{
		l.Host("lb1", out.Port("10.0.0.11/24"), in.Port("10.1.0.11/24")),
		l.Host("lb2", out.Port("10.0.0.12/24"), in.Port("10.1.0.12/24")),
	}
	web := l.Host("web", in.Port("10.1.0.21/24"))
	web.Origin(":8080", pages())
	s.owners = lab.Watch(address, s.lb...)
	inside := lab.Watch("10.1.0.100", s.lb...)
	file := strings.ReplaceAll(s.file(s.front(`group = "gateway"`), s.vip("back", `address = "10.1.0.100/24"`, `group = "gateway"`, `router_id = 7`, "unicast = false")),
		`"10.0.0.21:8080", "10.0.0.22:8080"`, `"10.1.0.21:8080"`)
	s.launch(0, file)
	s.launch(1, file)
	both := func(h *lab.Host) {
		t.Helper()
		s.owners.Wait(h, patience)
		inside.Wait(h, patience)
	}
	both(s.lb[0])
	s.ready(0)
	s.ready(1)
	both(s.lb[0])
	for n := range 2 {
		since := time.Now()
		s.lb[0].Port(n).Down()
		both(s.lb[1])
		s.lb[0].Port(n).Up()
		both(s.lb[0])
		stay(t, s, s.lb[0], time.Now(), 500*time.Millisecond)
		for _, tl := range []*lab.Timeline{s.owners, inside} {
			if h := tl.Between(since, time.Time{}); moves(h) != 2 || h.DoubleTime() > overlap {
				t.Errorf("eth%d failed: %s does not move once and back:\n%s", n, tl.Address, h)
			}
		}
	}
	s.stop()
}

// The address has the MAC of its virtual router, whoever owns it: nobody has to learn a new one.
func TestVirtualMAC(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.start(s.file(s.front("virtual_mac = true", "router_id = 23", "preempt = false")))
	const mac = "00:00:5e:00:01:17"
	probe := s.visitor.Probe(page, lab.Probing{})
	probe.Answered(patience)
	learned := func() {
		t.Helper()
		if got := s.visitor.Neighbor(address).String(); got != mac {
			t.Errorf("the visitor believes that %s is at %s, want %s", address, got, mac)
		}
	}
	learned()
	s.run[0].Kill()
	s.owners.Wait(s.lb[1], patience)
	probe.Answered(patience)
	learned()
	s.again(0)
	s.ready(0)
	s.command(1, "drain", "lb2")
	s.owners.Wait(s.lb[0], patience)
	probe.Answered(patience)
	learned()
	r := probe.Stop()
	t.Logf("the visitor saw %s", r)
	s.stop()
	for _, h := range s.lb {
		harness.Eventually(t, patience, "the interface of "+h.Name+" is gone", func() bool {
			for _, a := range h.Addresses() {
				if strings.HasPrefix(a, "skein") {
					return false
				}
			}
			return true
		})
	}
}
