package speaker

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// undisturbed remembers how often an address was removed anywhere, and priority 0 was said.
func undisturbed(t *testing.T, lan *kernel.FakeLAN, addresses ...string) (check func()) {
	t.Helper()
	count := func() (removed, zero int) {
		for _, e := range lan.Events() {
			switch {
			case e.What == kernel.FakeRemoved && slices.Contains(addresses, e.Addr.String()):
				removed++
			case e.What == kernel.FakeSent && e.Payload[2] == 0:
				zero++
			}
		}
		return removed, zero
	}
	r, z := count()
	return func() {
		t.Helper()
		if removed, zero := count(); removed != r || zero != z {
			t.Errorf("%v were removed %d times, and priority 0 was said %d times", addresses, removed-r, zero-z)
		}
	}
}

func TestReloadAddsAndRemovesAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t, front, "10.0.0.101/24")
		check := undisturbed(t, lan, "10.0.0.100")
		for _, prefixes := range [][]string{
			{front, "10.0.0.102/24"},
			{"10.0.0.103/32", front},
			{front},
		} {
			for n, priority := range map[*node]uint8{a: 200, b: 190} {
				if e := n.configure(nil, one(router(n.host, priority, prefixes...))); e != "" {
					t.Fatalf("configure: %s", e)
				}
			}
			synctest.Wait()
			for _, p := range prefixes {
				owner(t, lan, prefix(p).Addr().String(), "lb1")
			}
			if s := a.status("front", 4); len(s.Held) != len(prefixes) || s.State != vrrp.Master {
				t.Errorf("lb1 is %s and holds %v, want %v", s.State, s.Held, prefixes)
			}
			if _, times := happened(lan, "lb1", kernel.FakeAnnounced, prefix(prefixes[0]).Addr()); times < 5 {
				t.Errorf("%s was announced %d times", prefixes[0], times)
			}
			settled(time.Second)
		}
		for _, gone := range []string{"10.0.0.101", "10.0.0.102", "10.0.0.103"} {
			owner(t, lan, gone)
		}
		check()
		// Another length of the network: the new one is there before the old one goes.
		a.configure(nil, one(router(a.host, 200, "10.0.0.100/32")))
		settled(time.Second)
		if !a.host.Has("eth0", prefix("10.0.0.100/32")) || a.host.Has("eth0", prefix(front)) {
			t.Error("lb1 has not exactly 10.0.0.100/32")
		}
		added, _ := happened(lan, "lb1", kernel.FakeAdded, addr("10.0.0.100"))
		removed, _ := happened(lan, "lb1", kernel.FakeRemoved, addr("10.0.0.100"))
		if added.After(removed) {
			t.Error("the address was missing in between")
		}
	})
}

// IPv6 cannot have an address with two lengths: the old one goes first, and nobody hears of it.
func TestReloadOfAnotherLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t, "fd00::100/64")
		a.configure(nil, one(router(a.host, 200, "fd00::100/128")))
		settled(time.Second)
		owner(t, lan, "fd00::100", "lb1")
		if !a.host.Has("eth0", prefix("fd00::100/128")) || a.host.Has("eth0", prefix("fd00::100/64")) {
			t.Error("lb1 has not exactly fd00::100/128")
		}
		if got := a.changes(6); !slices.Equal(got, []vrrp.State{vrrp.Backup, vrrp.Master}) {
			t.Errorf("states of lb1 = %v, want no other than before", got)
		}
	})
}

// A family or a vip that comes or goes does not disturb the others, even of the same group.
func TestReloadAddsAndRemovesInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t)
		check := undisturbed(t, lan, "10.0.0.100")
		back := func(n *node, priority uint8) Instance {
			i := router(n.host, priority, "10.0.0.200/24")
			i.VIP, i.Router.RouterID = "back", 20
			return i
		}
		steps := []func(n *node, priority uint8) []Group{
			func(n *node, p uint8) []Group {
				return []Group{one(router(n.host, p, front)), one(back(n, 195-(p-195)))} // lb2 has the other one
			},
			func(n *node, p uint8) []Group {
				return []Group{one(router(n.host, p, front), router(n.host, p, "fd00::100/64")), one(back(n, 195-(p-195)))}
			},
		}
		for _, step := range steps {
			for n, priority := range map[*node]uint8{a: 200, b: 190} {
				n.configure(nil, step(n, priority)...)
			}
			settled(time.Second)
			owner(t, lan, "10.0.0.100", "lb1")
			owner(t, lan, "10.0.0.200", "lb2")
			check()
		}
		owner(t, lan, "fd00::100", "lb1")
		if got := a.changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup, vrrp.Master}) {
			t.Errorf("states of lb1 = %v, want no other than before", got)
		}
		// The family goes again, and says so to the others.
		for n, priority := range map[*node]uint8{a: 200, b: 190} {
			n.configure(nil, steps[0](n, priority)...)
		}
		settled(time.Second)
		owner(t, lan, "fd00::100")
		owner(t, lan, "10.0.0.100", "lb1")
		// All goes.
		a.configure(nil)
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
	})
}

