package kernel

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// Messages of strangers do not come up at all, by whatever they can be known.
func TestVRRPKeep(t *testing.T) {
	peers6 := []netip.Addr{ip("fd00::7"), ip("fd00::1"), ip("fd00::9")}
	peers4 := []netip.Addr{ip("10.9.0.7"), ip("10.9.0.8"), ip("10.9.0.1")}
	for _, c := range []struct {
		name string
		v6   bool
		keep VRRPKeep
		in   bool
	}{
		{"everybody", false, VRRPKeep{}, true},
		{"a peer", false, VRRPKeep{From: peers4}, true},
		{"the only peer", false, VRRPKeep{From: peers4[2:]}, true},
		{"no peer", false, VRRPKeep{From: peers4[:2]}, false},
		{"peers of the other family", false, VRRPKeep{From: peers6}, false},
		{"the router", false, VRRPKeep{RouterIDs: []uint8{9, 10, 11}}, true},
		{"another router", false, VRRPKeep{RouterIDs: []uint8{9, 11}}, false},
		{"near", false, VRRPKeep{Near: true, From: peers4, RouterIDs: []uint8{10}}, true},
		{"everybody", true, VRRPKeep{}, true},
		{"a peer", true, VRRPKeep{From: peers6}, true},
		{"no peer", true, VRRPKeep{From: peers6[:1]}, false},
		{"the router", true, VRRPKeep{RouterIDs: []uint8{9, 10}}, true},
		{"another router", true, VRRPKeep{RouterIDs: []uint8{9}}, false},
		{"near", true, VRRPKeep{Near: true, From: peers6, RouterIDs: []uint8{10}}, true},
	} {
		family, us, them := "IPv4", ip("10.9.0.1"), ip("10.9.0.2")
		if c.v6 {
			family, us, them = "IPv6", ip("fd00::1"), ip("fd00::2")
		}
		t.Run(family+" "+c.name, func(t *testing.T) {
			w := newPair(t)
			var ears VRRPSocket
			w.in(w.b, func() { ears = w.open(New(), VRRPOptions{Link: "b0", Source: them}) })
			arrived := hear(ears)
			w.must(ears.(*vrrpSocket).Keep(c.keep))
			mouth := w.open(New(), VRRPOptions{Link: "a0", Source: us})
			m := message()
			m[1] = 10
			w.must(mouth.Send(them, m))
			if !c.in {
				w.must(ears.(*vrrpSocket).Keep(VRRPKeep{})) // the kernel has handed over the first one by now, or dropped it
				m = slices.Clone(m)
				m[1] = 99
				w.must(mouth.Send(them, m))
			}
			select {
			case got := <-arrived:
				if got.payload != string(m) {
					t.Errorf("Receive() = %+v, want %x", got, m)
				}
			case <-time.After(2 * time.Second):
				t.Error("nothing arrived")
			}
		})
	}
}

// Whoever is not on the link is kept away by the TTL.
func TestVRRPKeepNear(t *testing.T) {
	w := newPair(t)
	var ears VRRPSocket
	w.in(w.b, func() { ears = w.open(New(), VRRPOptions{Link: "b0", Source: ip("10.9.0.2"), Multicast: true}) })
	arrived := hear(ears)
	w.must(ears.(*vrrpSocket).Keep(VRRPKeep{Near: true}))
	s, err := newFrameSocket()
	w.must(err)
	defer s.close()
	far := vrrpFrame(w.link("a0").MAC, ip("10.9.0.1"), ip("224.0.0.18"), 7, message())
	near := slices.Clone(far)
	far[22] = 254
	clear(far[24:26])
	sum := checksum(far[14:34], 0)
	far[24], far[25] = byte(sum>>8), byte(sum)
	w.must(s.sendFrame(w.link("a0").Index, far))
	w.must(s.sendFrame(w.link("a0").Index, near))
	select {
	case got := <-arrived:
		if got.ttl != 255 {
			t.Errorf("a message with TTL %d came up", got.ttl)
		}
	case <-time.After(2 * time.Second):
		t.Error("nothing arrived")
	}
}

// Replies that nobody has asked for do not come up.
func TestEchoKeepsItsOwn(t *testing.T) {
	for _, dst := range []string{"10.9.0.2", "fd00::2"} {
		w := newPair(t)
		v6 := ip(dst).Is6()
		ours, err := New().OpenEcho(v6)
		w.must(err)
		defer ours.Close()
		got := replies(ours)
		w.must(ours.Send(ip(dst), 7, 1))
		want := func(seq uint16) {
			t.Helper()
			select {
			case r := <-got:
				if want := (reply{ip(dst), 7, seq, nil}); r != want {
					t.Errorf("Receive() = %+v, want %+v", r, want)
				}
			case <-time.After(2 * time.Second):
				t.Errorf("no reply %d of %s", seq, dst)
			}
		}
		want(1)
		others, err := New().OpenEcho(v6)
		w.must(err)
		defer others.Close()
		gotOthers := replies(others)
		w.must(others.Send(ip(dst), 8, 2))
		select {
		case <-gotOthers:
		case <-time.After(2 * time.Second):
			t.Fatal("no reply to the other one")
		}
		w.must(ours.Send(ip(dst), 7, 3))
		want(3)
	}
}
