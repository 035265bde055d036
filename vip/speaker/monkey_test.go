package speaker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// What happens in an arbitrary order to two nodes with two vips of two families, in one group or not: when it is over, every
// address has one owner, which is the node that should have it, and says so.
func TestMonkey(t *testing.T) {
	seeds := uint64(60)
	if os.Getenv("SKEIN_SOAK") != "" {
		seeds = 5000
	}
	for seed := range seeds {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { monkey(t, seed) }) })
		if !ok {
			return // one is enough to look at
		}
	}
}

// plan is the configuration that the monkey wants now.
type plan struct {
	shared     bool // both vips are one group
	six        bool // front has IPv6, too
	more       bool // front has another address
	back       bool // the second vip is there
	routerID   uint8
	virtualMAC bool
}

func (p plan) groups(n *node, priority uint8) []Group {
	prefixes := []string{front}
	if p.more {
		prefixes = append(prefixes, "10.0.0.101/24")
	}
	i := router(n.host, priority, prefixes...)
	i.VirtualMAC = p.virtualMAC
	i.Router.RouterID = p.routerID
	groups := []Group{one(i)}
	if p.six {
		groups[0].Instances = append(groups[0].Instances, router(n.host, priority, "fd00::100/64"))
	}
	if p.back {
		b := router(n.host, priority, "10.0.0.200/24")
		b.VIP, b.Router.RouterID = "back", 20
		if p.shared {
			groups[0].Instances = append(groups[0].Instances, b)
		} else {
			groups = append(groups, one(b))
		}
	}
	return groups
}

func (p plan) addresses() []string {
	a := []string{"10.0.0.100"}
	for want, more := range map[string]bool{"10.0.0.101": p.more, "fd00::100": p.six, "10.0.0.200": p.back} {
		if more {
			a = append(a, want)
		}
	}
	slices.Sort(a)
	return a
}

func monkey(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 4))
	loss := rand.New(rand.NewPCG(seed, 5)) // the network's
	lan := kernel.NewFakeLAN()
	nodes := []*node{
		start(t, lan.Host("lb1", prefix("10.0.0.11/24"), prefix("fd00::11/64"))),
		start(t, lan.Host("lb2", prefix("10.0.0.12/24"), prefix("fd00::12/64"))),
	}
	priorities := []uint8{200, 190}
	p := plan{back: true, routerID: 10}
	var trace []string
	configure := func(n int) {
		if e := nodes[n].configure(nil, p.groups(nodes[n], priorities[n])...); e != "" {
			t.Errorf("configure: %s", e)
		}
	}
	configure(0)
	configure(1)
	for range 15 {
		n := nodes[r.IntN(2)]
		at := slices.Index(nodes, n)
		what := r.IntN(15)
		trace = append(trace, fmt.Sprintf("%s %d", n.host.Name(), what))
		switch what {
		case 0:
			n.host.SetCarrier("eth0", false)
		case 1:
			n.host.SetCarrier("eth0", true)
		case 2:
			n.set(func(n *node) { n.fitness = []Fitness{Fit, Unfit, Drained}[r.IntN(3)] })
		case 3:
			n.order(Order{Yield: &Yield{VIPs: []string{"front"}, Reason: "monkey"}})
		case 4: // the parent ends, and another one starts
			n.die()
			<-n.done
			n.again()
			configure(at)
		case 5: // an upgrade
			n.order(Order{Release: true})
			synctest.Wait()
			var released []vrrp.Snapshot
			for _, report := range n.heard() {
				if report.Released != nil {
					released = *report.Released
				}
			}
			n.die()
			<-n.done
			time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
			n.again()
			n.configure(released, p.groups(n, priorities[at])...)
		case 6:
			p.six = !p.six
			configure(at)
		case 7:
			p.more = !p.more
			configure(at)
		case 8:
			p.back, p.shared = r.IntN(2) == 0, r.IntN(2) == 0
			configure(at)
		case 9:
			p.routerID = uint8(10 + r.IntN(2))
			configure(at)
		case 10:
			n.set(func(n *node) { n.ahead += time.Duration(r.IntN(2000)) * time.Millisecond })
		case 11:
			lan.Lose(func(kernel.FakePacket) bool { return loss.IntN(3) == 0 })
		case 12:
			for _, a := range p.addresses() {
				if !strings.Contains(a, ":") {
					_ = n.host.RemoveAddress("eth0", prefix(a+"/24"))
				}
			}
		case 13:
			p.virtualMAC = !p.virtualMAC
			configure(at)
		case 14:
			n.host.Fail([]string{"AddAddress", "RemoveAddress", "Send", "Links", "OpenVRRP"}[r.IntN(5)], syscall.EPERM)
			time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
			for _, method := range []string{"AddAddress", "RemoveAddress", "Send", "Links", "OpenVRRP"} {
				n.host.Fail(method, nil)
			}
		}
		time.Sleep(time.Duration(r.IntN(600)) * time.Millisecond)
	}
	lan.Lose(nil)
	for n := range nodes {
		nodes[n].host.SetCarrier("eth0", true)
		nodes[n].set(func(n *node) { n.fitness = Fit })
		configure(n)
	}
	settled(time.Minute)
	for _, a := range []string{"10.0.0.100", "10.0.0.101", "10.0.0.200", "fd00::100"} {
		want := []string(nil)
		if slices.Contains(p.addresses(), a) {
			want = []string{"lb1"}
		}
		owner(t, lan, a, want...)
	}
	for n, want := range []vrrp.State{vrrp.Master, vrrp.Backup} {
		for _, g := range p.groups(nodes[n], priorities[n]) {
			for _, i := range g.Instances {
				s := nodes[n].status(i.VIP, i.key().family)
				held := 0
				if want == vrrp.Master {
					held = len(i.Prefixes)
				}
				if s.State != want || len(s.Held) != held || s.Priority != priorities[n] {
					t.Errorf("%s: %s over IPv%d is %s (%s) with priority %d and holds %v",
						nodes[n].host.Name(), i.VIP, i.key().family, s.State, s.Reason, s.Priority, s.Held)
				}
			}
		}
	}
	if t.Failed() {
		t.Logf("seed %d: %+v: %v", seed, p, trace)
		for _, n := range nodes {
			for _, report := range n.heard() {
				if c := report.Change; c != nil {
					t.Logf("%s %s %s %d: %s > %s: %s", c.Time.Format("05.000"), n.host.Name(), c.VIP, c.Family, c.From, c.To, c.Reason)
				}
				if report.Log != nil {
					t.Logf("      %s: %v", n.host.Name(), *report.Log)
				}
			}
		}
	}
}
