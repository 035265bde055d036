package speaker

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"skein/kernel"
	"skein/test/harness"
	"skein/test/lab"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// Both families, by unicast and by multicast, with and without a MAC of their own: one owner before and after.
func TestFamilies(t *testing.T) {
	for _, test := range []struct {
		name                string
		unicast, virtualMAC bool
	}{
		{"multicast", false, false},
		{"unicast", true, false},
		{"virtual MAC", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := lab.New(t)
			lan := l.Switch("lan")
			lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24", "fd00::11/64")), l.Host("lb2", lan.Port("10.0.0.12/24", "fd00::12/64"))
			visitor := l.Host("visitor", lan.Port("10.0.0.99/24", "fd00::99/64"))
			a, b := start(t, lb1), start(t, lb2)
			instances := func(n *balancer, priority uint8, own, peer int) (all []speaker.Instance) {
				for _, p := range []string{"10.0.0.100/24", "fd00::100/64"} {
					i := n.router(priority, p)
					i.VirtualMAC = test.virtualMAC
					if test.unicast {
						form := "10.0.0.%d"
						if i.Router.Source.Is6() {
							form = "fd00::%d"
						}
						i.Router.Source = netip.MustParseAddr(fmt.Sprintf(form, own))
						i.Router.Peers = []netip.Addr{netip.MustParseAddr(fmt.Sprintf(form, peer))}
					}
					all = append(all, i)
				}
				return all
			}
			a.configure(nil, instances(a, 200, 11, 12)...)
			b.configure(nil, instances(b, 190, 12, 11)...)
			four, six := lab.Watch("10.0.0.100", lb1, lb2), lab.Watch("fd00::100", lb1, lb2)
			four.Wait(lb1, harness.Patience)
			six.Wait(lb1, harness.Patience)
			reach(t, visitor, lb1, a)
			if test.virtualMAC {
				if got, want := visitor.Neighbor("10.0.0.100"), kernel.VirtualMAC(10, false); !bytes.Equal(got, want) {
					t.Errorf("the visitor sends to %s, want %s", got, want)
				}
				if got, want := visitor.Neighbor("fd00::100"), kernel.VirtualMAC(10, true); !bytes.Equal(got, want) {
					t.Errorf("the visitor sends to %s, want %s", got, want)
				}
			}
			begin := time.Now()
			lb1.Port(0).Down()
			t.Logf("after the cable: %v, %v", four.Wait(lb2, harness.Patience).Sub(begin), six.Wait(lb2, harness.Patience).Sub(begin))
			reach(t, visitor, lb2, b)
			lb1.Port(0).Up()
			four.Wait(lb1, harness.Patience)
			six.Wait(lb1, harness.Patience)
			reach(t, visitor, lb1, a)
			if links := lb2.Addresses(); test.virtualMAC && len(links) == 0 {
				t.Error("lb2 has lost its addresses")
			}
		})
	}
}

// reach fails unless the host answers the visitor on both addresses.
func reach(t *testing.T, visitor, host *lab.Host, b *balancer) {
	t.Helper()
	b.is(vrrp.Master)
	for _, a := range []string{"10.0.0.100:8080", "[fd00::100]:8080"} {
		ln := host.Listen(a)
		c, err := visitor.Dial(t.Context(), "tcp", a)
		ln.Close()
		if err != nil {
			t.Errorf("%s in %s: %v", a, host.Name, err)
			continue
		}
		c.Close()
	}
}

// A hundred addresses to add and to announce, ten times each, do not keep an advertisement waiting.
func TestManyAddresses(t *testing.T) {
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/16")), l.Host("lb2", lan.Port("10.0.0.12/16"))
	a := start(t, lb1)
	wire := lb2.Capture(0, lab.Of(lab.VRRP, lab.ARP))
	var many []string
	for n := range vrrp.MaxAddresses {
		many = append(many, fmt.Sprintf("10.0.1.%d/16", n+1))
	}
	one := a.router(200, "10.0.0.100/16")
	one.VIP, one.Router.RouterID, one.Router.Interval = "back", 20, 10*time.Millisecond
	a.configure(nil, one)
	time.Sleep(500 * time.Millisecond)
	begin := time.Now()
	i := a.router(200, many...)
	// Two groups: each has its own addresses.
	c := &speaker.Configure{Serial: 999, Parent: a.process.PID(), State: a.state, Groups: []speaker.Group{
		{Name: "back", Instances: []speaker.Instance{one}}, {Name: "front", Instances: []speaker.Instance{i}},
	}}
	a.order(speaker.Order{Configure: c})
	a.status("all addresses are held", func(s speaker.InstanceStatus) bool { return s.VIP == "front" && len(s.Held) == len(many) })
	time.Sleep(500 * time.Millisecond)
	var last time.Time
	var longest time.Duration
	announced := make(map[netip.Addr]int)
	var first, end time.Time
	for _, p := range wire.Packets() {
		switch {
		case p.ARP != nil && p.ARP.Gratuitous() && p.Time.After(begin):
			announced[p.ARP.Sender]++
			if first.IsZero() {
				first = p.Time
			}
			end = p.Time
		case len(p.VRRP()) > 2 && p.VRRP()[1] == 20:
			if p.Time.After(begin) {
				longest = max(longest, p.Time.Sub(last))
			}
			last = p.Time
		}
	}
	t.Logf("%d addresses announced within %v; longest pause of the other router's advertisements %v (interval 10ms)", len(announced), end.Sub(first), longest)
	for _, p := range many {
		if n := announced[netip.MustParsePrefix(p).Addr()]; n != 5 {
			t.Errorf("%s was announced %d times, want 5", p, n)
		}
	}
	if longest > 40*time.Millisecond { // three intervals and its skew: then another one would be master
		t.Errorf("the other router was silent for %v", longest)
	}
}

