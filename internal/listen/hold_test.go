//go:build linux

package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

func holdOf(t testing.TB, s *Set, list ...string) (release func()) {
	t.Helper()
	release, err := s.Hold(addrs(list...))
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// patience is how long nothing may happen until we believe that nothing does: a tenth of the time after which a SYN is sent
// again, so that it cannot be that one that succeeds.
const patience = 100 * time.Millisecond

// knock connects and says what happened: "in", "held" (no answer at all) or the error.
func knock(t testing.TB, host, port string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), patience)
	switch {
	case err == nil:
		c.Close()
		return "in"
	case isTimeout(err):
		return "held"
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func portOf(t testing.TB, a net.Addr) string {
	t.Helper()
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Who connects during a hold gets no answer, not even a refusal, and gets in when it ends; everybody else notices nothing.
func TestHold(t *testing.T) {
	for _, tt := range []struct{ name, listen, held, other string }{
		{"the address itself", "127.0.0.1:0", "127.0.0.1", ""},
		{"a wildcard", "0.0.0.0:0", "127.0.0.2", "127.0.0.1"},
		{"both families, an IPv4 address", "[::]:0", "127.0.0.2", "127.0.0.1"},
		{"both families, an IPv4 address beside IPv6", "[::]:0", "127.0.0.2", "::1"},
		{"both families, an IPv6 address", "[::]:0", "::1", "127.0.0.2"},
		{"IPv6 itself", "[::1]:0", "::1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := NewSet()
			l := open(t, s, tt.listen)
			defer l.Release()
			port := portOf(t, l.Addr())
			before, err := net.Dial("tcp", net.JoinHostPort(tt.held, port))
			if err != nil {
				t.Fatal(err)
			}
			defer before.Close()

			release := holdOf(t, s, "192.0.2.7", tt.held, "2001:db8::7")
			defer release()
			// It waits in the kernel while the rest is looked at.
			late := make(chan error, 1)
			go func() {
				c, err := net.DialTimeout("tcp", net.JoinHostPort(tt.held, port), 20*time.Second)
				if err == nil {
					c.Close()
				}
				late <- err
			}()
			echoes(t, l, before)
			if got := knock(t, tt.held, port); got != "held" {
				t.Errorf("a new connection: %s, want no answer", got)
			}
			if tt.other != "" {
				if got := knock(t, tt.other, port); got != "in" {
					t.Errorf("to another address: %s", got)
				}
			}
			select {
			case err := <-late:
				t.Fatalf("the one who waits: %v, want nothing yet", err)
			default:
			}
			release()
			release() // again: nothing happens
			if err := <-late; err != nil {
				t.Errorf("the SYN that is sent again after the hold: %v", err)
			}
			if got := knock(t, tt.held, port); got != "in" {
				t.Errorf("after it: %s", got)
			}
		})
	}
}

// echoes sees that c, which l's socket accepts first, works in both directions.
func echoes(t *testing.T, l *Listener, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	got := make(chan error, 1)
	raw, err := l.syscallConn()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		var fd int
		err := raw.Read(func(s uintptr) bool {
			var e error
			fd, _, e = unix.Accept4(int(s), unix.SOCK_CLOEXEC)
			if e == unix.EAGAIN {
				return false
			}
			stop = e
			return true
		})
		if err == nil {
			err = stop
		}
		if err == nil {
			defer syscall.Close(fd)
			var b [1]byte
			if _, err = unix.Read(fd, b[:]); err == nil {
				_, err = unix.Write(fd, []byte("y"))
			}
		}
		got <- err
	}()
	var b [1]byte
	if _, err := c.Read(b[:]); err != nil || b[0] != 'y' {
		t.Errorf("a connection that stood before: %q, %v", b, err)
	}
	if err := <-got; err != nil {
		t.Errorf("at the other end: %v", err)
	}
}

