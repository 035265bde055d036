package speaker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// who is the host that says something in a scenario, and how long after it the other one has the address.
func TestTakeover(t *testing.T) {
	tests := []struct {
		name   string
		happen func(lan *kernel.FakeLAN, a *node)
		within time.Duration // of what happened, until lb2 has the address
		zero   bool          // lb1 says that it gives up
		left   bool          // lb1's address stays where nobody can reach it
	}{
		{"cable of the master", func(_ *kernel.FakeLAN, a *node) { a.host.SetCarrier("eth0", false) }, masterDown(190) - 50*time.Millisecond, false, false},
		{"end of the parent", func(_ *kernel.FakeLAN, a *node) { a.die() }, skew(190), true, false},
		{"order to stop", func(_ *kernel.FakeLAN, a *node) { a.order(Order{Stop: true}) }, skew(190), true, false},
		{"order to yield", func(_ *kernel.FakeLAN, a *node) {
			a.set(func(n *node) { n.fitness = Drained })
			a.beat()
			a.order(Order{Yield: &Yield{VIPs: []string{"front"}, Reason: "drained"}})
		}, skew(190), true, false},
		{"unfit", func(_ *kernel.FakeLAN, a *node) {
			a.set(func(n *node) { n.fitness = Unfit })
			a.beat()
		}, skew(190), false, false},
		{"silent network", func(lan *kernel.FakeLAN, a *node) {
			lan.Lose(func(p kernel.FakePacket) bool { return p.Kind == kernel.FakeVRRP && p.From == "lb1" })
		}, masterDown(190) - 50*time.Millisecond, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan, a, _ := pair(t)
				last, _ := said(lan, "lb1")
				if since := time.Since(last); since != 50*time.Millisecond {
					t.Fatalf("the last advertisement is %v old, want half an interval", since)
				}
				begin := time.Now()
				test.happen(lan, a)
				settled(400 * time.Millisecond)
				at, _ := happened(lan, "lb2", kernel.FakeAdded, addr("10.0.0.100"))
				if got := at.Sub(begin); got < test.within || got > test.within+2*time.Millisecond {
					t.Errorf("lb2 had the address after %v, want %v", got, test.within)
				}
				want := []string{"lb2"}
				if test.left {
					want = []string{"lb1", "lb2"}
				}
				owner(t, lan, "10.0.0.100", want...)
				if who := lan.Announcer(addr("10.0.0.100")); who != "lb2" && !test.left {
					t.Errorf("the neighbors send to %s, want lb2", who)
				}
				if _, times := happened(lan, "lb2", kernel.FakeAnnounced, addr("10.0.0.100")); times < 5 {
					t.Errorf("lb2 has announced the address %d times, want 5", times)
				}
				if _, last := said(lan, "lb1"); !test.left && (last == 0) != test.zero {
					t.Errorf("lb1's last priority = %d, want 0: %v", last, test.zero)
				}
			})
		})
	}
}

func TestFamiliesMoveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24"), prefix("fd00::11/64")))
		b := start(t, lan.Host("lb2", prefix("10.0.0.12/24"), prefix("fd00::12/64")))
		for n, priority := range map[*node]uint8{a: 200, b: 190} {
			n.configure(nil, one(router(n.host, priority, front), router(n.host, priority, "fd00::100/64")))
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		owner(t, lan, "fd00::100", "lb1")
		// Only one family is lost: the other one says that lb1 is there.
		lan.Lose(func(p kernel.FakePacket) bool { return p.Kind == kernel.FakeVRRP && p.From == "lb1" && p.Src.Is4() })
		settled(10 * time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		owner(t, lan, "fd00::100", "lb1")
		lan.Lose(nil)
		settled(100 * time.Millisecond)
		a.die()
		settled(skew(190) + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb2")
		owner(t, lan, "fd00::100", "lb2")
	})
}

// A backup that slept must hear what waits before it believes its timer.
func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, _, b := pair(t)
		for _, slept := range []time.Duration{350 * time.Millisecond, 10 * time.Second} {
			b.set(func(n *node) { n.ahead += slept })
			settled(2 * time.Second)
			owner(t, lan, "10.0.0.100", "lb1")
		}
		if got := b.changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup}) {
			t.Errorf("states = %v, want backup all the time", got)
		}
	})
}

// A master that slept is not one any more: it says nothing before it has listened.
func TestMasterSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		begin := time.Now()
		a.set(func(n *node) { n.ahead += 10 * time.Second })
		settled(100 * time.Millisecond)
		if last, _ := said(lan, "lb1"); last.After(begin) {
			t.Errorf("lb1 has spoken %v after it had slept", last.Sub(begin))
		}
		owner(t, lan, "10.0.0.100")
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1") // it is the better one
		if got := a.changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup, vrrp.Master, vrrp.Backup, vrrp.Master}) {
			t.Errorf("states = %v", got)
		}
		if s := a.status("front", 4); s.Counters.Slept != 1 {
			t.Errorf("slept = %d, want 1", s.Counters.Slept)
		}
	})
}