// A reload that adds and removes addresses leaves the others alone.
func TestReload(t *testing.T) {
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24", "fd00::11/64")), l.Host("lb2", lan.Port("10.0.0.12/24", "fd00::12/64"))
	a, b := start(t, lb1), start(t, lb2)
	a.configure(nil, a.router(200, "10.0.0.100/24"))
	b.configure(nil, b.router(190, "10.0.0.100/24"))
	owners := lab.Watch("10.0.0.100", lb1, lb2)
	begin := owners.Wait(lb1, harness.Patience)
	wire := lb2.Capture(0, lab.Of(lab.VRRP))
	for _, step := range [][]string{
		{"10.0.0.101/24", "10.0.0.100/24"}, {"10.0.0.100/24", "10.0.0.102/32"}, {"10.0.0.100/24"},
	} {
		a.configure(nil, a.router(200, step...))
		b.configure(nil, b.router(190, step...))
		time.Sleep(100 * time.Millisecond)
	}
	a.configure(nil, a.router(200, "10.0.0.100/24"), a.router(200, "fd00::100/64"))
	b.configure(nil, b.router(190, "10.0.0.100/24"), b.router(190, "fd00::100/64"))
	time.Sleep(500 * time.Millisecond)
	if !lb1.Has("fd00::100") {
		t.Errorf("lb1 has %v", lb1.Addresses())
	}
	h := owners.Between(begin, time.Now())
	if len(h.Gaps()) > 0 || len(h.Doubles()) > 0 {
		t.Errorf("the address was not on lb1 all the time:\n%s", h)
	}
	// Another length is another address to the kernel; the new one comes before the old one goes.
	for n := range 10 {
		length := []int{32, 24}[n%2]
		a.order(speaker.Order{Configure: &speaker.Configure{Serial: 1000, Parent: a.process.PID(), State: a.state, Groups: []speaker.Group{
			{Name: "front", Instances: []speaker.Instance{a.router(200, fmt.Sprintf("10.0.0.100/%d", length))}},
		}}})
		for until := time.Now().Add(20 * time.Millisecond); time.Now().Before(until); {
			if !lb1.Has("10.0.0.100") {
				t.Fatalf("the address is missing on the way to /%d", length)
			}
		}
	}
	b.configure(nil, b.router(190, "10.0.0.100/24"))
	if lb1.Has("fd00::100") {
		t.Errorf("lb1 has %v", lb1.Addresses())
	}
	if lb1.Has("10.0.0.101") || lb1.Has("10.0.0.102") {
		t.Errorf("lb1 has %v", lb1.Addresses())
	}
	if p, ok := wire.Find(func(p lab.Packet) bool { return len(p.VRRP()) > 2 && p.VRRP()[2] == 0 && p.Src.Is4() }); ok {
		t.Errorf("somebody gave up: %s", p)
	}
}

// Another speaker goes on: the address never leaves, and nobody hears of it.
func TestRelease(t *testing.T) {
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24")), l.Host("lb2", lan.Port("10.0.0.12/24"))
	a, b := start(t, lb1), start(t, lb2)
	a.configure(nil, a.router(200, "10.0.0.100/24"))
	b.configure(nil, b.router(190, "10.0.0.100/24"))
	owners := lab.Watch("10.0.0.100", lb1, lb2)
	begin := owners.Wait(lb1, harness.Patience)
	wire := lb2.Capture(0, lab.Of(lab.VRRP))
	heir := start(t, lb1)
	heir.state = a.state
	released := time.Now()
	a.order(speaker.Order{Release: true})
	r := a.await("snapshots", func(r speaker.Report) bool { return r.Released != nil })
	heir.configure(*r.Released, heir.router(200, "10.0.0.100/24"))
	t.Logf("released and resumed within %v", time.Since(released))
	a.conn.Close()
	a.process.Kill()
	if code := a.speaker.Wait(harness.Patience); code != 0 {
		t.Errorf("exit code = %d", code)
	}
	time.Sleep(time.Second)
	h := owners.Between(begin, time.Now())
	if len(h.Gaps()) > 0 || len(h.Doubles()) > 0 {
		t.Errorf("the address was not on lb1 all the time:\n%s", h)
	}
	for _, p := range wire.Packets() {
		if v := p.VRRP(); len(v) > 2 && v[2] != 200 {
			t.Errorf("an advertisement of the upgrade: %s", p)
		}
	}
	if s := heir.is(vrrp.Master); s.Counters.BecameMaster != 1 {
		t.Errorf("became master %d times, want once, in another process", s.Counters.BecameMaster)
	}
}

