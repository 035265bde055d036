package speaker

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// An address that cannot be added: better a master elsewhere.
func TestAddressCannotBeAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
		b := start(t, lan.Host("lb2", prefix("10.0.0.12/24")))
		a.host.Fail("AddAddress", syscall.EPERM)
		for n, priority := range map[*node]uint8{a: 200, b: 190} {
			n.configure(nil, one(router(n.host, priority, front)))
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		if s := a.status("front", 4); s.State != vrrp.Fault || !strings.Contains(s.Reason, "operation not permitted") {
			t.Errorf("lb1 is %s: %s", s.State, s.Reason)
		}
		if _, times := happened(lan, "lb1", kernel.FakeAnnounced, addr("10.0.0.100")); times > 0 {
			t.Errorf("lb1 has announced an address that it does not have %d times", times)
		}
		// It is tried again, but seldom.
		_, before := happened(lan, "lb2", kernel.FakeRemoved, addr("10.0.0.100"))
		settled(20 * time.Minute)
		_, after := happened(lan, "lb2", kernel.FakeRemoved, addr("10.0.0.100"))
		if n := after - before; n < 4 || n > 8 {
			t.Errorf("lb2 lost the address %d times in 20 minutes, want some 6", n)
		}
		a.host.Fail("AddAddress", nil)
		settled(retryLast + time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

// A firewall that drops what a master says makes two masters, if it does not notice.
func TestAdvertisementsCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.host.Fail("Send", syscall.EPERM)
		settled(masterDown(190))
		owner(t, lan, "10.0.0.100", "lb2")
		s := a.status("front", 4)
		if s.State != vrrp.Fault || !strings.Contains(s.Reason, "advertisements cannot be sent") {
			t.Errorf("lb1 is %s: %s", s.State, s.Reason)
		}
		if s.Unsent < 3 {
			t.Errorf("unsent = %d, want at least 3", s.Unsent)
		}
		lines := 0
		for _, r := range a.heard() {
			if r.Log != nil && r.Log.Message == "an advertisement could not be sent" {
				lines++
			}
		}
		if lines != 1 {
			t.Errorf("%d log lines, want one", lines)
		}
		a.host.Fail("Send", nil)
		settled(retryLast)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

// A peer that is off cannot be reached: that is no fault of this node.
func TestPeerUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
		b := start(t, lan.Host("lb2", prefix("10.0.0.12/24")))
		i := router(a.host, 200, front)
		i.Router.Peers = append(i.Router.Peers, addr("10.0.0.12"), addr("10.0.0.13"))
		a.configure(nil, one(i))
		i = router(b.host, 190, front)
		i.Router.Peers = append(i.Router.Peers, addr("10.0.0.11"), addr("10.0.0.13"))
		b.configure(nil, one(i))
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		// The link comes back: the neighbors are told where lb1 is before it says a word.
		a.host.SetCarrier("eth0", false)
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		a.host.SetCarrier("eth0", true)
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		told, times := happened(lan, "lb1", kernel.FakeAnnounced, addr("10.0.0.11"))
		if times != 1 {
			t.Errorf("lb1 has announced its own address %d times, want once", times)
		}
		if at, _ := happened(lan, "lb1", kernel.FakeAdded, addr("10.0.0.100")); at.Before(told) {
			t.Error("lb1 took the address before it told its neighbors where it is")
		}
	})
}

func TestLinkVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		if err := a.host.RemoveLink("eth0"); err != nil {
			t.Fatal(err)
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		if s := a.status("front", 4); s.State != vrrp.Fault || s.Reason != "there is no interface eth0" {
			t.Errorf("lb1 is %s: %s", s.State, s.Reason)
		}
		a.host.AddLink("other") // so that the new one has another index
		a.host.AddLink("eth0")
		settled(time.Second)
		if s := a.status("front", 4); s.Reason != "interface eth0 has lost the address 10.0.0.11" {
			t.Errorf("lb1 is %s: %s", s.State, s.Reason)
		}
		if err := a.host.AddAddress("eth0", prefix("10.0.0.11/24")); err != nil {
			t.Fatal(err)
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

func TestSourceVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		if err := a.host.RemoveAddress("eth0", prefix("10.0.0.11/24")); err != nil {
			t.Fatal(err)
		}
		settled(skew(190) + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb2")
		if err := a.host.AddAddress("eth0", prefix("10.0.0.11/24")); err != nil {
			t.Fatal(err)
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

// Somebody, say a network manager, removes an address of a master: it comes back, and the neighbors hear of it.
func TestAddressTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		settled(10 * time.Second) // the second round of announcements is over
		for n := range 3 {
			before := time.Now()
			if err := a.host.RemoveAddress("eth0", prefix(front)); err != nil {
				t.Fatal(err)
			}
			settled(lookEvery)
			owner(t, lan, "10.0.0.100", "lb1")
			if at, _ := happened(lan, "lb1", kernel.FakeAnnounced, addr("10.0.0.100")); at.Before(before) {
				t.Errorf("the address was not announced after it was taken away (%d)", n)
			}
		}
		if !a.logged("somebody removed an address; it is added again") {
			t.Error("the log does not say so")
		}
		if got := a.changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup, vrrp.Master}) {
			t.Errorf("states = %v, want no other than before", got)
		}
	})
}

// An address that could not be removed belongs to somebody else by now: it must go.
func TestAddressCannotBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.host.Fail("RemoveAddress", syscall.EBUSY)
		a.set(func(n *node) { n.fitness = Drained })
		a.order(Order{Yield: &Yield{VIPs: []string{"front"}}})
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1", "lb2")
		a.host.Fail("RemoveAddress", nil)
		settled(2 * time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
	})
}

// Nodes may speak to each other by another network than that of the visitors.
func TestSpokenByAnotherLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		var nodes []*node
		for n, name := range []string{"lb1", "lb2"} {
			h := lan.Host(name, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + n)}), 24))
			h.AddLink("eth1", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(11 + n)}), 24))
			nodes = append(nodes, start(t, h))
		}
		for n, priority := range []uint8{200, 190} {
			i := router(nodes[n].host, priority, front)
			i.Router.Source = netip.AddrFrom4([4]byte{10, 1, 0, byte(11 + n)})
			i.Router.Peers = []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, byte(12 - n)})}
			if e := nodes[n].configure(nil, one(i)); e != "" {
				t.Fatal(e)
			}
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		// Either link is needed.
		for _, link := range []string{"eth0", "eth1"} {
			nodes[0].host.SetCarrier(link, false)
			settled(time.Second)
			if s := nodes[0].status("front", 4); s.State != vrrp.Fault || !strings.Contains(s.Reason, link) {
				t.Errorf("without %s lb1 is %s: %s", link, s.State, s.Reason)
			}
			owner(t, lan, "10.0.0.100", "lb2")
			nodes[0].host.SetCarrier(link, true)
			settled(time.Second)
			owner(t, lan, "10.0.0.100", "lb1")
		}
		if _, times := happened(lan, "lb1", kernel.FakeAnnounced, addr("10.1.0.11")); times != 2 {
			t.Errorf("lb1 has announced its own address %d times, want twice", times)
		}
	})
}
