package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// network is what both kernels offer; the parts above declare what they need of it.
type network interface {
	Links() ([]Link, error)
	Watch(ctx context.Context, changed func()) error
	AddAddress(link string, p netip.Prefix) error
	RemoveAddress(link string, p netip.Prefix) error
	Announce(link string, a netip.Addr) error
	OpenVRRP(o VRRPOptions) (VRRPSocket, error)
	OpenEcho(v6 bool) (EchoSocket, error)
	AddVirtualMAC(link, name string, routerID uint8, v6 bool) error
	RemoveLink(name string) error
	Connections(local []netip.Addr) (int, error)
	Missing() []string
	Now() time.Duration
}

var (
	_ network = (*Net)(nil)
	_ network = (*Fake)(nil)
)

// bubble runs f with a LAN of three hosts.
func bubble(t *testing.T, f func(t *testing.T, l *FakeLAN, a, b, c *Fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := NewFakeLAN()
		f(t, l,
			l.Host("a", prefixes("10.9.0.1/24", "fd00::1/64")...),
			l.Host("b", prefixes("10.9.0.2/24", "fd00::2/64")...),
			l.Host("c", prefixes("10.9.0.3/24", "fd00::3/64")...))
	})
}

// fakeSocket opens a socket, hears it on a goroutine and closes it at the end.
func fakeSocket(t *testing.T, f *Fake, source string, multicast bool) (VRRPSocket, chan heard) {
	t.Helper()
	s, err := f.OpenVRRP(VRRPOptions{Link: "eth0", Source: ip(source), Multicast: multicast})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, hear(s)
}

// drain is what has been heard until now.
func drain(c chan heard) (payloads []string) {
	synctest.Wait()
	for len(c) > 0 {
		payloads = append(payloads, (<-c).payload)
	}
	return payloads
}

func TestFakeVRRP(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		multi, home := fakeSocket(t, a, "10.9.0.1", true)
		uni, _ := fakeSocket(t, a, "10.9.0.1", false)
		_, atB := fakeSocket(t, b, "10.9.0.2", true)
		_, atC := fakeSocket(t, c, "10.9.0.3", true)
		_, unicastB := fakeSocket(t, b, "10.9.0.2", false)
		_, v6 := fakeSocket(t, b, "fe80::2", true)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(multi.Send(ip("224.0.0.18"), []byte("all")))
		if got, want := <-atB, (heard{"all", ip("10.9.0.1"), ip("224.0.0.18"), 255, nil}); got != want {
			t.Errorf("b heard %+v, want %+v", got, want)
		}
		if got := drain(atC); !slices.Equal(got, []string{"all"}) {
			t.Errorf("c heard %q, want what is for all", got)
		}
		must(uni.Send(ip("10.9.0.2"), []byte("one")))
		if got := drain(unicastB); !slices.Equal(got, []string{"one"}) {
			t.Errorf("b heard %q by unicast, want what is for one", got)
		}
		for name, c := range map[string]chan heard{"sender": home, "multicast": atB, "other host": atC, "IPv6": v6} {
			if got := drain(c); got != nil {
				t.Errorf("%s heard %q, want nothing", name, got)
			}
		}
		l.Inject(FakePacket{Link: "eth0", Src: ip("10.9.0.66"), Dst: ip("224.0.0.18"), TTL: 254, Payload: []byte("stranger")})
		if got, want := <-atB, (heard{"stranger", ip("10.9.0.66"), ip("224.0.0.18"), 254, nil}); got != want {
			t.Errorf("b heard %+v, want %+v", got, want)
		}
	})
}

