package kernel

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLinks(t *testing.T) {
	w := newWorld(t)
	w.ip("addr add 10.9.0.1/24 dev a0")
	w.ip("addr add fd00::1/64 dev a0 nodad")
	w.eventually("link-local address", func() bool { return len(w.link("a0").Prefixes) == 3 })
	l := w.link("a0")
	if l.Index == 0 || len(l.MAC) != 6 || l.MTU != 1500 || !l.Up {
		t.Errorf("Links() has a0 as %+v, want an index, a MAC, MTU 1500, up", l)
	}
	if got, want := l.Prefixes[0], netip.MustParsePrefix("10.9.0.1/24"); got != want {
		t.Errorf("first prefix of a0 = %v, want %v", got, want)
	}
	if !slices.Contains(l.Prefixes, netip.MustParsePrefix("fd00::1/64")) {
		t.Errorf("prefixes of a0 = %v, want fd00::1/64 among them", l.Prefixes)
	}
	if lo := w.link("lo"); !lo.Up || !slices.Equal(lo.Prefixes, prefixes("127.0.0.1/8", "::1/128")) {
		t.Errorf("Links() has lo as %+v, want it up with 127.0.0.1/8 and ::1/128", lo)
	}
}

// An address whose uniqueness is being proved cannot be a source yet, so it is not shown.
func TestLinksLeaveTentativeAddressesOut(t *testing.T) {
	w := newWorld(t)
	w.sysctl("ipv6/conf/a0/dad_transmits", "1000") // it would take 1000 s
	w.ip("addr add fd00::77/64 dev a0")
	if got := w.link("a0").Prefixes; slices.Contains(got, netip.MustParsePrefix("fd00::77/64")) {
		t.Errorf("prefixes of a0 = %v, want no fd00::77/64 while it is tentative", got)
	}
}

func TestLinksOnPointToPoint(t *testing.T) {
	w := newWorld(t)
	w.ip("addr add 10.9.0.1 peer 10.9.0.2/30 dev a0")
	w.ip("addr add fd00::1 peer fd00::2/64 dev a0 nodad")
	got := slices.DeleteFunc(w.link("a0").Prefixes, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
	if diff := cmp.Diff(prefixes("10.9.0.1/32", "fd00::1/128"), got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("prefixes of a link with a peer (-want +got):\n%s", diff)
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	calls := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	opened := make(chan struct{})
	// Watch opens its socket on the thread that calls it, which must be in the namespace.
	go func() {
		ended <- inNamespace(w.a, func() error {
			first := true
			return New().Watch(ctx, func() {
				if first {
					first = false
					close(opened)
					return
				}
				select {
				case calls <- struct{}{}:
				default:
				}
			})
		})
	}()
	<-opened
	for _, c := range []struct{ name, command string }{
		{"IPv4 address", "addr add 10.9.0.1/24 dev a0"},
		{"IPv6 address", "addr add fd00::1/64 dev a0 nodad"},
		{"removed address", "addr del 10.9.0.1/24 dev a0"},
		{"link", "link set a0 down"},
	} {
		for quiet := false; !quiet; { // what the step before has caused until now
			select {
			case <-calls:
			case <-time.After(20 * time.Millisecond):
				quiet = true
			}
		}
		w.ip(c.command)
		select {
		case <-calls:
		case <-time.After(5 * time.Second):
			t.Errorf("no call after a change: %s", c.name)
		}
	}
	if w.link("a0").Up {
		t.Error("a0 is up, want it down")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch() = %v, want nil after the end of its context", err)
	}
}

// The loss of the carrier alone is seen, too, and the addresses stay.
func TestWatchCarrier(t *testing.T) {
	w := newWorld(t)
	w.ip("addr add 10.9.0.1/24 dev a0")
	w.in(w.b, func() { w.ip("link set b0 down") })
	w.eventually("loss of the carrier", func() bool { return !w.link("a0").Up })
	if got := w.link("a0").Prefixes; !slices.Contains(got, netip.MustParsePrefix("10.9.0.1/24")) {
		t.Errorf("prefixes of a0 = %v, want 10.9.0.1/24 still", got)
	}
}

// The kernel says ENOBUFS when it had more news than the socket could hold.
func TestWatchSurvivesLostNews(t *testing.T) {
	w := newWorld(t)
	calls, entered, release := 0, make(chan struct{}, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- inNamespace(w.a, func() error {
			return New().Watch(ctx, func() {
				if calls++; calls == 1 {
					entered <- struct{}{}
					<-release // the listener is slow
				} else if calls == 2 {
					entered <- struct{}{}
				}
			})
		})
	}()
	<-entered
	n := New()
	for range 400 { // each is hundreds of bytes in the socket; together they are more than its 256 KiB
		w.must(n.AddAddress("a0", netip.MustParsePrefix("10.9.0.1/24")))
		w.must(n.RemoveAddress("a0", netip.MustParsePrefix("10.9.0.1/24")))
	}
	close(release)
	select {
	case <-entered:
	case err := <-ended:
		t.Fatalf("Watch() = %v, want it to survive ENOBUFS", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch() = %v, want it to survive ENOBUFS", err)
	}
}
