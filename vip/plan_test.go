package vip

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"skein/config"
	"skein/kernel"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

func link(name string, prefixes ...string) kernel.Link {
	k := kernel.Link{Name: name, MTU: 1500, Up: true}
	for _, p := range prefixes {
		k.Prefixes = append(k.Prefixes, netip.MustParsePrefix(p))
	}
	return k
}

// changed is front with changes.
func changed(change ...func(*config.VIP)) *config.VIP {
	c := front()
	for _, f := range change {
		f(c)
	}
	return c
}

func addresses(list ...string) func(*config.VIP) {
	return func(c *config.VIP) {
		c.Addresses = nil
		for _, a := range list {
			c.Addresses = append(c.Addresses, netip.MustParsePrefix(a))
		}
	}
}

func multicast(c *config.VIP) { c.Unicast4, c.Unicast6 = false, false }

func host() []kernel.Link {
	return []kernel.Link{
		link("lo", "127.0.0.1/8", "::1/128"),
		link("eth0", "10.0.0.11/24", "fd00::11/64", "fe80::11/64"),
		link("eth1", "192.0.2.11/24", "192.0.2.99/24"),
	}
}

func TestPlanErrors(t *testing.T) {
	other := func(change ...func(*config.VIP)) *config.VIP {
		c := changed(append([]func(*config.VIP){func(c *config.VIP) {
			c.Name, c.Pos.Line = "other", 20
			addresses("10.0.0.20/24")(c)
		}}, change...)...)
		return c
	}
	var many []string
	for i := range 100 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i + 20)}), 64).String())
	}
	for _, test := range []struct {
		name string
		all  []kernel.Link
		vips []*config.VIP
		want string
	}{
		{
			"no such interface", host(),
			[]*config.VIP{changed(func(c *config.VIP) { c.Interface = "etho" })},
			`skein.hcl:9: vip "front": there is no interface etho on this machine (did you mean eth0?)
hint: there are lo (127.0.0.1/8, ::1/128), eth0 (10.0.0.11/24, fd00::11/64), eth1 (192.0.2.11/24, 192.0.2.99/24)`,
		},
		{
			"nothing like it", host(),
			[]*config.VIP{changed(func(c *config.VIP) { c.Interface = "bond0.100" })},
			`skein.hcl:9: vip "front": there is no interface bond0.100 on this machine
hint: there are lo (127.0.0.1/8, ::1/128), eth0 (10.0.0.11/24, fd00::11/64), eth1 (192.0.2.11/24, 192.0.2.99/24)`,
		},
		{
			"no network", host(),
			[]*config.VIP{changed(addresses("10.9.0.10/24"))},
			`skein.hcl:9: vip "front": no interface has a network that holds 10.9.0.10
hint: say interface = "NAME" in the block; there are lo (127.0.0.1/8, ::1/128), eth0 (10.0.0.11/24, fd00::11/64), eth1 (192.0.2.11/24, 192.0.2.99/24)`,
		},
		{
			"the address itself is no network",
			[]kernel.Link{link("eth0", "10.9.0.10/24")},
			[]*config.VIP{changed(addresses("10.9.0.10/24"))},
			`skein.hcl:9: vip "front": no interface has a network that holds 10.9.0.10
hint: say interface = "NAME" in the block; there are eth0`,
		},
		{
			"own address is not here",
			[]kernel.Link{link("eth0", "10.0.0.99/24")},
			[]*config.VIP{front()},
			`skein.hcl:7: vip "front": server lb1 has the address 10.0.0.11 in the file, which no interface of this machine has: the other nodes would not know where our advertisements come from
hint: correct the address, or say unicast = false; there are eth0 (10.0.0.99/24)`,
		},
		{
			"no IPv4 source",
			[]kernel.Link{link("eth0", "fd00::11/64")},
			[]*config.VIP{changed(multicast, func(c *config.VIP) { c.Interface = "eth0" })},
			`skein.hcl:7: vip "front": interface eth0 has no IPv4 address that advertisements could come from
hint: give it one beside the virtual ones`,
		},
		{
			"no link-local source",
			[]kernel.Link{link("eth0", "fd00::11/64")},
			[]*config.VIP{changed(multicast, addresses("fd00::10/64"))},
			`skein.hcl:7: vip "front": interface eth0 has no link-local IPv6 address, which advertisements come from
hint: switch IPv6 on there (sysctl net.ipv6.conf.eth0.disable_ipv6=0)`,
		},
		{
			"too long", host(),
			[]*config.VIP{changed(multicast, addresses(many...))},
			`skein.hcl:7: vip "front": 100 IPv6 addresses make advertisements of 1648 bytes, and packets of interface eth0 have 1500 at most
hint: spread the addresses over several vip blocks`,
		},
		{
			"router id twice", host(),
			[]*config.VIP{front(), other()},
			`skein.hcl:20: vip "other": router_id 10 is that of vip "front" on line 7 too, on the same interface eth0
hint: give one of them another router_id, the same on all its nodes`,
		},
		{
			"virtual MAC twice", host(),
			[]*config.VIP{
				changed(func(c *config.VIP) { c.VirtualMAC = true }),
				other(multicast, addresses("192.0.2.20/24"), func(c *config.VIP) { c.VirtualMAC = true }),
			},
			`skein.hcl:20: vip "other": the interface skein10v4 for its virtual MAC is that of vip "front" on line 7 too
hint: give one of them another router_id, the same on all its nodes`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newPlan(file(test.vips...), test.all, &plan{})
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// byText compares addresses by what people read.
func byText() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmpopts.EquateEmpty(),
	}
}