// A socket that is opened during a hold has it from its first moment, also without an address in its name.
func TestHoldOfALaterSocket(t *testing.T) {
	s := NewSet()
	release := holdOf(t, s, "127.0.0.2", "::1")
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "127.0.0.2:0"} {
		l := open(t, s, address)
		if ipOf(l.Addr()) == netip.IPv6Unspecified() {
			if got := knock(t, "::1", portOf(t, l.Addr())); got != "held" {
				t.Errorf("listen %s, by IPv6: %s, want no answer", address, got)
			}
		}
		if got := knock(t, "127.0.0.2", portOf(t, l.Addr())); got != "held" {
			t.Errorf("listen %s: %s, want no answer", address, got)
		}
		l.Release()
	}
	l := open(t, s, ":0")
	defer l.Release()
	release()
	if got := knock(t, "127.0.0.2", portOf(t, l.Addr())); got != "in" {
		t.Errorf("after the hold: %s", got)
	}
}

// Holds overlap: each ends what it has begun.
func TestHoldsTogether(t *testing.T) {
	s := NewSet()
	l := open(t, s, ":0")
	defer l.Release()
	port := portOf(t, l.Addr())
	want := func(when, two, three string) {
		t.Helper()
		if got := knock(t, "127.0.0.2", port); got != two {
			t.Errorf("%s: 127.0.0.2 is %s, want %s", when, got, two)
		}
		if got := knock(t, "127.0.0.3", port); got != three {
			t.Errorf("%s: 127.0.0.3 is %s, want %s", when, got, three)
		}
	}
	first := holdOf(t, s, "127.0.0.2")
	want("one hold", "held", "in")
	second := holdOf(t, s, "127.0.0.2", "127.0.0.3")
	want("two holds", "held", "held")
	first()
	want("the first has ended", "held", "held")
	second()
	want("both have ended", "in", "in")
	if len(s.holds) != 0 {
		t.Errorf("%d holds left", len(s.holds))
	}
}

// A hold that cannot be had leaves nothing behind.
func TestHoldTooMany(t *testing.T) {
	s := NewSet()
	l := open(t, s, ":0")
	defer l.Release()
	var many []netip.Addr
	a := netip.MustParseAddr("2001:db8::")
	for range 1000 {
		a = a.Next()
		many = append(many, a)
	}
	if _, err := s.Hold(append(many, addrs("127.0.0.2")...)); err == nil {
		t.Fatal("a thousand addresses are held")
	}
	if got := knock(t, "127.0.0.2", portOf(t, l.Addr())); got != "in" {
		t.Errorf("after a hold that failed: %s", got)
	}
}