func TestFakeFaults(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		from, _ := fakeSocket(t, a, "10.9.0.1", true)
		_, atB := fakeSocket(t, b, "10.9.0.2", true)
		_, atC := fakeSocket(t, c, "10.9.0.3", true)
		send := func(wantB, wantC int) {
			t.Helper()
			if err := from.Send(ip("224.0.0.18"), []byte("x")); err != nil {
				t.Fatal(err)
			}
			if gotB, gotC := len(drain(atB)), len(drain(atC)); gotB != wantB || gotC != wantC {
				t.Errorf("b and c heard %d and %d packets, want %d and %d", gotB, gotC, wantB, wantC)
			}
		}
		send(1, 1)
		l.Partition([]*Fake{a, b})
		send(1, 0)
		l.Partition([]*Fake{a}, []*Fake{b})
		send(0, 0)
		l.Partition()
		send(1, 1)
		l.Lose(func(p FakePacket) bool { return p.To == "b" })
		send(0, 1)
		l.Lose(nil)
		b.SetCarrier("eth0", false)
		send(0, 1)
		b.SetCarrier("eth0", true)
		send(1, 1)
		a.SetCarrier("eth0", false)
		if err := from.Send(ip("224.0.0.18"), []byte("x")); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("Send() without a carrier = %v, want ENETDOWN", err)
		}
		a.SetCarrier("eth0", true)
		a.Fail("Send", errors.ErrUnsupported)
		if err := from.Send(ip("224.0.0.18"), []byte("x")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Send() that shall fail = %v", err)
		}
		a.Fail("Send", nil)
		l.Delay(func(FakePacket) time.Duration { return 10 * time.Millisecond })
		send(0, 0)
		time.Sleep(11 * time.Millisecond)
		if got := len(drain(atB)); got != 1 {
			t.Errorf("b heard %d packets after the delay, want 1", got)
		}
	})
}

func TestFakeAddresses(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		vip := netip.MustParsePrefix("10.9.0.100/24")
		for range 2 {
			if err := a.AddAddress("eth0", vip); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.AddAddress("eth0", vip); err != nil {
			t.Fatal(err)
		}
		if got := l.Holders(vip.Addr()); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("Holders() = %v, want a and b", got)
		}
		b.SetCarrier("eth0", false)
		if got := l.Holders(vip.Addr()); !slices.Equal(got, []string{"a"}) {
			t.Errorf("Holders() = %v, want a alone while b has no carrier", got)
		}
		if err := a.Announce("eth0", vip.Addr()); err != nil {
			t.Fatal(err)
		}
		if got := l.Announcer(vip.Addr()); got != "a" {
			t.Errorf("Announcer() = %q, want a", got)
		}
		for range 2 {
			if err := a.RemoveAddress("eth0", vip); err != nil {
				t.Fatal(err)
			}
		}
		if a.Has("eth0", vip) || !b.Has("eth0", vip) {
			t.Error("after a has removed the address, a has it or b does not")
		}
		if err := a.AddAddress("eth7", vip); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("AddAddress to no link = %v, want ENODEV", err)
		}
		if err := a.RemoveAddress("eth7", vip); err != nil {
			t.Errorf("RemoveAddress from no link = %v, want nil", err)
		}
		a.Fail("AddAddress", syscall.EPERM)
		if err := a.AddAddress("eth0", vip); !errors.Is(err, syscall.EPERM) {
			t.Errorf("AddAddress that shall fail = %v", err)
		}
		var what []FakeWhat
		for _, e := range l.Events() {
			what = append(what, FakeWhat(e.Host)+" "+e.What)
		}
		want := []FakeWhat{"a added", "b added", "a announced", "a removed"}
		if diff := cmp.Diff(want, what); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestFakeLinks(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		a.AddLink("eth1", prefixes("10.8.0.1/24")...)
		if err := a.AddVirtualMAC("eth0", "skein7v4", 7, false); err != nil {
			t.Fatal(err)
		}
		links, err := a.Links()
		if err != nil {
			t.Fatal(err)
		}
		same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		want := []Link{
			{2, "eth0", fakeMAC(1, 1), 1500, true, prefixes("10.9.0.1/24", "fd00::1/64", "fe80::1/64")},
			{3, "eth1", fakeMAC(1, 2), 1500, true, prefixes("10.8.0.1/24")},
			{4, "skein7v4", net.HardwareAddr{0, 0, 0x5e, 0, 1, 7}, 1500, true, nil},
		}
		if diff := cmp.Diff(want, links, same); diff != "" {
			t.Errorf("Links() (-want +got):\n%s", diff)
		}
		if err := a.RemoveLink("skein7v4"); err != nil {
			t.Fatal(err)
		}
		if links, _ := a.Links(); len(links) != 2 {
			t.Errorf("Links() after RemoveLink = %v, want two", links)
		}
		// The segments do not hear each other.
		b.AddLink("eth1", prefixes("10.8.0.2/24")...)
		s, err := a.OpenVRRP(VRRPOptions{Link: "eth1", Source: ip("10.8.0.1"), Multicast: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, atB := fakeSocket(t, b, "10.9.0.2", true)
		if err := s.Send(ip("224.0.0.18"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got := drain(atB); got != nil {
			t.Errorf("eth0 heard %q of eth1", got)
		}
	})
}

func TestFakeWatch(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		ctx, cancel := context.WithCancel(context.Background())
		calls, ended := 0, make(chan error, 1)
		go func() { ended <- a.Watch(ctx, func() { calls++ }) }()
		expect := func(want int, after string) {
			t.Helper()
			if synctest.Wait(); calls != want {
				t.Errorf("%d calls after %s, want %d", calls, after, want)
			}
		}
		expect(1, "the beginning")
		a.SetCarrier("eth0", false)
		expect(2, "the carrier's loss")
		if err := a.AddAddress("eth0", netip.MustParsePrefix("10.9.0.100/32")); err != nil {
			t.Fatal(err)
		}
		expect(3, "an address")
		b.SetCarrier("eth0", false)
		expect(3, "something at another host")
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch() = %v, want nil", err)
		}
		a.SetCarrier("eth0", true)
		expect(3, "the end")
	})
}