// Advertisements leave in time while every processor is busy.
func TestBusyMachine(t *testing.T) {
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24")), l.Host("lb2", lan.Port("10.0.0.12/24"))
	a, b := start(t, lb1), start(t, lb2)
	a.configure(nil, a.router(200, "10.0.0.100/24"))
	b.configure(nil, b.router(190, "10.0.0.100/24"))
	a.is(vrrp.Master)
	for range 4 * runtime.NumCPU() {
		lb1.Run(exec.Command("sh", "-c", "while :; do :; done"))
	}
	wire := lb2.Capture(0, lab.Of(lab.VRRP))
	for end := time.Now().Add(busy()); time.Now().Before(end); time.Sleep(time.Second) {
		a.beat() // this process is no better off than any other
	}
	var gaps []time.Duration
	var last time.Time
	for _, p := range wire.Packets() {
		if !last.IsZero() {
			gaps = append(gaps, p.Time.Sub(last))
		}
		last = p.Time
	}
	slices.Sort(gaps)
	s := a.is(vrrp.Master)
	t.Logf("%d advertisements, pauses: median %v, 99 %% %v, worst %v; late: worst %v, mean %v", len(gaps)+1, gaps[len(gaps)/2],
		gaps[len(gaps)*99/100], gaps[len(gaps)-1], s.Late.Max, s.Late.Sum/time.Duration(max(s.Counters.Sent, 1)))
	if s.Counters.BecameMaster != 1 {
		t.Errorf("lb1 became master %d times, want once", s.Counters.BecameMaster)
	}
	if worst := gaps[len(gaps)-1]; worst > 300*time.Millisecond {
		t.Errorf("lb1 was silent for %v", worst)
	}
}

// busy is how long the machine is: ten minutes in the long test.
func busy() time.Duration {
	if os.Getenv("SKEIN_SOAK") != "" {
		return 10 * time.Minute
	}
	return 5 * time.Second
}

// A speaker that was stopped has missed what happened: as a backup it hears what waits before it believes its timer, as a master
// it lets go before it says a word.
func TestFrozenSpeaker(t *testing.T) {
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24")), l.Host("lb2", lan.Port("10.0.0.12/24"))
	a, b := start(t, lb1), start(t, lb2)
	a.configure(nil, a.router(200, "10.0.0.100/24"))
	b.configure(nil, b.router(190, "10.0.0.100/24"))
	owners := lab.Watch("10.0.0.100", lb1, lb2)
	begin := owners.Wait(lb1, harness.Patience)
	for _, frozen := range []time.Duration{330 * time.Millisecond, 400 * time.Millisecond, 2 * time.Second} {
		b.speaker.FreezeAlone()
		time.Sleep(frozen)
		b.speaker.ThawAlone()
		time.Sleep(500 * time.Millisecond)
	}
	if s := b.is(vrrp.Backup); s.Counters.BecameFault > 0 {
		t.Error("lb2 took its own sleep for its balancer's")
	}
	if h := owners.Between(begin, time.Now()); len(h.Gaps()) > 0 || len(h.Doubles()) > 0 {
		t.Errorf("a backup that slept took the address:\n%s", h)
	}
	wire := lan.Capture(lab.Of(lab.VRRP))
	a.speaker.FreezeAlone()
	b.is(vrrp.Master)
	time.Sleep(3 * time.Second)
	thawed := time.Now()
	a.speaker.ThawAlone()
	time.Sleep(time.Second)
	history := owners.Between(thawed, time.Now())
	if double := history.DoubleTime(); double > 20*time.Millisecond {
		t.Errorf("lb1 had the address for %v after it ran again:\n%s", double, history)
	}
	for _, p := range wire.Packets() {
		if p.Src == netip.MustParseAddr("10.0.0.11") && p.Time.After(thawed) {
			if first := p.Time.Sub(thawed); first < 100*time.Millisecond {
				t.Errorf("lb1 spoke %v after it ran again", first)
			}
			break
		}
	}
	a.is(vrrp.Master) // it is the better one, and takes it back in order
}
