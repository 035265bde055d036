package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNamespaceWith runs f on a thread that has these capabilities and no others.
func inNamespaceWith(n netns.NsHandle, capabilities uint32, f func() error) error {
	return inNamespace(n, func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: capabilities, Permitted: capabilities}}
		if err := unix.Capset(&header, &data[0]); err != nil {
			return err
		}
		return f()
	})
}

// inNamespaceWithout runs f on a thread that has no capabilities.
func inNamespaceWithout(n netns.NsHandle, f func() error) error { return inNamespaceWith(n, 0, f) }

// Everything works with the two capabilities that Missing knows, in a process that may not write below /proc.
func TestTwoCapabilitiesAreEnough(t *testing.T) {
	w := newPair(t)
	n := New()
	defer n.Close()
	vip4, vip6 := netip.MustParsePrefix("10.9.0.100/24"), netip.MustParsePrefix("fd00::100/64")
	w.must(inNamespaceWith(w.a, 1<<unix.CAP_NET_ADMIN|1<<unix.CAP_NET_RAW, func() error {
		if err := unix.Setfsuid(65534); err != nil { // whose the files are that this thread opens; root owns /proc/sys
			return err
		}
		steps := []func() error{
			func() error { return n.AddAddress("a0", vip4) },
			func() error { return n.AddAddress("a0", vip6) },
			func() error { return n.Announce("a0", vip4.Addr()) },
			func() error { return n.Announce("a0", vip6.Addr()) },
			func() error { return n.AddVirtualMAC("a0", "skein1v4", 1, false) },
			func() error { return n.RemoveLink("skein1v4") },
			func() error { return n.RemoveAddress("a0", netip.MustParsePrefix("10.9.0.1/24")) }, // the first of its subnet
			func() error { return n.RemoveAddress("a0", vip6) },
			func() error { _, err := n.Links(); return err },
			func() error { _, err := n.Connections([]netip.Addr{vip4.Addr()}); return err },
			func() error {
				e, err := n.OpenEcho(true)
				if err != nil {
					return err
				}
				return e.Close()
			},
			func() error {
				s, err := n.OpenVRRP(VRRPOptions{Link: "a0", Source: ip("fe80::1"), Multicast: true, MAC: VirtualMAC(1, true)})
				if err != nil {
					return err
				}
				return errors.Join(s.Send(ip("ff02::12"), message()), s.Close())
			},
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := w.link("a0").Prefixes; !slices.Contains(got, vip4) {
		t.Errorf("prefixes = %v, want %s still", got, vip4)
	}
}

func TestMissing(t *testing.T) {
	w := newWorld(t)
	if got := New().Missing(); len(got) != 0 {
		t.Errorf("Missing() of root = %v, want none", got)
	}
	w.must(inNamespaceWithout(w.a, func() error {
		if got, want := New().Missing(), []string{"CAP_NET_ADMIN", "CAP_NET_RAW"}; !slices.Equal(got, want) {
			t.Errorf("Missing() without capabilities = %v, want %v", got, want)
		}
		return nil
	}))
}

func TestNow(t *testing.T) {
	first := Now()
	if first <= 0 {
		t.Errorf("Now() = %v, want the time since the start of the machine", first)
	}
	for end := time.Now().Add(time.Second); Now() == first; {
		if time.Now().After(end) {
			t.Fatalf("Now() stays %v for a second", first)
		}
	}
	if again := Now(); again < first {
		t.Errorf("Now() = %v after %v", again, first)
	}
}
