package vrrp

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// FuzzParse: no panic; what is taken is what Append would have written.
func FuzzParse(f *testing.F) {
	for _, g := range goldens() {
		f.Add(mustHex(f, g.hex), ip(g.src).AsSlice(), ip(g.dst).AsSlice())
	}
	f.Fuzz(func(t *testing.T, payload, src, dst []byte) {
		r := Received{Payload: payload, TTL: 255}
		r.Src, _ = netip.AddrFromSlice(src)
		r.Dst, _ = netip.AddrFromSlice(dst)
		a, plain, err := Parse(r)
		if err != nil {
			if refusal, ok := err.(Refusal); !ok || refusal >= refusals || refusal.Error() == "unknown" {
				t.Fatalf("Parse = %v, which is no refusal", err)
			}
			return
		}
		if n := len(a.Addresses); n == 0 || n > 255 || a.Interval <= 0 || a.RouterID == 0 {
			t.Fatalf("Parse(%x) = %+v", payload, a)
		}
		again := a.Append(nil, bare(r.Src), bare(r.Dst), plain)
		want := bytes.Clone(payload)
		if a.Version == 3 {
			want[4] &= 0x0f // reserved bits
		}
		if a.Version == 2 && a.Auth == authNone && bare(r.Src).Is4() {
			clear(want[len(want)-passwordSize:]) // nobody's
		}
		// The checksum may differ: 0 has two forms, the bits that were masked have gone, and an old keepalived has its own.
		copy(want[checksumAt:headerSize], again[checksumAt:headerSize])
		if !bytes.Equal(again, want) {
			t.Fatalf("Append(Parse(%x)) = %x", payload, again)
		}
		if _, _, err := Parse(Received{Payload: again, Src: r.Src, Dst: r.Dst}); err != nil {
			t.Fatalf("Parse(Append(Parse(%x))) = %v", payload, err)
		}
	})
}

// FuzzMachine plays any events on a group, and on the packets that the fuzzer writes: no panic, and what node.do of the simulation checks
// of every event. The input is a list of events of 4 bytes: what, which machine, how much time has passed before it, an argument.
func FuzzMachine(f *testing.F) {
	for seed := range byte(8) {
		rng := rand.New(rand.NewPCG(uint64(seed), 0))
		b := make([]byte, 240)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(seed, b)
	}
	f.Add(byte(3), mustHex(f, goldens()[4].hex))
	f.Fuzz(func(t *testing.T, seed byte, events []byte) {
		w, _ := newWorld(uint64(seed), nil)
		w.delay = 1
		n := w.nodes[0]
		n.start()
		for ; len(events) >= 4 && w.failure == ""; events = events[4:] {
			what, which, wait, argument := events[0], int(events[1]), events[2], events[3]
			w.now += time.Duration(wait) * 2 * ms
			if n.group == nil {
				n.resume()
			}
			link := which % len(n.settings)
			m := n.group.machines[link]
			switch what % 12 {
			case 0, 1, 2:
				a := m.advert(argument)
				if what&0x80 > 0 {
					a.Interval = time.Duration(which) * m.s.Interval / 16
				}
				r := Received{Src: real(!m.v4(), link, 1+which%4), Dst: Multicast(!m.v4()), TTL: 255}
				if len(m.s.Peers) > 0 {
					r.Dst = m.s.Source
				}
				r.Payload = a.Append(nil, r.Src, r.Dst, what&0x40 > 0)
				n.do("receive", func() []Action { return n.group.Receive(w.now, m, r) })
			case 3: // the rest of the input as a packet, with a checksum that is right
				r := Received{Payload: bytes.Clone(events[4:]), Src: real(!m.v4(), link, 1), Dst: Multicast(!m.v4()), TTL: int(argument)}
				resum(r.Payload)
				n.do("receive", func() []Action { return n.group.Receive(w.now, m, r) })
			case 4, 5:
				if at, ok := n.group.Deadline(); ok {
					w.now = max(w.now, at)
				}
				n.do("tick", func() []Action { return n.group.Tick(w.now) })
				if at, ok := n.group.Deadline(); ok && at <= w.now {
					t.Fatalf("deadline %v after a tick at %v", at, w.now)
				}
			case 6:
				n.do("priority", func() []Action { return n.group.SetPriority(w.now, m, argument) })
			case 7:
				n.fault[link] = argument&1 > 0
				n.tellFaults()
			case 8:
				n.do("yield", func() []Action { return n.group.Yield(w.now, "drained") })
			case 9:
				n.release(time.Duration(argument) * ms)
				w.now += time.Duration(argument) * ms
			case 10:
				n.do("stop", func() []Action { return n.group.Stop(w.now) })
				n.do("start", func() []Action { return n.group.Start(w.now) })
			case 11:
				s := &n.settings[link]
				s.Addresses = virtual(!m.v4(), link, 1+int(argument)%5)
				if m.s.Version == 3 {
					s.Interval = time.Duration(1+which) * step
				}
				s.Priority = max(1, argument)
				n.configure(link)
			}
			w.flying, w.spare = w.flying[:0], nil // nobody hears it
		}
		if w.failure != "" {
			t.Fatal(w.failure)
		}
	})
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
