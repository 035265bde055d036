package speaker

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// On a host of containers interfaces change all the time. A socket that cannot be opened is tried again once at a time, not once
// more for each of those changes.
func TestRetriesDoNotAddUp(t *testing.T) {
	for _, method := range []string{"OpenVRRP", "Links"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := kernel.NewFakeLAN()
				a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
				if method == "OpenVRRP" {
					a.host.Fail(method, syscall.EADDRNOTAVAIL)
				}
				a.configure(nil, one(router(a.host, 200, front)))
				a.host.Fail(method, syscall.EADDRNOTAVAIL)
				a.host.AddLink("veth0")
				for n := range 500 {
					settled(2 * lookEvery)
					a.host.SetCarrier("veth0", n%2 == 0)
				}
				settled(time.Second)
				count := make(chan int, 1)
				a.speaker.post(event{do: func() { count <- len(a.speaker.alarms) }})
				if n := <-count; n > 3 {
					t.Errorf("%d alarms wait after 500 changes, want a few", n)
				}
				a.host.Fail(method, nil)
				settled(earsRetry + time.Second)
				owner(t, lan, "10.0.0.100", "lb1")
			})
		})
	}
}

// Since Linux 6.3 an interface can get another name while it is up. Its addresses stay on it, and so may not ours.
func TestLinkRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.host.Rename("eth0", "lan0")
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		if _, p := said(lan, "lb1"); p != 0 {
			t.Errorf("the last word of lb1 was priority %d, want 0", p)
		}
		a.host.Rename("lan0", "eth0")
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		if got := a.changes(4); !slices.Equal(got, []vrrp.State{vrrp.Backup, vrrp.Master, vrrp.Fault, vrrp.Backup, vrrp.Master}) {
			t.Errorf("states = %v", got)
		}
	})
}

// A flood of strangers must not take the place of the master's advertisements, nor keep its victim busy.
func TestFlood(t *testing.T) {
	for _, c := range []struct {
		name    string
		src     string
		ttl     int
		dst     string
		unicast bool
	}{
		{"from afar", "198.51.100.1", 57, "10.0.0.12", true},
		{"by unicast", "10.0.0.66", 255, "10.0.0.12", true},
		{"by multicast from afar", "10.0.0.66", 254, "224.0.0.18", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := kernel.NewFakeLAN()
				a := start(t, lan.Host("lb1", prefix("10.0.0.11/24")))
				b := start(t, lan.Host("lb2", prefix("10.0.0.12/24")))
				for n, i := range map[*node]Instance{a: router(a.host, 200, front), b: router(b.host, 190, front)} {
					if i.Router.Peers = []netip.Addr{addr("10.0.0.11")}; n == a {
						i.Router.Peers[0] = addr("10.0.0.12")
					}
					if !c.unicast {
						i.Router.Peers = nil
					}
					n.configure(nil, one(i))
				}
				settled(time.Second)
				before := b.status("front", 4).Counters
				for range 5 * 100 {
					for range 300 {
						lan.Inject(kernel.FakePacket{
							Kind: kernel.FakeVRRP, Link: "eth0", From: "evil", Src: addr(c.src), Dst: addr(c.dst), TTL: c.ttl, Payload: []byte{0x31, 10, 255, 1, 0, 10, 0, 0},
						})
					}
					settled(10 * time.Millisecond)
				}
				owner(t, lan, "10.0.0.100", "lb1")
				s := b.status("front", 4)
				if n := s.Counters.BecameMaster - before.BecameMaster; s.State != vrrp.Backup || n > 0 {
					t.Errorf("lb2 is %s, was master %d times", s.State, n)
				}
				if got := s.Counters.Received - before.Received; got < 45 {
					t.Errorf("lb2 has heard %d advertisements of lb1, want some 50", got)
				}
				refused := uint64(0)
				for _, n := range s.Counters.Refused {
					refused += n
				}
				if refused == 0 || refused > 1000 {
					t.Errorf("%d packets of 150000 came up, want only the first ones", refused)
				}
				// It is over, and all is heard again.
				settled(floodTime)
				lan.Inject(kernel.FakePacket{
					Kind: kernel.FakeVRRP, Link: "eth0", From: "evil", Src: addr(c.src), Dst: addr(c.dst), TTL: c.ttl, Payload: []byte{0x31, 10, 255, 1, 0, 10, 0, 0},
				})
				settled(time.Second)
				again := uint64(0)
				for _, n := range b.status("front", 4).Counters.Refused {
					again += n
				}
				if again != refused+1 {
					t.Errorf("%d packets were refused after the flood, want one", again-refused)
				}
			})
		})
	}
}

// Who cared for the address before us may have given it another length. A backup that keeps it is a second owner, whom nobody hears.
func TestStaleAddressOfAnotherLength(t *testing.T) {
	for _, c := range []struct{ left, want string }{
		{"10.0.0.100/32", "10.0.0.100/24"},
		{"fd00::100/64", "fd00::100/128"},
	} {
		synctest.Test(t, func(t *testing.T) {
			lan := kernel.NewFakeLAN()
			a := start(t, lan.Host("lb1", prefix("10.0.0.11/24"), prefix("fd00::11/64")))
			if err := a.host.AddAddress("eth0", prefix(c.left)); err != nil {
				t.Fatal(err)
			}
			if e := a.configure(nil, one(router(a.host, 200, c.want))); e != "" {
				t.Error(e)
			}
			if a.host.Has("eth0", prefix(c.left)) {
				t.Errorf("a backup has %s", c.left)
			}
			settled(time.Second)
			if !a.host.Has("eth0", prefix(c.want)) {
				t.Errorf("the master has not %s", c.want)
			}
		})
	}
}
