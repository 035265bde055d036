package http1

import (
	"net/netip"
	"strings"
	"testing"
)

var ipv6Cases = []string{
	"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "2001:DB8::a", "::ffff:1.2.3.4",
	"1:2:3:4:5:6:1.2.3.4", "64:ff9b::192.0.2.33", "1::1.2.3.4",
	"", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1::", "1::2::3", "12345::", "g::", "::1:", ":1", "1:2:3:4:5:6:7:8::",
	"1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::1.2.3.04", "::1.2.3.4:5", "::1.2.3.",
	"::.1.2.3", "1.2.3.4", "::1 ", "::%1", "fe80::1%eth0", "1:2:3:4::5:6:7:8", "::1.2.3.4:", "::00001", "0::0:1.2.3.1234",
	"::a.2.3.4", "::0001.2.3.4", "1:2:3:4:5:6:7:", "::1.2.3.-4",
}

// netip has written the same grammar from the same RFC.
func sameIPv6(t *testing.T, s string) {
	t.Helper()
	a, err := netip.ParseAddr(s)
	want := err == nil && a.Is6() && a.Zone() == "" && !strings.Contains(s, "%")
	if got := validIPv6([]byte(s)); got != want {
		t.Errorf("validIPv6(%q) = %v, want %v (%v)", s, got, want, err)
	}
}

func TestIPv6(t *testing.T) {
	for _, s := range ipv6Cases {
		sameIPv6(t, s)
	}
}

func FuzzIPv6(f *testing.F) {
	for _, s := range ipv6Cases {
		f.Add(s)
	}
	f.Fuzz(sameIPv6)
}

func TestValidHost(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "a:0": true, "a:65535": true, "a:65536": false, "a:": false, "": false, ":1": false, "a:1:2": false,
		"[::1]": true, "[::1]:1": true, "[::1]:": false, "[::1]1": false, "[::1": false, "::1": false, "a[::1]": false,
		"-": true, "a_b.c~": true, "a b": false, "a,b": false, "a@b": false, "a/b": false, "a%20": false, "a\x00": false, "a\xff": false,
		"[1.2.3.4]": false, "1.2.3.4:80": true, "a:08": true, "a:+8": false,
	} {
		if got := ValidHost([]byte(s)); got != want {
			t.Errorf("ValidHost(%q) = %v, want %v", s, got, want)
		}
	}
}
