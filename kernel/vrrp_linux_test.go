package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// message is what these tests send; the kernel does not look into it.
func message() []byte { return []byte("\x31\x33\x64\x01\x00\x14\x00\x00\x0a\x09\x00\x64") }

// pair is a world with addresses at both ends.
func newPair(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.ip("addr add 10.9.0.1/24 dev a0")
	w.ip("addr add fd00::1/64 dev a0 nodad")
	w.ip("addr add fe80::1/64 dev a0 nodad")
	w.in(w.b, func() {
		w.ip("addr add 10.9.0.2/24 dev b0")
		w.ip("addr add fd00::2/64 dev b0 nodad")
		w.ip("addr add fe80::2/64 dev b0 nodad")
	})
	return w
}

func (w *world) open(n *Net, o VRRPOptions) VRRPSocket {
	w.t.Helper()
	s, err := n.OpenVRRP(o)
	w.must(err)
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// What is sent arrives, and on the wire its IP header is as RFC 9568 and keepalived have it.
func TestVRRP(t *testing.T) {
	for _, c := range []struct {
		name, src, dst, there string
		multicast             bool
		mac                   net.HardwareAddr
	}{
		{"IPv4 multicast", "10.9.0.1", "224.0.0.18", "10.9.0.2", true, nil},
		{"IPv4 unicast", "10.9.0.1", "10.9.0.2", "10.9.0.2", false, nil},
		{"IPv4 virtual MAC", "10.9.0.1", "224.0.0.18", "10.9.0.2", true, VirtualMAC(51, false)},
		{"IPv6 multicast", "fe80::1", "ff02::12", "fe80::2", true, nil},
		{"IPv6 unicast", "fd00::1", "fd00::2", "fd00::2", false, nil},
		{"IPv6 unicast, link-local", "fe80::1", "fe80::2", "fe80::2", false, nil},
		{"IPv6 virtual MAC", "fe80::1", "ff02::12", "fe80::2", true, VirtualMAC(51, true)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPair(t)
			var there VRRPSocket
			var wire *capture
			w.in(w.b, func() {
				there = w.open(New(), VRRPOptions{Link: "b0", Source: ip(c.there), Multicast: c.multicast})
				wire = newCapture(t, "b0")
			})
			here := w.open(New(), VRRPOptions{Link: "a0", Source: ip(c.src), Multicast: c.multicast, MAC: c.mac})
			atHome := hear(here)
			arrived := hear(there)
			w.must(here.Send(ip(c.dst), message()))
			select {
			case got := <-arrived:
				if want := (heard{string(message()), ip(c.src), ip(c.dst), 255, nil}); got != want {
					t.Errorf("Receive() = %+v, want %+v", got, want)
				}
			case <-time.After(2 * time.Second):
				t.Fatal("nothing arrived")
			}
			frame := wire.next(time.Second, isVRRP)
			mac := w.link("a0").MAC
			if c.mac != nil {
				mac = c.mac
			}
			to := ""
			w.in(w.b, func() { to = w.link("b0").MAC.String() })
			if c.multicast {
				to = groupMAC(ip(c.dst)).String()
			}
			if got := net.HardwareAddr(frame[6:12]).String(); got != mac.String() {
				t.Errorf("source MAC = %s, want %s", got, mac)
			}
			if got := net.HardwareAddr(frame[:6]).String(); got != to {
				t.Errorf("destination MAC = %s, want %s", got, to)
			}
			want := vrrpFrame(mac, ip(c.src), ip(c.dst), 1, message())
			blank(frame)
			blank(want)
			if got, want := hex.Dump(frame[12:]), hex.Dump(want[12:]); got != want {
				t.Errorf("packet on the wire = \n%s, want\n%s", got, want)
			}
			select {
			case got := <-atHome:
				t.Errorf("the sender has heard itself: %+v", got)
			case <-time.After(20 * time.Millisecond):
			}
			w.must(here.Close())
			if got := <-atHome; !errors.Is(got.err, net.ErrClosed) {
				t.Errorf("Receive() after Close() = %v, want net.ErrClosed", got.err)
			}
			if err := here.Send(ip(c.dst), message()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send() after Close() = %v, want net.ErrClosed", err)
			}
		})
	}
}

// blank removes what is a random number in a frame: the IPv4 identification with its checksum, the IPv6 flow label.
func blank(frame []byte) {
	if frame[12] == 0x08 {
		clear(frame[18:20])
		clear(frame[24:26])
		return
	}
	frame[15] &= 0xf0
	clear(frame[16:18])
}

