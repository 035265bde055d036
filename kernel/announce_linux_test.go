package kernel

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnnounce(t *testing.T) {
	w := newWorld(t)
	n := New()
	defer n.Close()
	mac := w.link("a0").MAC
	var c *capture
	w.in(w.b, func() { c = newCapture(t, "b0") })

	w.must(n.Announce("a0", ip("10.9.0.100")))
	want := hex.Dump(gratuitousARP(mac, ip("10.9.0.100")))
	if diff := cmp.Diff(want, hex.Dump(c.next(time.Second, isARP))); diff != "" {
		t.Errorf("ARP on the wire (-want +got):\n%s", diff)
	}
	for _, router := range []bool{false, true} {
		w.sysctl("ipv6/conf/a0/forwarding", map[bool]string{true: "1", false: "0"}[router])
		w.must(n.Announce("a0", ip("fd00::100")))
		want := hex.Dump(unsolicitedNA(mac, ip("fd00::100"), router))
		isOurs := func(b []byte) bool { return isNA(b) && netip.AddrFrom16([16]byte(b[22:38])) == ip("fd00::100") }
		if diff := cmp.Diff(want, hex.Dump(c.next(time.Second, isOurs))); diff != "" {
			t.Errorf("NA on the wire, router %v (-want +got):\n%s", router, diff)
		}
	}
	if err := n.Announce("lo", ip("10.9.0.100")); err != nil {
		t.Errorf("Announce on a link without neighbors = %v, want nil", err)
	}
	if err := n.Announce("nowhere", ip("10.9.0.100")); err == nil || !strings.Contains(err.Error(), "announce 10.9.0.100 on nowhere") {
		t.Errorf("Announce on no link = %v", err)
	}
}

// A neighbor that knew another MAC knows this one afterwards.
func TestAnnounceChangesTheNeighbors(t *testing.T) {
	w := newWorld(t)
	n := New()
	defer n.Close()
	mac := w.link("a0").MAC.String()
	w.in(w.b, func() {
		w.ip("addr add 10.9.0.2/24 dev b0")
		w.ip("addr add fd00::2/64 dev b0 nodad")
		w.ip("neigh add 10.9.0.100 lladdr 02:00:00:00:00:99 dev b0 nud stale")
		w.ip("neigh add fd00::100 lladdr 02:00:00:00:00:99 dev b0 nud stale")
	})
	for _, a := range []string{"10.9.0.100", "fd00::100"} {
		w.must(n.Announce("a0", ip(a)))
		w.eventually("neighbor "+a+" with the new MAC", func() (ok bool) {
			w.in(w.b, func() { ok = strings.Contains(w.ip("neigh show "+a+" dev b0"), mac) })
			return ok
		})
	}
}

// A takeover announces a hundred addresses: 50 ms may not be much beside 300 ms of election.
func TestAnnounceHundredAddresses(t *testing.T) {
	w := newWorld(t)
	n := New()
	defer n.Close()
	best := time.Hour
	for range 5 { // the machine may be busy: what counts is what it can do
		start := time.Now()
		for i := range 50 {
			w.must(n.Announce("a0", ip(fmt.Sprintf("10.9.0.%d", 100+i))))
			w.must(n.Announce("a0", ip(fmt.Sprintf("fd00::%d", 100+i))))
		}
		best = min(best, time.Since(start))
	}
	t.Logf("100 addresses in %v", best)
	if best > 50*time.Millisecond {
		t.Errorf("announcing 100 addresses takes %v, want at most 50 ms", best)
	}
}

// Whatever the tests of this package opened in themselves is closed again: the number of descriptors stays.
func TestDescriptors(t *testing.T) {
	w := newWorld(t)
	w.ip("addr add 10.9.0.1/24 dev a0")
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		w.must(err)
		return len(list)
	}
	before := count()
	for range 3 {
		n := New()
		w.must(n.Announce("a0", ip("10.9.0.1")))
		s, err := n.OpenVRRP(VRRPOptions{Link: "a0", Source: ip("10.9.0.1"), Multicast: true, MAC: VirtualMAC(1, false)})
		w.must(err)
		e, err := n.OpenEcho(false)
		w.must(err)
		_, err = n.OpenVRRP(VRRPOptions{Link: "a0", Source: ip("10.9.0.77")})
		if err == nil {
			t.Error("OpenVRRP with a foreign source = nil, want an error")
		}
		w.must(n.AddVirtualMAC("a0", "skein1v4", 1, false))
		w.must(n.RemoveLink("skein1v4"))
		_, err = n.Connections(prefixAddrs("10.9.0.1", "fd00::1"))
		w.must(err)
		w.must(s.Close())
		w.must(e.Close())
		w.must(n.Close())
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors are open, want %d as before", after, before)
	}
}

func prefixAddrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, ip(s))
	}
	return a
}