// The heir of an upgrade takes visitors, whatever its elder was about to do.
func TestHeirTakesNoHold(t *testing.T) {
	old := NewSet()
	l := open(t, old, ":0")
	defer l.Release()
	p, err := old.OpenPacket(context.Background(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	holdOf(t, old, "127.0.0.2")
	for _, s := range []interface {
		SyscallConn() (syscall.RawConn, error)
	}{rawOf{l}, p.conn} {
		if !filtered(t, s) {
			t.Fatal("the elder's socket has no filter")
		}
	}
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	heirs := make(chan *Set, 1)
	go func() {
		s, _, err := Inherit(theirs)
		if err != nil {
			t.Error(err)
		}
		heirs <- s
	}()
	if _, err := old.Offer(ours, time.Now().Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	s := <-heirs
	if s == nil {
		t.FailNow()
	}
	defer s.Discard()
	heir := open(t, s, ":0")
	defer heir.Release()
	hp, err := s.OpenPacket(context.Background(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer hp.Release()
	if filtered(t, rawOf{heir}) || filtered(t, hp.conn) {
		t.Error("the heir's sockets have the elder's filter")
	}
	if got := knock(t, "127.0.0.2", portOf(t, heir.Addr())); got != "in" {
		t.Errorf("at the heir's: %s", got)
	}
}

// rawOf makes a Listener one of those that tell their socket.
type rawOf struct{ l *Listener }

func (r rawOf) SyscallConn() (syscall.RawConn, error) { return r.l.syscallConn() }

// filtered reports whether a socket has a filter.
func filtered(t *testing.T, s interface {
	SyscallConn() (syscall.RawConn, error)
},
) (yes bool) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		var n uint32 // asked with no room for any, the kernel says how many instructions there are
		if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_GET_FILTER, 0, uintptr(unsafe.Pointer(&n)), 0); e != 0 {
			t.Error(e)
		}
		yes = n > 0
	}); err != nil {
		t.Fatal(err)
	}
	return yes
}

// Of QUIC, first packets are dropped and everything else passes.
func TestHoldQUIC(t *testing.T) {
	for _, listen := range []string{"127.0.0.2:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			s := NewSet()
			p, err := s.OpenPacket(context.Background(), listen)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Release()
			release := holdOf(t, s, "127.0.0.2")
			defer release()
			port := portOf(t, p.Addr())
			// Packets of one sender to one socket over the loopback interface keep their order, so that the marker behind a
			// packet tells whether that one was dropped.
			arrives := func(host string, b []byte) bool {
				t.Helper()
				c, err := net.Dial("udp", net.JoinHostPort(host, port))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for _, b := range [][]byte{b, []byte("the end")} {
					if _, err := c.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				_ = p.Conn().SetReadDeadline(time.Now().Add(10 * time.Second))
				got := false
				for {
					var in [64]byte
					n, _, err := p.Conn().ReadFrom(in[:])
					if err != nil {
						t.Fatal(err)
					}
					if string(in[:n]) == "the end" {
						return got
					}
					got = true
				}
			}
			for _, tt := range []struct {
				name string
				b    string
				want bool
			}{
				{"Initial of version 1", "\xc3\x00\x00\x00\x01\x08abcdefgh", false},
				{"Initial of version 1, greased", "\x80\x00\x00\x00\x01\x08abcdefgh", false},
				{"0-RTT of version 1", "\xd3\x00\x00\x00\x01\x08abcdefgh", true},
				{"Handshake of version 1", "\xe3\x00\x00\x00\x01\x08abcdefgh", true},
				{"Retry of version 1", "\xf3\x00\x00\x00\x01\x08abcdefgh", true},
				{"Initial of version 2", "\xd3\x6b\x33\x43\xcf\x08abcdefgh", false},
				{"Handshake of version 2", "\xf3\x6b\x33\x43\xcf\x08abcdefgh", true},
				{"Retry of version 2", "\xc3\x6b\x33\x43\xcf\x08abcdefgh", true},
				{"another version", "\xc3\x00\x00\x00\x03\x08abcdefgh", true},
				{"short header that looks so", "\x43\x00\x00\x00\x01\x08abcdefgh", true},
			} {
				if got := arrives("127.0.0.2", []byte(tt.b)); got != tt.want {
					t.Errorf("%s: arrived is %v, want %v", tt.name, got, tt.want)
				}
			}
			if listen != "127.0.0.2:0" && !arrives("127.0.0.1", []byte("\xc3\x00\x00\x00\x01\x08abcdefgh")) {
				t.Error("Initial to another address was dropped")
			}
			release()
			if !arrives("127.0.0.2", []byte("\xc3\x00\x00\x00\x01\x08abcdefgh")) {
				t.Error("Initial after the hold was dropped")
			}
		})
	}
}

// Every program that holds can ask for is one that the kernel takes.
func TestFilterAssembles(t *testing.T) {
	for _, udp := range []bool{false, true} {
		for _, a := range [][]netip.Addr{addrs("192.0.2.1"), addrs("2001:db8::1"), addrs("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")} {
			if _, err := bpf.Assemble(filterOf(a, udp)); err != nil {
				t.Errorf("%v, UDP %v: %v", a, udp, err)
			}
		}
	}
}