// A router ID, a source, an interface: that is another instance.
func TestReloadOfAnotherRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		i := router(a.host, 200, front)
		i.Router.RouterID = 11
		a.configure(nil, one(i))
		synctest.Wait()
		if _, priority := said(lan, "lb1"); priority != 0 {
			t.Errorf("the last of the old router was priority %d, want 0", priority)
		}
		owner(t, lan, "10.0.0.100")
		settled(masterDown(200))
		owner(t, lan, "10.0.0.100", "lb1", "lb2") // lb2 knows the old one only
	})
}

func TestReloadOfNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		check := undisturbed(t, lan, "10.0.0.100")
		i := router(a.host, 200, front)
		i.Router.Interval = time.Nanosecond
		if e := a.configure(nil, one(i)); !strings.Contains(e, "interval") {
			t.Errorf("the answer = %q, want what is wrong with the interval", e)
		}
		a.order(Order{})
		a.channel.orders <- []byte("{")
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		check()
		if !a.logged("an order was not understood") {
			t.Error("the log does not say that an order was not understood")
		}
	})
}

// Another process goes on: no priority 0, and the address never leaves.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t)
		check := undisturbed(t, lan, "10.0.0.100")
		for _, n := range []*node{a, b} {
			n.order(Order{Release: true})
			synctest.Wait()
			reports := n.heard()
			released := reports[len(reports)-1].Released
			if released == nil || len(*released) != 1 || (*released)[0].Link != "eth0" {
				t.Fatalf("released = %v", released)
			}
			n.die()
			<-n.done
			settled(20 * time.Millisecond)
			n.again()
			if e := n.configure(*released, one(router(n.host, map[*node]uint8{a: 200, b: 190}[n], front))); e != "" {
				t.Fatal(e)
			}
			settled(time.Second)
			owner(t, lan, "10.0.0.100", "lb1")
		}
		check()
		if s := a.status("front", 4); s.State != vrrp.Master || len(s.Held) != 1 || s.Priority != 200 {
			t.Errorf("lb1 is %s with %d and holds %v", s.State, s.Priority, s.Held)
		}
		// And gives it up like any other.
		a.die()
		settled(skew(190) + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb2")
	})
}

// An upgrade that fails: who has released goes on itself.
func TestUpgradeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		check := undisturbed(t, lan, "10.0.0.100")
		a.order(Order{Release: true})
		synctest.Wait()
		reports := a.heard()
		a.configure(*reports[len(reports)-1].Released, one(router(a.host, 200, front)))
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		check()
	})
}

// The heir comes too late: the addresses that were left to it go.
func TestUpgradeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.order(Order{Release: true})
		synctest.Wait()
		reports := a.heard()
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1", "lb2")
		a.configure(*reports[len(reports)-1].Released, one(router(a.host, 200, front)))
		synctest.Wait()
		owner(t, lan, "10.0.0.100", "lb2")
	})
}

// What a killed speaker has left goes when the next one starts, whatever its configuration says.
func TestStaleAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
		for _, p := range []string{front, "10.0.0.150/24", "10.0.0.7/24"} {
			if err := a.host.AddAddress("eth0", prefix(p)); err != nil {
				t.Fatal(err)
			}
		}
		left := state{Addresses: []placed{{"eth0", prefix("10.0.0.150/24")}, {"gone", prefix("10.0.0.151/24")}}, Links: []string{"skein9v4"}}
		if err := left.write(a.state); err != nil {
			t.Fatal(err)
		}
		if err := a.host.AddVirtualMAC("eth0", "skein9v4", 9, false); err != nil {
			t.Fatal(err)
		}
		if e := a.configure(nil, one(router(a.host, 200, front))); e != "" {
			t.Fatal(e)
		}
		owner(t, lan, "10.0.0.100") // of the configuration
		owner(t, lan, "10.0.0.150") // of the file
		owner(t, lan, "10.0.0.7", "lb1")
		owner(t, lan, "10.0.0.11", "lb1")
		if links, _ := a.host.Links(); len(links) != 1 {
			t.Errorf("links = %v, want eth0 alone", links)
		}
		// Before an address is added the file has it.
		got, err := readState(a.state)
		if err != nil || len(got.Addresses) != 1 || got.Addresses[0] != (placed{"eth0", prefix(front)}) {
			t.Errorf("the file = %v, %v; want the address of the configuration", got, err)
		}
		a.die()
		<-a.done
		if _, err := os.Stat(a.state); !os.IsNotExist(err) {
			t.Errorf("the file is left: %v", err)
		}
	})
}

