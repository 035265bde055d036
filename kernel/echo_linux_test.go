package kernel

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	for _, c := range []struct {
		name, dst, self string
		v6              bool
	}{
		{"IPv4", "10.9.0.2", "10.9.0.1", false},
		{"IPv6", "fd00::2", "fd00::1", true},
		{"IPv6 link-local", "fe80::2%a0", "fe80::1%a0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPair(t)
			s, err := New().OpenEcho(c.v6)
			w.must(err)
			defer s.Close()
			got := replies(s)
			// The own address answers, too. Its request comes to this socket before its reply: it must be kept away.
			for i, dst := range []string{c.dst, c.self} {
				// On a link that has just come up a packet may be lost while the neighbor is looked for.
				want, heard := reply{ip(dst).WithZone(""), 0x1234, uint16(0xfffe - i), nil}, false
				for try := 0; try < 20 && !heard; try++ {
					w.must(s.Send(ip(dst), 0x1234, uint16(0xfffe-i)))
					select {
					case r := <-got:
						heard = r == want
						if late := (reply{ip(c.dst).WithZone(""), 0x1234, 0xfffe, nil}); !heard && r != late {
							t.Fatalf("Receive() = %+v, want %+v", r, want)
						}
					case <-time.After(500 * time.Millisecond):
					}
				}
				if !heard {
					t.Fatalf("no reply of %s", dst)
				}
			}
			w.must(s.Close())
			r, open := <-got
			for open && r.err == nil { // answers to what was asked twice
				r, open = <-got
			}
			if !open || !errors.Is(r.err, net.ErrClosed) {
				t.Errorf("Receive() after Close() = %+v, want net.ErrClosed", r)
			}
		})
	}
}

// A node without a way to the other says so at once, and goes on when there is one.
func TestEchoErrors(t *testing.T) {
	w := newPair(t)
	s, err := New().OpenEcho(false)
	w.must(err)
	defer s.Close()
	if err := s.Send(ip("192.0.2.1"), 1, 1); err == nil {
		t.Error("Send() without a route = nil, want an error")
	}
	if err := s.Send(ip("fd00::2"), 1, 1); err == nil {
		t.Error("Send() of IPv6 on a socket for IPv4 = nil, want an error")
	}
	got := replies(s)
	w.must(s.Send(ip("10.9.0.2"), 1, 2))
	select {
	case r := <-got:
		if want := (reply{ip("10.9.0.2"), 1, 2, nil}); r != want {
			t.Errorf("Receive() = %+v, want %+v", r, want)
		}
	case <-time.After(2 * time.Second):
		t.Error("no reply after errors")
	}
}

func TestParseReply(t *testing.T) {
	good4 := []byte{0, 0, 0, 0, 0x12, 0x34, 0, 7}
	sum := checksum(good4, 0)
	good4[2], good4[3] = byte(sum>>8), byte(sum)
	bad4 := append([]byte{}, good4...)
	bad4[7]++
	for _, c := range []struct {
		name string
		b    []byte
		v6   bool
		ok   bool
	}{
		{"IPv4", good4, false, true},
		{"IPv4, wrong checksum", bad4, false, false},
		{"IPv4, short", good4[:7], false, false},
		{"IPv4, with data", append(append([]byte{}, good4...), 0, 0), false, false},
		{"IPv6", []byte{129, 0, 0, 0, 0x12, 0x34, 0, 7}, true, true},
		{"IPv6 request", []byte{128, 0, 0, 0, 0x12, 0x34, 0, 7}, true, false},
		{"IPv6, code", []byte{129, 1, 0, 0, 0x12, 0x34, 0, 7}, true, false},
		{"nothing", nil, true, false},
	} {
		id, seq, ok := parseReply(c.b, c.v6)
		if ok != c.ok || ok && (id != 0x1234 || seq != 7) {
			t.Errorf("parseReply(%s) = %#x, %d, %v, want ok %v", c.name, id, seq, ok, c.ok)
		}
	}
}

// Requests to this machine are kept away by the kernel, not by us: a flood of them must not fill the socket.
func TestEchoFilter(t *testing.T) {
	for _, c := range []struct {
		v6   bool
		self string
		want func(b []byte) bool
	}{
		{false, "10.9.0.1", func(b []byte) bool { return b[20] == echoReply4 }},
		{true, "fd00::1", func(b []byte) bool { return b[0] == echoReply6 }},
	} {
		w := newPair(t)
		s, err := New().OpenEcho(c.v6)
		w.must(err)
		defer s.Close()
		w.must(s.Send(ip(c.self), 1, 2)) // the request comes to all sockets of this machine before its reply does
		b := make([]byte, 100)
		n, _, _, err := s.(*echoSocket).socket.receive(b, nil)
		if err != nil || !c.want(b[:n]) {
			t.Errorf("the first packet that came up = %x, %v, want the reply", b[:n], err)
		}
	}
}
