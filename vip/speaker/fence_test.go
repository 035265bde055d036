package speaker

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// three are three nodes that ask each other, lb1 the master.
func three(t *testing.T, change func(*Instance)) (*kernel.FakeLAN, []*node) {
	t.Helper()
	lan := kernel.NewFakeLAN()
	addresses := []string{"10.0.0.11", "10.0.0.12", "10.0.0.13"}
	var nodes []*node
	for n, a := range addresses {
		nodes = append(nodes, start(t, lan.Host("lb"+string(rune('1'+n)), prefix(a+"/24"))))
	}
	lan.Host("gateway", prefix("10.0.0.1/24"))
	for n := range nodes {
		i := router(nodes[n].host, uint8(200-10*n), front)
		i.Quorum = 1
		for _, o := range addresses {
			if addr(o) != i.Router.Source {
				i.Others = append(i.Others, addr(o))
			}
		}
		if change != nil {
			change(&i)
		}
		nodes[n].configure(nil, one(i))
	}
	settled(1050 * time.Millisecond)
	owner(t, lan, "10.0.0.100", "lb1")
	return lan, nodes
}

func hosts(nodes ...*node) (hosts []*kernel.Fake) {
	for _, n := range nodes {
		hosts = append(hosts, n.host)
	}
	return hosts
}

func TestIsolatedMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, n := three(t, nil)
		if s := n[0].status("front", 4); len(s.Reached) != 2 || s.Isolated {
			t.Errorf("lb1 reaches %v, isolated %v; want two", s.Reached, s.Isolated)
		}
		lan.Partition(hosts(n[0]), hosts(n[1], n[2]))
		settled(fenceWindow + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb2")
		settled(10 * time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		if s := n[0].status("front", 4); s.State != vrrp.Fault || !s.Isolated || len(s.Reached) != 0 {
			t.Errorf("lb1 is %s, isolated %v, reaches %v", s.State, s.Isolated, s.Reached)
		}
		lan.Partition()
		settled(fenceFastest + time.Millisecond)
		if s := n[0].status("front", 4); s.State != vrrp.Backup {
			t.Errorf("lb1 is %s after the end, want backup", s.State)
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

func TestIsolatedBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, n := three(t, nil)
		lan.Partition(hosts(n[2]), hosts(n[0], n[1]))
		settled(10 * time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		if got := n[2].changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup, vrrp.Fault}) {
			t.Errorf("states = %v, want no master", got)
		}
	})
}

// Everybody alone, as when the switch dies: nobody owns the address, but for whom reaches the gateway.
func TestWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, n := three(t, func(i *Instance) { i.Witnesses = []netip.Addr{addr("10.0.0.1")} })
		lan.Lose(func(p kernel.FakePacket) bool { return p.From != "gateway" && p.To != "gateway" && p.From != p.To })
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1", "lb2", "lb3") // they take each other for dead, and a witness for a majority
		lan.Lose(func(p kernel.FakePacket) bool {
			return (p.From != "lb2" || p.To != "gateway") && (p.To != "lb2" || p.From != "gateway")
		})
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		_ = n
	})
}

func TestWitnessOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, n := three(t, func(i *Instance) {
			i.Others, i.Quorum = nil, 0
			i.Witnesses = []netip.Addr{addr("10.0.0.1")}
		})
		lan.Partition(hosts(n[0]))
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		n[0].set(func(n *node) { n.silent = true })
		settled(5 * time.Second)
		if s := n[0].status("front", 4); s.State != vrrp.Fault {
			t.Errorf("lb1 is %s", s.State)
		}
		lan.Partition()
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2") // one fault is over, the other is not
	})
}

// Who slept has heard no answers, and is not isolated for that.
func TestSleepIsNoIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, n := three(t, nil)
		n[2].set(func(n *node) { n.ahead += time.Minute })
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		if got := n[2].changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup}) {
			t.Errorf("states = %v, want backup all the time", got)
		}
	})
}
