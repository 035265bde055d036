package keepalived

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/test/harness"
	"skein/vip/vrrp"
)

// Test 12: what somebody in the network says by mistake, or to disturb, is ignored and counted, while the real neighbour is heard:
// whether skein is the master or the backup, nothing changes.
func TestGarbage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		begin := time.Now()
		n := high
		if n.program != skein {
			n = low
		}
		// A stranger whose word would end any master, if it counted. He does not say that his interval is 0, which unit tests of skein do:
		// keepalived would believe it, and miss him in the same moment.
		src, dst := netip.MustParseAddr("10.0.0.99"), netip.MustParseAddr("224.0.0.18")
		a := vrrp.Advert{Version: 3, RouterID: uint8(r.id), Priority: 254, Interval: r.interval, Addresses: []netip.Addr{netip.MustParseAddr(r.address())}}
		with := func(change func(*vrrp.Advert)) []byte {
			b := a
			change(&b)
			return b.Append(nil, src, dst, false)
		}
		good := a.Append(nil, src, dst, false)
		// A changed byte after the checksum was made is a wrong checksum, unless it is looked at before.
		bytewise := func(at int, to byte) []byte { b := bytes.Clone(good); b[at] = to; return b }
		from, emit := s.visitor.Port(0), s.emitter()
		nops := bytes.Repeat([]byte{1}, 20) // RFC 791 section 3.1: no operation
		for _, g := range []struct {
			name    string
			ttl     int
			options []byte
			payload []byte
			reason  string
		}{
			{"TTL 254", 254, nil, good, "ttl"},
			{"truncated", 255, nil, good[:len(good)-1], "length"},
			{"nothing but a header", 255, nil, good[:8], "length"},
			{"half a header", 255, nil, good[:5], "length"},
			{"nothing", 255, nil, nil, "length"},
			{"too long", 255, nil, append(bytes.Clone(good), 0, 0, 0, 0), "length"},
			{"type 2", 255, nil, bytewise(0, 0x32), "type"},
			{"a bad checksum", 255, nil, bytewise(2, 253), "checksum"},
			{"other addresses", 255, nil, with(func(a *vrrp.Advert) { a.Addresses = []netip.Addr{src} }), "addresses"},
			{"more addresses than there are", 255, nil, bytewise(3, 200), "length"},
			{"20 bytes of IP options, and TTL 254", 254, nops, good, "ttl"},
			{"20 bytes of IP options, and a bad checksum", 255, nops, bytewise(2, 253), "checksum"},
		} {
			before := n.refused()
			emit(frame4(from.MAC, src, dst, g.ttl, g.options, g.payload))
			emit(frame4(from.MAC, src, dst, 255, nil, with(func(a *vrrp.Advert) { a.Version = 2 }))) // one that is counted in any case
			harness.Eventually(t, settling, "the next one is counted", func() bool { return n.refused()["version"] > before["version"] })
			// What comes from another link, or says nothing, need not have come as far as to be counted.
			after, stranger := n.refused(), g.ttl < 255 || len(g.payload) < 2
			delete(before, "version")
			delete(after, "version")
			if !stranger || !maps.Equal(before, after) {
				before[g.reason]++
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s changes the counters (-want +got):\n%s", g.name, diff)
			}
		}
		// Random bytes behind random beginnings of what is right.
		random := rand.New(rand.NewPCG(1, 2))
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for range harness.Count(500, 3000, 1_000_000) {
			<-pace.C
			payload := bytes.Clone(good[:random.IntN(len(good))])
			for range random.IntN(40) {
				payload = append(payload, byte(random.Uint32()))
			}
			options := make([]byte, 4*random.IntN(11))
			for i := range options {
				options[i] = byte(random.Uint32())
			}
			emit(frame4(from.MAC, src, dst, 255-random.IntN(2), options, payload))
		}
		time.Sleep(3 * r.masterDown(low.number))
		// keepalived writes a line for each, and forgets its own advertisements over that. So it is skein alone that is judged: as a master
		// it goes on all the time, and as a backup it speaks only when the master was silent for too long.
		if n == high {
			s.goesOn(r, n, begin, time.Now())
		} else {
			for _, a := range low.adverts(r.id, begin, time.Time{}) {
				if silent := a.Time.Sub(high.last(r, a.Time).Time); silent < 3*r.interval {
					t.Errorf("%s speaks %v after the master: %v", low, silent, a)
				}
			}
		}
		s.settled(high)

		// It is not deaf: the same stranger is believed when all is right, by skein behind IP options, too.
		if n != high {
			nops = nil
		}
		emit(frame4(from.MAC, src, dst, 255, nops, good))
		harness.Eventually(t, settling, "a better master is believed", func() bool { return !high.host.Has(r.address()) })
		s.settled(high)
	})
}

// goesOn fails the test unless the node has been a master all the time: the address is there, and no pause is long enough for others.
func (s *site) goesOn(r router, n *node, from, to time.Time) {
	s.t.Helper()
	for _, span := range s.owners.Between(from, to) {
		if !slices.Contains(span.Owners, n.host.Name) {
			s.t.Errorf("%s has lost the address for %v:\n%s", n, span.Duration(), s.owners)
		}
	}
	all := n.adverts(r.id, from, to)
	for i, a := range all {
		if a.priority == 0 {
			s.t.Errorf("%s gives up: %v", n, a)
		}
		if i == 0 {
			continue
		}
		if pause := a.Time.Sub(all[i-1].Time); pause > 3*r.interval {
			s.t.Errorf("%s pauses for %v before %v (the machine was late by %v)", n, pause, a, s.clock.late(all[i-1].Time, a.Time))
		}
	}
	if want := int(to.Sub(from) / r.interval); len(all) < want*9/10 {
		s.t.Errorf("%s has said %d advertisements in %v, want %d", n, len(all), to.Sub(from), want)
	}
}
