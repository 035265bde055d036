package vrrp

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func ips(list ...string) (all []netip.Addr) {
	for _, s := range list {
		all = append(all, ip(s))
	}
	return all
}

type golden struct {
	name     string
	advert   Advert
	src, dst string
	plain    bool
	hex      string
}

// goldens are what keepalived 2.2.7 has sent with such a configuration, captured; those without its name follow from the RFCs.
func goldens() []golden {
	const second, cs = time.Second, 10 * time.Millisecond
	return []golden{
		{
			"keepalived: v2",
			Advert{2, 51, 100, second, ips("10.0.0.100"), 0, [8]byte{}},
			"10.0.0.1", "224.0.0.18", true, "21336401000170660a0000640000000000000000",
		},
		{
			"keepalived: v2 password, cut",
			Advert{2, 52, 100, second, ips("10.0.0.101", "10.0.0.102"), 1, password("longpassword")},
			"10.0.0.1", "224.0.0.18", true, "213464020101a6510a0000650a0000666c6f6e6770617373",
		},
		{
			"keepalived: v2 password gives up",
			Advert{2, 52, 0, second, ips("10.0.0.101", "10.0.0.102"), 1, password("longpassword")},
			"10.0.0.1", "224.0.0.18", true, "2134000201010a520a0000650a0000666c6f6e6770617373",
		},
		{
			"keepalived: v2 over IPv6",
			Advert{2, 56, 150, second, ips("fd00::100"), 0, [8]byte{}},
			"fd00::1", "fd00::2", false, "2138960100015037fd000000000000000000000000000100",
		},
		{
			"keepalived: v3",
			Advert{3, 53, 200, 10 * cs, ips("10.0.0.103"), 0, [8]byte{}},
			"10.0.0.1", "224.0.0.18", false, "3135c801000a11c80a000067",
		},
		{
			"keepalived: v3 gives up",
			Advert{3, 53, 0, 10 * cs, ips("10.0.0.103"), 0, [8]byte{}},
			"10.0.0.1", "224.0.0.18", false, "31350001000ad9c80a000067",
		},
		{
			"keepalived: v3 unicast",
			Advert{3, 54, 200, 10 * cs, ips("10.0.0.104"), 0, [8]byte{}},
			"10.0.0.1", "10.0.0.2", false, "3136c801000ae7d60a000068",
		},
		{
			"keepalived: v3 IPv6",
			Advert{3, 55, 150, second, ips("fe80::100", "2001:db8::1"), 0, [8]byte{}},
			"fe80::1", "ff02::12", false, "3137960200640cf8fe80000000000000000000000000010020010db8000000000000000000000001",
		},
		{
			"v2 password, padded",
			Advert{2, 51, 100, second, ips("10.0.0.100"), 1, password("1111")},
			"10.0.0.1", "224.0.0.18", true, "2133640101010d040a0000643131313100000000",
		},
		{
			"v3 without the pseudo-header",
			Advert{3, 51, 200, 10 * cs, ips("10.0.0.100"), 0, [8]byte{}},
			"10.0.0.1", "10.0.0.2", true, "3133c801000afc5c0a000064",
		},
		{
			"v3 longest interval",
			Advert{3, 255, 255, 4095 * cs, ips("10.0.0.100", "192.168.1.7"), 0, [8]byte{}},
			"10.0.0.1", "224.0.0.18", false, "31ffff020fff08570a000064c0a80107",
		},
		{
			"v3 IPv6 unicast, shortest interval",
			Advert{3, 10, 150, cs, ips("fd00::100"), 0, [8]byte{}},
			"fd00::1", "fd00::2", false, "310a960100014065fd000000000000000000000000000100",
		},
	}
}

func (g golden) received(t *testing.T) Received {
	t.Helper()
	b, err := hex.DecodeString(g.hex)
	if err != nil {
		t.Fatal(err)
	}
	return Received{Payload: b, Src: ip(g.src), Dst: ip(g.dst), TTL: 255}
}

