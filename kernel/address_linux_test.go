package kernel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A virtual address goes and comes in every order with the node's own, and never takes another one along.
func TestRemoveAddressTakesNoOther(t *testing.T) {
	own, vip := netip.MustParsePrefix("10.9.0.1/24"), netip.MustParsePrefix("10.9.0.100/24")
	others := prefixes("10.9.0.2/24", "10.9.0.3/24", "10.9.1.1/24", "10.9.0.4/32", "10.9.0.5/16")
	for _, c := range []struct {
		name     string
		vipFirst bool
		promote  string
	}{
		{"own first", false, "0"},
		{"vip first", true, "0"},
		{"vip first, promotion on", true, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.sysctl("ipv4/conf/a0/promote_secondaries", c.promote)
			n := New()
			if c.vipFirst {
				w.must(n.AddAddress("a0", vip))
			}
			for _, p := range append([]netip.Prefix{own}, others...) {
				w.ip("addr add " + p.String() + " dev a0")
			}
			if !c.vipFirst {
				w.must(n.AddAddress("a0", vip))
			}
			has := func(p netip.Prefix) bool { return slices.Contains(w.link("a0").Prefixes, p) }
			if !has(vip) {
				t.Fatalf("a0 has no %s after AddAddress", vip)
			}
			w.must(n.RemoveAddress("a0", vip))
			if has(vip) {
				t.Errorf("a0 has %s after RemoveAddress", vip)
			}
			for _, p := range append([]netip.Prefix{own}, others...) {
				if !has(p) {
					t.Errorf("a0 has lost %s: %v", p, w.link("a0").Prefixes)
				}
			}
			if got := w.cat("ipv4/conf/a0/promote_secondaries"); got != c.promote {
				t.Errorf("promote_secondaries = %s, want %s as before", got, c.promote)
			}
			// The route to the subnet is there, and new connections come from the own address.
			if route := w.ip("route get 10.9.0.50"); !strings.Contains(route, "dev a0") || !strings.Contains(route, "src 10.9.0.1") {
				t.Errorf("route = %s, want it by a0 from 10.9.0.1", route)
			}
		})
	}
}

func TestAddressTwice(t *testing.T) {
	w := newWorld(t)
	n := New()
	for _, p := range prefixes("10.9.0.100/24", "10.9.0.100/32", "fd00::100/64", "fd00::101/128") {
		for range 2 {
			if err := n.AddAddress("a0", p); err != nil {
				t.Errorf("AddAddress(%s) = %v", p, err)
			}
		}
		if got := w.link("a0").Prefixes; !slices.Contains(got, p) {
			t.Errorf("prefixes after AddAddress(%s) = %v", p, got)
		}
		for range 2 {
			if err := n.RemoveAddress("a0", p); err != nil {
				t.Errorf("RemoveAddress(%s) = %v", p, err)
			}
		}
		if got := w.link("a0").Prefixes; slices.Contains(got, p) {
			t.Errorf("prefixes after RemoveAddress(%s) = %v", p, got)
		}
	}
	if err := n.RemoveAddress("nowhere", netip.MustParsePrefix("10.9.0.1/24")); err != nil {
		t.Errorf("RemoveAddress from a link that is not there = %v, want nil", err)
	}
}

// The same address with another length is another address for IPv4, and a mistake for IPv6.
func TestAddressOfAnotherLength(t *testing.T) {
	w := newWorld(t)
	n := New()
	w.ip("addr add 10.9.0.1/24 dev a0")
	w.ip("addr add fd00::1/64 dev a0 nodad")
	w.must(n.AddAddress("a0", netip.MustParsePrefix("10.9.0.1/32")))
	w.must(n.RemoveAddress("a0", netip.MustParsePrefix("10.9.0.1/32")))
	if err := n.AddAddress("a0", netip.MustParsePrefix("fd00::1/128")); err == nil || !strings.Contains(err.Error(), "fd00::1/64") {
		t.Errorf("AddAddress(fd00::1/128) = %v, want an error that names fd00::1/64", err)
	}
	w.must(n.RemoveAddress("a0", netip.MustParsePrefix("fd00::1/128")))
	for _, p := range prefixes("10.9.0.1/24", "fd00::1/64") {
		if got := w.link("a0").Prefixes; !slices.Contains(got, p) {
			t.Errorf("prefixes = %v, want %s still", got, p)
		}
	}
}

