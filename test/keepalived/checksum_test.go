package keepalived

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"skein/test/harness"
	"skein/vip/vrrp"
)

// Test 9: keepalived 2.2.7 knows the checksum of version 3 over IPv4 with a pseudo-header only, and refuses the one of RFC 9568: both are
// masters. That shows that the cases which pass do check it. With auto there is one again.
func TestChecksum(t *testing.T) {
	t.Parallel()
	for _, unicast := range []bool{false, true} {
		r := plain()
		r.unicast = unicast
		t.Run(r.variant(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, [2]string{skein, keepalived}, r.address(), 1)
			high, low := s.nodes[0], s.nodes[1]
			wrong := r
			wrong.checksum = "rfc9568"
			low.start(r)
			high.start(wrong)
			s.both()
			low.daemon.Says("Invalid VRRPv3 checksum", settling)
			if got := high.refused()["checksum"]; got > 0 {
				t.Errorf("skein refuses %d checksums with a pseudo-header", got)
			}
			begin := time.Now()
			high.reload(r)
			since := s.owners.Wait(high.host, settling)
			t.Logf("one owner %v after the change to auto", since.Sub(begin))
			s.settled(high)
			s.content("Invalid VRRPv3 checksum")
		})
	}
}

// Test 9: auto answers as it was spoken to last. A neighbour without pseudo-headers, who is not as good, hears skein without them; a
// keepalived that comes then hears them again, and follows.
func TestChecksumFollowsPeer(t *testing.T) {
	t.Parallel()
	r := plain()
	s := newSite(t, [2]string{skein, keepalived}, r.address(), 1)
	high, low := s.nodes[0], s.nodes[1]
	high.start(r)
	s.settled(high)
	plain := func(a advert) bool { return bytes.Equal(a.Payload[6:8], checksumOf(r, a, true)) }
	if a := high.last(r, time.Now()); plain(a) {
		t.Fatalf("skein begins without a pseudo-header: %v", a)
	}

	other := vrrp.Advert{Version: 3, RouterID: uint8(r.id), Priority: 41, Interval: r.interval, Addresses: []netip.Addr{netip.MustParseAddr(r.address())}}
	src, dst := netip.MustParseAddr("10.0.0.99"), netip.MustParseAddr("224.0.0.18")
	from := s.visitor.Port(0)
	from.Emit(frame4(from.MAC, src, dst, 255, nil, other.Append(nil, src, dst, true)))
	harness.Eventually(t, settling, "skein leaves the pseudo-header out", func() bool { return plain(high.last(r, time.Now())) })

	begin := time.Now()
	low.start(r)
	comes := low.speaks(r, begin) // it does not understand what it hears
	harness.Eventually(t, settling, "skein has a pseudo-header again", func() bool {
		a := high.last(r, time.Now())
		return a.Time.After(comes.Time) && !plain(a)
	})
	s.settled(high)
	s.content("Invalid VRRPv3 checksum")
}

// checksumOf is the checksum that the advertisement should have.
func checksumOf(r router, a advert, plain bool) []byte {
	v := vrrp.Advert{Version: r.version, RouterID: uint8(r.id), Priority: uint8(a.priority), Interval: r.interval}
	for _, p := range r.addresses {
		v.Addresses = append(v.Addresses, netip.MustParsePrefix(p).Addr())
	}
	return v.Append(nil, a.Src, a.Dst, plain)[6:8]
}