// A socket hears only what is meant for it: not unicast if it is for multicast nor the other way round, not other groups that
// somebody has joined, not other links.
func TestVRRPHearsOnlyItsOwn(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6 %v", v6), func(t *testing.T) {
			w := newPair(t)
			src, dst, group := ip("10.9.0.1"), ip("10.9.0.2"), Group(ip("10.9.0.1"))
			if v6 {
				src, dst, group = ip("fe80::1"), ip("fe80::2"), Group(ip("fe80::1"))
			}
			var unicast, multicast chan heard
			w.in(w.b, func() {
				n := New()
				unicast = hear(w.open(n, VRRPOptions{Link: "b0", Source: dst}))
				multicast = hear(w.open(n, VRRPOptions{Link: "b0", Source: dst, Multicast: true}))
			})
			s := w.open(New(), VRRPOptions{Link: "a0", Source: src, Multicast: true})
			for i := range 3 {
				w.must(s.Send(dst, []byte{byte(i)}))
				w.must(s.Send(group, []byte{byte(i)}))
			}
			for i := range 3 {
				if got, want := <-unicast, (heard{string([]byte{byte(i)}), src, dst, 255, nil}); got != want {
					t.Errorf("unicast socket heard %+v, want %+v", got, want)
				}
				if got, want := <-multicast, (heard{string([]byte{byte(i)}), src, group, 255, nil}); got != want {
					t.Errorf("multicast socket heard %+v, want %+v", got, want)
				}
			}
			if len(unicast)+len(multicast) != 0 {
				t.Errorf("%d packets more", len(unicast)+len(multicast))
			}
		})
	}
}

// A stranger's TTL is told, and the options of its IPv4 header are taken off.
func TestVRRPFromStranger(t *testing.T) {
	w := newPair(t)
	var arrived chan heard
	w.in(w.b, func() {
		arrived = hear(w.open(New(), VRRPOptions{Link: "b0", Source: ip("10.9.0.2"), Multicast: true}))
	})
	frame := vrrpFrame(w.link("a0").MAC, ip("10.9.0.1"), ip("224.0.0.18"), 7, message())
	withOptions := append(append(append([]byte{}, frame[:34]...), 1, 1, 1, 1 /* no operation */), frame[34:]...)
	withOptions[14], withOptions[17], withOptions[22] = 0x46, withOptions[17]+4, 254
	clear(withOptions[24:26])
	sum := checksum(withOptions[14:38], 0)
	withOptions[24], withOptions[25] = byte(sum>>8), byte(sum)
	s, err := newFrameSocket()
	w.must(err)
	defer s.close()
	w.must(s.sendFrame(w.link("a0").Index, withOptions))
	select {
	case got := <-arrived:
		if want := (heard{string(message()), ip("10.9.0.1"), ip("224.0.0.18"), 254, nil}); got != want {
			t.Errorf("Receive() = %+v, want %+v", got, want)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("nothing arrived")
	}
}

// A link whose carrier is gone must not break the socket: it goes on when the carrier is back.
func TestVRRPSurvivesTheLink(t *testing.T) {
	w := newPair(t)
	var arrived chan heard
	w.in(w.b, func() {
		arrived = hear(w.open(New(), VRRPOptions{Link: "b0", Source: ip("10.9.0.2"), Multicast: true}))
	})
	s := w.open(New(), VRRPOptions{Link: "a0", Source: ip("10.9.0.1"), Multicast: true})
	w.ip("link set a0 down")
	if err := s.Send(ip("224.0.0.18"), message()); err == nil {
		t.Error("Send() on a link that is down = nil, want an error")
	}
	w.ip("link set a0 up")
	w.eventually("the carrier", func() bool { return w.link("a0").Up })
	for { // the kernel joins the group again as the link comes up
		if err := s.Send(ip("224.0.0.18"), message()); err != nil {
			t.Fatalf("Send() when the link is up again = %v", err)
		}
		select {
		case got := <-arrived:
			if got.err != nil {
				t.Errorf("Receive() = %v", got.err)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestVRRPErrors(t *testing.T) {
	w := newPair(t)
	for _, c := range []struct {
		name string
		o    VRRPOptions
		want string
	}{
		{"no link", VRRPOptions{Link: "nowhere", Source: ip("10.9.0.1")}, "open VRRP socket on nowhere for 10.9.0.1: no such device"},
		{"foreign source", VRRPOptions{Link: "a0", Source: ip("10.9.0.9")}, "bind 10.9.0.9: cannot assign requested address"},
		{"no source", VRRPOptions{Link: "a0"}, "the source is no IPv4 or IPv6 address"},
		{"no MAC", VRRPOptions{Link: "a0", Source: ip("10.9.0.1"), MAC: net.HardwareAddr{1}}, "no MAC of Ethernet"},
	} {
		if s, err := New().OpenVRRP(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("OpenVRRP(%s) = %v, %v, want an error with %q", c.name, s, err, c.want)
		}
	}
	if err := inNamespaceWithout(w.a, func() error {
		_, err := New().OpenVRRP(VRRPOptions{Link: "a0", Source: ip("10.9.0.1")})
		return err
	}); err == nil || !strings.Contains(err.Error(), "CAP_NET_RAW") {
		t.Errorf("OpenVRRP without rights = %v, want an error that says CAP_NET_RAW", err)
	}
}