func TestPlan(t *testing.T) {
	settings := vrrp.Settings{
		Version: 3, RouterID: 10, Addresses: addrs("10.0.0.10"), Source: netip.MustParseAddr("10.0.0.11"), Peers: addrs("10.0.0.12"),
		Interval: 100 * time.Millisecond, Priority: 200, Floor: 5, Preempt: true, Checksum: vrrp.Auto,
	}
	with := func(change func(*vrrp.Settings)) vrrp.Settings { s := settings; change(&s); return s }
	for _, test := range []struct {
		name string
		c    *config.VIP
		want []speaker.Instance
	}{
		{
			"unicast", front(),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")}, Router: settings, Unfit: 4, Drained: 2,
			}},
		},
		{
			"multicast from the address of the file", changed(multicast),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")}, Unfit: 4, Drained: 2,
				Router: with(func(s *vrrp.Settings) { s.Peers = nil }),
			}},
		},
		{
			"both families: each has its own way",
			changed(addresses("fd00::10/64", "10.0.0.10/24", "10.0.0.13/32")),
			[]speaker.Instance{
				{
					VIP: "front", Interface: "eth0", Unfit: 4, Drained: 2,
					Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24"), netip.MustParsePrefix("10.0.0.13/32")},
					Router:   with(func(s *vrrp.Settings) { s.Addresses = addrs("10.0.0.10", "10.0.0.13") }),
				},
				{
					VIP: "front", Interface: "eth0", Unfit: 4, Drained: 2, Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00::10/64")},
					Router: with(func(s *vrrp.Settings) {
						s.Addresses, s.Source, s.Peers = addrs("fd00::10"), netip.MustParseAddr("fe80::11"), nil
					}),
				},
			},
		},
		{
			"unicast over IPv6: keepalived sends any hop limit",
			changed(addresses("fd00::10/64"), func(c *config.VIP) {
				c.Unicast6 = true
				for i, a := range addrs("fd00::11", "fd00::12") {
					c.Nodes[i].Host, c.Nodes[i].Addr = a.String(), a
				}
			}),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", Unfit: 4, Drained: 2, Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00::10/64")},
				Router: with(func(s *vrrp.Settings) {
					s.Addresses, s.Source, s.Peers, s.Far = addrs("fd00::10"), netip.MustParseAddr("fd00::11"), addrs("fd00::12"), true
				}),
			}},
		},
		{
			"another interface, where a vip is there already",
			changed(multicast, addresses("192.0.2.11/24"), func(c *config.VIP) {
				c.Interface = "eth1"
				c.Nodes[0].Addr = netip.Addr{}
			}),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24")}, Unfit: 4, Drained: 2,
				Router: with(func(s *vrrp.Settings) {
					s.Addresses, s.Source, s.Peers = addrs("192.0.2.11"), netip.MustParseAddr("192.0.2.99"), nil
				}),
			}},
		},
		{
			"three nodes vote, one of them is far",
			changed(func(c *config.VIP) {
				c.Nodes = append(c.Nodes, config.VIPNode{Name: "lb3", Host: "10.3.0.13", Addr: netip.MustParseAddr("10.3.0.13"), Priority: 180})
				c.Witnesses = addrs("10.0.0.1")
			}),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")}, Unfit: 6, Drained: 3,
				Others: addrs("10.0.0.12", "10.3.0.13"), Quorum: 1, Witnesses: addrs("10.0.0.1"),
				Router: with(func(s *vrrp.Settings) { s.Peers, s.Far, s.Floor = addrs("10.0.0.12", "10.3.0.13"), true, 7 }),
			}},
		},
		{
			"of two nodes the other one is asked beside a witness",
			changed(func(c *config.VIP) { c.Witnesses = addrs("10.0.0.1") }),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")}, Unfit: 4, Drained: 2,
				Others: addrs("10.0.0.12"), Quorum: 1, Witnesses: addrs("10.0.0.1"), Router: with(func(*vrrp.Settings) {}),
			}},
		},
		{
			"a node without an address cannot vote",
			changed(multicast, func(c *config.VIP) {
				c.Nodes = append(c.Nodes, config.VIPNode{Name: "lb3", Host: "lb3.example.com", Priority: 180})
			}),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")}, Unfit: 6, Drained: 3,
				Router: with(func(s *vrrp.Settings) { s.Peers, s.Floor = nil, 7 }),
			}},
		},
		{
			"version 2 with a password",
			changed(func(c *config.VIP) {
				c.Version, c.Interval, c.Password, c.Checksum = 2, time.Second, config.Secret("hunter2"), ""
				c.Preempt, c.StartDelay, c.VirtualMAC = false, 5*time.Second, true
			}),
			[]speaker.Instance{{
				VIP: "front", Interface: "eth0", VirtualMAC: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")}, Unfit: 4, Drained: 2,
				Router: with(func(s *vrrp.Settings) {
					s.Version, s.Interval, s.Password, s.Checksum, s.Preempt, s.StartDelay = 2, time.Second, "hunter2", "", false, 5*time.Second
				}),
			}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := newPlan(file(test.c), host(), &plan{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, p.vips[0].instances, byText()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Vips of one group are one group for the speaker, in the place of the first; a group that has the name of a vip is another one.
func TestPlanGroups(t *testing.T) {
	vip := func(name, group, address string, id int) *config.VIP {
		return changed(addresses(address), func(c *config.VIP) { c.Name, c.Group, c.RouterID = name, group, id })
	}
	p, err := newPlan(file(vip("a", "pair", "10.0.0.21/24", 21), vip("b", "", "10.0.0.22/24", 22), vip("c", "pair", "10.0.0.23/24", 23), vip("pair", "", "10.0.0.24/24", 24)), host(), &plan{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var order []string
	for _, g := range p.groups {
		var vips []string
		for _, i := range g.Instances {
			vips = append(vips, i.VIP)
		}
		got[g.Name] = strings.Join(vips, " ")
		order = append(order, g.Name)
	}
	if diff := cmp.Diff(map[string]string{"group/pair": "a c", "b": "b", "pair": "pair"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"group/pair", "b", "pair"}, order); diff != "" {
		t.Error(diff)
	}
}

// An address that a vip has until this reload is no source of another one.
func TestPlanAfterAnother(t *testing.T) {
	now := []kernel.Link{link("eth0", "10.0.0.20/24", "10.0.0.11/24")}
	old, err := newPlan(file(changed(addresses("10.0.0.20/24"))), now, &plan{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(file(changed(multicast, func(c *config.VIP) { c.Nodes[0].Addr = netip.Addr{} })), now, old)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.vips[0].instances[0].Router.Source; got != netip.MustParseAddr("10.0.0.11") {
		t.Errorf("source = %s, want 10.0.0.11", got)
	}
}

func TestPrepareRights(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.net.SetMissing("CAP_NET_ADMIN", "CAP_NET_RAW")
	_, _, err := w.v.Prepare(t.Context(), file(front()), nil)
	want := `skein.hcl:7: vip "front": needs CAP_NET_ADMIN and CAP_NET_RAW, to add addresses and to speak VRRP; this process has no CAP_NET_ADMIN and no CAP_NET_RAW
hint: run as root, or in the systemd unit: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	// A node without vips needs nothing.
	if _, _, err := w.v.Prepare(t.Context(), file(), nil); err != nil {
		t.Error(err)
	}
}

// linksLater is a machine whose link-local address comes when nobody else has it.
type linksLater struct {
	*fakeNet
	at time.Time
}

// Links implements [Network].
func (n *linksLater) Links() ([]kernel.Link, error) {
	if time.Now().Before(n.at) {
		return []kernel.Link{link("eth0", "fd00::11/64")}, nil
	}
	return host(), nil
}

func TestPrepareWaitsForLinkLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		v := New(slog.New(slog.DiscardHandler), Options{Net: &linksLater{at: began.Add(1500 * time.Millisecond), fakeNet: &fakeNet{Fake: kernel.NewFakeLAN().Host("lb1")}}})
		six := changed(multicast, addresses("fd00::10/64"))
		if _, _, err := v.Prepare(t.Context(), file(six), nil); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("it took %v, want 1.5s", took)
		}
		v.o.Net = &linksLater{at: began.Add(time.Hour), fakeNet: &fakeNet{Fake: kernel.NewFakeLAN().Host("lb1")}}
		if _, _, err := v.Prepare(t.Context(), file(six), nil); err == nil {
			t.Error("no error without a link-local address for an hour")
		}
	})
}