func TestFakeEcho(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		s, err := a.OpenEcho(false)
		if err != nil {
			t.Fatal(err)
		}
		got := replies(s)
		ping := func(dst string, want bool) {
			t.Helper()
			if err := s.Send(ip(dst), 5, 6); err != nil {
				t.Fatal(err)
			}
			if synctest.Wait(); len(got) != map[bool]int{true: 1, false: 0}[want] {
				t.Fatalf("%d replies of %s, want an answer: %v", len(got), dst, want)
			}
			if want {
				if r := <-got; r != (reply{ip(dst), 5, 6, nil}) {
					t.Errorf("reply = %+v", r)
				}
			}
		}
		ping("10.9.0.2", true)
		ping("10.9.0.1", true)
		ping("10.9.0.99", false)
		l.Lose(func(p FakePacket) bool { return p.Kind == FakeEchoReply && p.From == "b" })
		ping("10.9.0.2", false)
		ping("10.9.0.3", true)
		l.Partition([]*Fake{a})
		ping("10.9.0.3", false)
		l.Partition()
		b.SetCarrier("eth0", false)
		ping("10.9.0.2", false)
		if err := s.Send(ip("fd00::2"), 1, 1); !errors.Is(err, syscall.EAFNOSUPPORT) {
			t.Errorf("Send() of IPv6 = %v, want EAFNOSUPPORT", err)
		}
		_ = s.Close()
		if r := <-got; !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("Receive() after Close() = %v, want net.ErrClosed", r.err)
		}
		if err := s.Send(ip("10.9.0.2"), 1, 1); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send() after Close() = %v, want net.ErrClosed", err)
		}
	})
}

// A socket that nobody reads does not grow, and does not stop the sender.
func TestFakeQueueIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		from, _ := fakeSocket(t, a, "10.9.0.1", true)
		s, err := b.OpenVRRP(VRRPOptions{Link: "eth0", Source: ip("10.9.0.2"), Multicast: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if err := from.Send(ip("224.0.0.18"), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(s.(*fakeVRRP).queue.packets); got != 256 {
			t.Errorf("%d packets wait, want 256", got)
		}
		_ = s.Close()
		if _, _, _, _, err := s.Receive(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive() after Close() = %v, want net.ErrClosed", err)
		}
	})
}

func TestFakeClock(t *testing.T) {
	bubble(t, func(t *testing.T, l *FakeLAN, a, b, c *Fake) {
		first := a.Now()
		time.Sleep(time.Second)
		if got := b.Now() - first; got != time.Second {
			t.Errorf("the clock has gone %v in a second", got)
		}
	})
}
