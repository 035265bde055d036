//go:build linux

package sock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDial(t *testing.T) {
	unixPath := filepath.Join(t.TempDir(), "s")
	for _, a := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"tcp", "[::1]:0"}, {"unix", unixPath}} {
		l, err := net.Listen(a.network, a.address)
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			continue // no IPv6 here
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
		tm := NewTimer()
		c, err := tm.Dial(context.Background(), a.network, l.Addr().String(), time.Second, false)
		if err != nil {
			t.Fatalf("Dial(%s %s) = %v", a.network, l.Addr(), err)
		}
		if c.nc.Load() != nil {
			t.Errorf("%s: a connection that stands at once is in the poller", l.Addr())
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("%s: echo = %q, %v", l.Addr(), got, err)
		}
		if err := c.Close(); err != nil || tm.Len() != 0 {
			t.Errorf("Close = %v, %d left", err, tm.Len())
		}
	}
}

func TestDialFails(t *testing.T) {
	tm := NewTimer()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()
	dead, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx              context.Context
		network, address string
		want             error
	}{
		"nobody listens": {context.Background(), "tcp", nobody, syscall.ECONNREFUSED},
		"no socket":      {context.Background(), "unix", filepath.Join(t.TempDir(), "none"), syscall.ENOENT},
		"a name":         {context.Background(), "tcp", "localhost:80", errors.ErrUnsupported},
		"canceled":       {dead, "tcp", nobody, context.Canceled},
	} {
		if s, err := tm.Dial(c.ctx, c.network, c.address, time.Second, false); !errors.Is(err, c.want) || s != nil {
			t.Errorf("%s: Dial = %v, %v, want %v", name, s, err, c.want)
		}
	}
	plain := NewTimer()
	plain.Plain = true
	if _, err := plain.Dial(context.Background(), "tcp", nobody, time.Second, false); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("on the plain path: %v", err)
	}
	if tm.Len() != 0 {
		t.Errorf("%d connections are left", tm.Len())
	}
}

// full is a socket whose backlog takes no more: connecting to it neither succeeds nor fails.
func full(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}).String()
	for range 3 {
		if c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond); err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return addr
}

func TestDialWaits(t *testing.T) {
	addr := full(t)
	tm := NewTimer()
	start := time.Now()
	if _, err := tm.Dial(context.Background(), "tcp", addr, 200*time.Millisecond, false); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Dial = %v, want a time-out", err)
	}
	if d := time.Since(start); d < 200*time.Millisecond {
		t.Errorf("it gave up after %v", d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := tm.Dial(ctx, "tcp", addr, time.Minute, false); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial = %v, want canceled", err)
	}
	if tm.Len() != 0 {
		t.Errorf("%d connections are left", tm.Len())
	}
}