func TestAppend(t *testing.T) {
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			before := "before"
			got := g.advert.Append([]byte(before), ip(g.src), ip(g.dst), g.plain)
			if got := hex.EncodeToString(got[len(before):]); got != g.hex {
				t.Errorf("Append(%+v) = %s, want %s", g.advert, got, g.hex)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			got, plain, err := Parse(g.received(t))
			if err != nil || plain != g.plain {
				t.Fatalf("Parse(%s) = plain %v, %v, want plain %v", g.hex, plain, err, g.plain)
			}
			if diff := cmp.Diff(g.advert, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A socket may add a zone, or wrap IPv4; a multicast checksum for a unicast peer is an old keepalived's.
func TestParseVariants(t *testing.T) {
	byName := func(name string) Received {
		for _, g := range goldens() {
			if g.name == name {
				return g.received(t)
			}
		}
		t.Fatalf("no golden packet %q", name)
		return Received{}
	}
	zone := byName("keepalived: v3 IPv6")
	zone.Src = ip("fe80::1%eth0")
	wrapped := byName("keepalived: v3")
	wrapped.Src, wrapped.Dst = ip("::ffff:10.0.0.1"), ip("::ffff:224.0.0.18")
	old := byName("keepalived: v3")
	old.Dst = ip("10.0.0.2")
	reserved := byName("v3 without the pseudo-header")
	reserved.Payload[4] |= 0xf0
	reserved.Payload[6] -= 0xf0 // one's complement: the sum stays the same
	for name, r := range map[string]Received{"zone": zone, "wrapped IPv4": wrapped, "multicast checksum": old, "reserved bits": reserved} {
		a, _, err := Parse(r)
		if err != nil {
			t.Errorf("%s: Parse = %v, want no error", name, err)
		}
		if want := 10 * time.Second / 100; name == "reserved bits" && a.Interval != want {
			t.Errorf("%s: interval = %v, want %v", name, a.Interval, want)
		}
	}
}

// The checksum of every byte counts: a packet that differs in one bit is not the same, and never read as if it were.
func TestParseFlippedBits(t *testing.T) {
	for _, g := range goldens() {
		r := g.received(t)
		for bit := range len(r.Payload) * 8 {
			r.Payload[bit/8] ^= 1 << (bit % 8)
			if a, _, err := Parse(r); err == nil {
				t.Errorf("%s: Parse took it with bit %d flipped: %+v", g.name, bit, a)
			}
			r.Payload[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	// Each is a good packet of which fix has changed a part; the checksum is made new, so that it hides nothing.
	tests := []struct {
		name string
		from int // golden
		fix  func(r *Received)
		want Refusal
	}{
		{"empty", 4, func(r *Received) { r.Payload = nil }, RefusedLength},
		{"half a header", 4, func(r *Received) { r.Payload = r.Payload[:7] }, RefusedLength},
		{"truncated address", 4, func(r *Received) { r.Payload = r.Payload[:11] }, RefusedLength},
		{"a byte too many", 4, func(r *Received) { r.Payload = append(r.Payload, 0) }, RefusedLength},
		{"more addresses said than there", 4, func(r *Received) { r.Payload[3] = 2 }, RefusedLength},
		{"v2 without the password bytes", 0, func(r *Received) { r.Payload = r.Payload[:12] }, RefusedLength},
		{"version 1", 4, func(r *Received) { r.Payload[0] = 0x11 }, RefusedVersion},
		{"version 4", 4, func(r *Received) { r.Payload[0] = 0x41 }, RefusedVersion},
		{"type 2", 4, func(r *Received) { r.Payload[0] = 0x32 }, RefusedType},
		{"auth type 2", 0, func(r *Received) { r.Payload[4] = 2 }, RefusedAuthType},
		{"v2 interval 0", 0, func(r *Received) { r.Payload[5] = 0 }, RefusedInterval},
		{"v3 interval 0", 4, func(r *Received) { r.Payload[4], r.Payload[5] = 0xf0, 0 }, RefusedInterval},
		{"no address", 4, func(r *Received) { r.Payload = r.Payload[:8]; r.Payload[3] = 0 }, RefusedCount},
		{"router ID 0", 4, func(r *Received) { r.Payload[1] = 0 }, RefusedRouterID},
		{"no source", 4, func(r *Received) { r.Src = netip.Addr{} }, RefusedSource},
		{"no destination", 4, func(r *Received) { r.Dst = netip.Addr{} }, RefusedSource},
		{"two families", 4, func(r *Received) { r.Dst = ip("ff02::12") }, RefusedSource},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := goldens()[test.from].received(t)
			test.fix(&r)
			resum(r.Payload)
			if a, _, err := Parse(r); err != test.want {
				t.Errorf("Parse(%x) = %+v, %v, want %v", r.Payload, a, err, test.want)
			}
		})
	}
	r := goldens()[4].received(t)
	r.Src = ip("10.0.0.3")
	if _, _, err := Parse(r); err != RefusedChecksum {
		t.Errorf("Parse of another source's = %v, want %v: the source is in the pseudo-header", err, RefusedChecksum)
	}
}

// resum makes a checksum without a pseudo-header.
func resum(b []byte) {
	if len(b) < headerSize {
		return
	}
	b[6], b[7] = 0, 0
	s := fold(sum(0, b))
	b[6], b[7] = byte(s>>8), byte(s)
}

// An odd message cannot come through Parse, but the sum must be right for what a fuzzer hands in.
func TestSumOdd(t *testing.T) {
	if got, want := sum(0, []byte{1, 2, 3}), uint64(0x0102+0x0300); got != want {
		t.Errorf("sum = %#x, want %#x", got, want)
	}
}