// IPv6: usable at once, and never the source of a new connection, whatever its length.
func TestIPv6Address(t *testing.T) {
	w := newWorld(t)
	n := New()
	for _, p := range prefixes("fd00::100/64", "fd00::101/128") {
		w.must(n.AddAddress("a0", p))
		if got := w.link("a0").Prefixes; !slices.Contains(got, p) {
			t.Errorf("prefixes right after AddAddress = %v, want %s (not tentative)", got, p)
		}
	}
	w.ip("addr add fd00::1/64 dev a0 nodad")
	if route := w.ip("-6 route get fd00::50"); !strings.Contains(route, "src fd00::1 ") {
		t.Errorf("route = %s, want it from fd00::1", route)
	}
	if got := ours(t); got != 2 {
		t.Errorf("%d addresses are marked as ours, want 2", got)
	}
	// The subnet's route stays as long as somebody needs it.
	w.must(n.RemoveAddress("a0", netip.MustParsePrefix("fd00::100/64")))
	if route := w.ip("-6 route show fd00::/64"); !strings.Contains(route, "dev a0") {
		t.Errorf("route to fd00::/64 = %q, want it still", route)
	}
}

// A subnet where the node has no other address can be reached from the virtual one.
func TestOnlyAddressOfItsSubnet(t *testing.T) {
	w := newWorld(t)
	w.ip("addr add 10.8.0.1/24 dev a0")
	w.must(New().AddAddress("a0", netip.MustParsePrefix("10.9.0.100/24")))
	if route := w.ip("route get 10.9.0.50"); !strings.Contains(route, "src 10.9.0.100") {
		t.Errorf("route = %s, want it from 10.9.0.100", route)
	}
	if route := w.ip("route get 10.8.0.50"); !strings.Contains(route, "src 10.8.0.1") {
		t.Errorf("route = %s, want it from 10.8.0.1", route)
	}
}

func TestAddressErrors(t *testing.T) {
	w := newWorld(t)
	n := New()
	if err := n.AddAddress("nowhere", netip.MustParsePrefix("10.9.0.1/24")); err == nil || !strings.Contains(err.Error(), "add 10.9.0.1/24 to nowhere: no such device") {
		t.Errorf("AddAddress to no link = %v", err)
	}
	w.sysctl("ipv6/conf/a0/disable_ipv6", "1")
	if err := n.AddAddress("a0", netip.MustParsePrefix("fd00::1/64")); err == nil || !strings.Contains(err.Error(), "disable_ipv6") {
		t.Errorf("AddAddress without IPv6 = %v, want an error that says disable_ipv6", err)
	}
	w.must(New().AddAddress("a0", netip.MustParsePrefix("10.9.0.1/24")))
	if err := inNamespaceWithout(w.a, func() error {
		return New().AddAddress("a0", netip.MustParsePrefix("10.9.0.2/24"))
	}); err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("AddAddress without rights = %v, want an error that says CAP_NET_ADMIN", err)
	}
}

// ours counts the IPv6 addresses that have the protocol by which ours are known (IFA_PROTO). The tools that would show it are
// younger than the kernel.
func ours(t *testing.T) (count int) {
	t.Helper()
	list, err := dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_INET6), unix.RTM_NEWADDR)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		attributes, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range attributes {
			if a.Attr.Type == ifaPROTO && a.Value[0] == addressProtocol {
				count++
			}
		}
	}
	return count
}
