//go:build linux

package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func open(t testing.TB, s *Set, address string) *Listener {
	t.Helper()
	l, err := s.Open(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// say connects, says something (a socket shows those who have) and returns the connection.
func say(t testing.TB, l *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	return c
}

// take closes what was accepted.
func take(fd int, _ net.Conn, _ netip.AddrPort) {
	_ = syscall.Close(fd)
}

func TestOneSocketForAllWhoOpenIt(t *testing.T) {
	s := NewSet()
	a := open(t, s, "127.0.0.1:0")
	if b := open(t, s, "127.0.0.1:0"); b != a {
		t.Fatal("the same address opened twice is two sockets")
	}
	if other := open(t, s, "127.0.0.2:0"); other == a {
		t.Fatal("two addresses are one socket")
	} else {
		other.Release()
	}
	addr := a.Addr().String()
	a.Release()
	if _, err := net.Dial("tcp", addr); err != nil {
		t.Errorf("closed while somebody had it: %v", err)
	}
	a.Release()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still open")
	}
	if len(s.open) != 0 {
		t.Errorf("still known: %v", s.open)
	}
	again := open(t, s, "127.0.0.1:0")
	if again == a {
		t.Error("a closed socket was opened")
	}
	again.Release()
}

func TestBacklogSurvivesAReload(t *testing.T) {
	s := NewSet()
	l := open(t, s, "127.0.0.1:0")
	const waiting = 5
	for range waiting {
		say(t, l)
	}
	for range 3 { // reloads: the next configuration opens before the last one releases
		open(t, s, "127.0.0.1:0").Release()
	}
	got := make(chan netip.AddrPort, waiting)
	done := make(chan error)
	go func() {
		done <- l.Accept(func(fd int, nc net.Conn, client netip.AddrPort) {
			take(fd, nc, client)
			got <- client
		})
	}()
	for range waiting {
		if a := <-got; a.Addr() != netip.MustParseAddr("127.0.0.1") || a.Port() == 0 {
			t.Errorf("client = %v", a)
		}
	}
	l.Release()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	if err := l.Accept(take); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after the end = %v, want net.ErrClosed", err)
	}
}

// A socket that is closed while clients keep coming is closed all the same.
func TestAcceptEndsInAFlood(t *testing.T) {
	l := open(t, NewSet(), "127.0.0.1:0")
	for range 20 {
		say(t, l)
	}
	n, released := 0, make(chan struct{})
	err := l.Accept(func(fd int, nc net.Conn, client netip.AddrPort) {
		take(fd, nc, client)
		if n++; n == 2 {
			go func() { l.Release(); close(released) }()
			for !l.closed.Load() {
				runtime.Gosched()
			}
		}
	})
	<-released
	if !errors.Is(err, net.ErrClosed) || n != 2 {
		t.Errorf("Accept = %v after %d connections, want net.ErrClosed after 2", err, n)
	}
}

func TestManyOpenAtOnce(t *testing.T) {
	s := NewSet()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				l, err := s.Open(context.Background(), "127.0.0.1:0")
				if err != nil {
					t.Error(err)
					return
				}
				l.Release()
			}
		})
	}
	all.Wait()
	if len(s.open) != 0 {
		t.Errorf("left open: %v", s.open)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := NewSet()
	_, err = s.Open(context.Background(), taken.Addr().String())
	want := "listen " + taken.Addr().String() + ": address already in use\nhint: another program listens there; see who with: ss -ltnp"
	if err == nil || err.Error() != want || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Open = %v, want %s", err, want)
	}
	if len(s.open) != 0 {
		t.Errorf("known: %v", s.open)
	}
	for name, c := range map[string]struct {
		err  error
		hint string
	}{
		"EACCES":        {syscall.EACCES, "CAP_NET_BIND_SERVICE"},
		"EADDRNOTAVAIL": {syscall.EADDRNOTAVAIL, "does not have that address"},
	} {
		if got := explain(":1", &net.OpError{Op: "listen", Err: c.err}); !strings.Contains(got.Error(), c.hint) || !errors.Is(got, c.err) {
			t.Errorf("%s: %v, want the hint %q", name, got, c.hint)
		}
	}
	if got := explain(":1", errors.New("odd")).Error(); got != "listen :1: odd" {
		t.Errorf("explain = %q", got)
	}
}

// A backup balancer listens on the virtual address that it does not have yet.
func TestForeignAddresses(t *testing.T) {
	for _, address := range []string{"192.0.2.77:0", "[2001:db8::77]:0"} {
		l, err := NewSet().Open(context.Background(), address)
		if errors.Is(err, syscall.EAFNOSUPPORT) {
			continue // no IPv6 here
		}
		if err != nil {
			t.Errorf("Open(%q) = %v", address, err)
			continue
		}
		if l.Addr().(*net.TCPAddr).Port == 0 {
			t.Errorf("%s: no real port", address)
		}
		l.Release()
	}
}
