package kernel

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVirtualMACLink(t *testing.T) {
	w := newPair(t)
	n := New()
	for range 2 {
		w.must(n.AddVirtualMAC("a0", "skein51v4", 51, false))
	}
	w.eventually("the virtual MAC's carrier", func() bool { return w.link("skein51v4").Up })
	l := w.link("skein51v4")
	if got, want := l.MAC.String(), "00:00:5e:00:01:33"; got != want {
		t.Errorf("MAC = %s, want %s", got, want)
	}
	if len(l.Prefixes) != 0 {
		t.Errorf("it has addresses: %v", l.Prefixes)
	}
	if out := w.ip("-d link show skein51v4"); !strings.Contains(out, "macvlan mode bridge") || !strings.Contains(out, "@a0") {
		t.Errorf("ip link = %s, want a macvlan on a0 in bridge mode", out)
	}
	for name, want := range map[string]string{
		"ipv4/conf/skein51v4/arp_ignore": "1", "ipv4/conf/skein51v4/rp_filter": "2", "ipv4/conf/skein51v4/promote_secondaries": "1",
		"ipv6/conf/skein51v4/addr_gen_mode": "1", "ipv4/conf/a0/arp_ignore": "1", "ipv4/conf/a0/arp_announce": "2",
	} {
		if got := w.cat(name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	w.must(n.AddVirtualMAC("a0", "skein51v6", 51, true))
	if got, want := w.link("skein51v6").MAC.String(), "00:00:5e:00:02:33"; got != want {
		t.Errorf("MAC = %s, want %s", got, want)
	}
	for range 2 {
		w.must(n.RemoveLink("skein51v4"))
	}
	if got := w.cat("ipv4/conf/a0/arp_ignore"); got != "1" {
		t.Errorf("arp_ignore of a0 = %s, want 1 while there is another virtual MAC", got)
	}
	w.must(n.RemoveLink("skein51v6"))
	if ignore, announce := w.cat("ipv4/conf/a0/arp_ignore"), w.cat("ipv4/conf/a0/arp_announce"); ignore != "0" || announce != "0" {
		t.Errorf("arp_ignore, arp_announce of a0 = %s, %s, want 0, 0 as before", ignore, announce)
	}
}

// Nothing comes from the virtual MAC by itself, or switches would send the owner's packets to a backup.
func TestVirtualMACIsSilent(t *testing.T) {
	w := newPair(t)
	var c *capture
	w.in(w.b, func() { c = newCapture(t, "b0") })
	n := New()
	w.must(n.AddVirtualMAC("a0", "skein51v4", 51, false))
	w.must(n.AddVirtualMAC("a0", "skein51v6", 51, true))
	if frame := c.next(1500*time.Millisecond, func(b []byte) bool { return b[6] == 0 && b[8] == 0x5e }); frame != nil {
		t.Errorf("it has sent %x", frame)
	}
}

// Visitors reach the address at the virtual MAC, and never learn another MAC for it, even when the node asks for them itself.
func TestVirtualMACServes(t *testing.T) {
	w := newPair(t)
	w.sysctl("ipv4/conf/all/rp_filter", "1") // strict, as some distributions have it
	n := New()
	w.must(n.AddVirtualMAC("a0", "skein51v4", 51, false))
	w.must(n.AddAddress("skein51v4", netip.MustParsePrefix("10.9.0.100/32")))
	listener, err := net.Listen("tcp", "10.9.0.100:0")
	w.must(err)
	defer listener.Close()
	w.ip("neigh flush dev a0")
	w.in(w.b, func() {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), 2*time.Second)
		if err != nil {
			t.Errorf("connect to the virtual address: %v", err)
			return
		}
		c.Close()
		if got, want := w.ip("neigh show 10.9.0.100 dev b0"), "00:00:5e:00:01:33"; !strings.Contains(got, want) {
			t.Errorf("neighbor of the visitor = %s, want %s", got, want)
		}
	})
	// The node asks "who has the visitor" for a connection of the virtual address: not with that address.
	var c *capture
	w.in(w.b, func() { c = newCapture(t, "b0") })
	w.ip("neigh flush dev a0")
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 9, 0, 100)}, Timeout: time.Second}
	if conn, err := d.Dial("tcp", "10.9.0.2:1"); err == nil {
		conn.Close()
	}
	request := c.next(time.Second, func(b []byte) bool { return isARP(b) && b[21] == 1 })
	if request == nil {
		t.Fatal("the node has not asked")
	}
	if got := netip.AddrFrom4([4]byte(request[28:32])); got != ip("10.9.0.1") {
		t.Errorf("the node has asked as %s, want 10.9.0.1", got)
	}
}

func TestVirtualMACErrors(t *testing.T) {
	w := newPair(t)
	n := New()
	w.ip("link add skein51v4 type veth peer name other")
	if err := n.AddVirtualMAC("a0", "skein51v4", 51, false); err == nil || !strings.Contains(err.Error(), "another link of this name") {
		t.Errorf("AddVirtualMAC with the name of another link = %v", err)
	}
	if err := n.RemoveLink("skein51v4"); err == nil || !strings.Contains(err.Error(), `it is no macvlan but "veth"`) {
		t.Errorf("RemoveLink of a veth = %v", err)
	}
	links, err := n.Links()
	w.must(err)
	if !slices.ContainsFunc(links, func(l Link) bool { return l.Name == "skein51v4" }) {
		t.Error("the link of another kind is gone")
	}
	if err := n.AddVirtualMAC("nowhere", "skein1v4", 1, false); err == nil || !strings.Contains(err.Error(), "add virtual MAC skein1v4 to nowhere") {
		t.Errorf("AddVirtualMAC to no link = %v", err)
	}
}

// Two masters that both have the link hear each other, although both send from the same MAC.
func TestVirtualMACHearsTheOther(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		w := newPair(t)
		w.must(New().AddVirtualMAC("a0", "skein51", 51, v6))
		here, there := ip("10.9.0.1"), ip("10.9.0.2")
		if v6 {
			here, there = ip("fe80::1"), ip("fe80::2")
		}
		arrived := hear(w.open(New(), VRRPOptions{Link: "a0", Source: here, Multicast: true, MAC: VirtualMAC(51, v6)}))
		w.in(w.b, func() {
			s := w.open(New(), VRRPOptions{Link: "b0", Source: there, Multicast: true, MAC: VirtualMAC(51, v6)})
			w.must(s.Send(Group(there), message()))
		})
		select {
		case got := <-arrived:
			if got.err != nil || got.src != there {
				t.Errorf("heard %+v, want the other's advertisement", got)
			}
		case <-time.After(2 * time.Second):
			t.Errorf("the other was not heard, IPv6 %v", v6)
		}
	}
}