// A disk that is full or a file that is none costs a warning.
func TestStateCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
		a.state = filepath.Join(a.state, "no", "such")
		a.configure(nil, one(router(a.host, 200, front)))
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		told := 0
		for _, r := range a.heard() {
			if r.Log != nil && r.Log.Message == "it could not be written down which addresses are ours; after a crash they may be left" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the log says %d times that the file could not be written, want once", told)
		}
	})
}

func TestVirtualMAC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
		b := start(t, lan.Host("lb2", prefix("10.0.0.12/24")))
		for n, priority := range map[*node]uint8{a: 200, b: 190} {
			i := router(n.host, priority, front)
			i.VirtualMAC = true
			if e := n.configure(nil, one(i)); e != "" {
				t.Fatal(e)
			}
		}
		settled(time.Second)
		if !a.host.Has("skein10v4", prefix(front)) {
			t.Error("lb1 does not have the address on skein10v4")
		}
		owner(t, lan, "10.0.0.100", "lb1")
		// Somebody removes the interface.
		if err := a.host.RemoveLink("skein10v4"); err != nil {
			t.Fatal(err)
		}
		settled(100 * time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb1")
		a.die()
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		if links, _ := a.host.Links(); len(links) != 1 {
			t.Errorf("links of lb1 = %v, want eth0 alone", links)
		}
	})
}

// The owner's address belongs to its interface: it is neither added nor removed.
func TestOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := kernel.NewFakeLAN()
		a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
		b := start(t, lan.Host("lb2", prefix("10.0.0.12/24")))
		a.set(func(n *node) { n.fitness = Unfit }) // nothing changes 255
		a.configure(nil, one(router(a.host, 255, "10.0.0.11/24")))
		b.configure(nil, one(router(b.host, 100, "10.0.0.11/24")))
		settled(time.Second)
		owner(t, lan, "10.0.0.11", "lb1")
		if s := a.status("front", 4); s.State != vrrp.Master || s.Priority != 255 {
			t.Errorf("lb1 is %s with %d", s.State, s.Priority)
		}
		a.die()
		settled(time.Second)
		owner(t, lan, "10.0.0.11", "lb1", "lb2") // its own again
	})
}

// A configuration that comes while one is carried out waits, and of several only the last one counts.
func TestConfigurationsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t)
		b.die()
		check := undisturbed(t, lan, "10.0.0.100")
		for n := range 20 {
			i := router(a.host, 200, front)
			p := netip.PrefixFrom(addr("10.0.0.101"), 24)
			if n%2 == 1 {
				i.Prefixes = append(i.Prefixes, p)
				i.Router.Addresses = append(i.Router.Addresses, p.Addr())
			}
			a.order(Order{Configure: &Configure{Serial: uint64(1000 + n), Parent: 1, State: a.state, Groups: []Group{one(i)}}})
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		owner(t, lan, "10.0.0.101", "lb1")
		check()
		reports := a.heard()
		last := uint64(0)
		for _, r := range reports {
			if r.Configured != nil {
				last = r.Configured.Serial
			}
		}
		if last != 1019 {
			t.Errorf("the last answer is to %d, want 1019", last)
		}
	})
}

// Two vips with different owners become one group: who gives one up says so, and one node has both.
func TestReloadJoinsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t)
		groups := func(n *node, front4, back4 uint8) (Instance, Instance) {
			i := router(n.host, back4, "10.0.0.200/24")
			i.VIP, i.Router.RouterID = "back", 20
			return router(n.host, front4, front), i
		}
		for n, priority := range map[*node][2]uint8{a: {200, 190}, b: {190, 200}} {
			f, k := groups(n, priority[0], priority[1])
			n.configure(nil, one(f), one(k))
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		owner(t, lan, "10.0.0.200", "lb2")
		for n, priority := range map[*node]uint8{a: 200, b: 190} {
			f, k := groups(n, priority, priority)
			n.configure(nil, one(f, k))
			synctest.Wait()
			for _, address := range []string{"10.0.0.100", "10.0.0.200"} {
				if slices.Contains(lan.Holders(addr(address)), n.host.Name()) {
					t.Errorf("%s has %s and is no master of the group", n.host.Name(), address)
				}
			}
		}
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		owner(t, lan, "10.0.0.200", "lb1")
	})
}
