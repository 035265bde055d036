package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

func TestPutOff(t *testing.T) {
	const interval = 100 * time.Millisecond
	s := Settings{
		Version: 3, RouterID: 1, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.100")},
		Source: netip.MustParseAddr("10.0.0.11"), Interval: interval, Priority: 200, Preempt: true,
	}
	for _, test := range []struct{ slept, later time.Duration }{
		{0, 0},
		{interval - 1, 0},
		{interval, interval},
		{time.Second, time.Second},
	} {
		g, err := NewGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		g.Start(time.Hour)
		before, _ := g.Deadline()
		g.PutOff(test.slept)
		after, _ := g.Deadline()
		if got := after - before; got != test.later {
			t.Errorf("PutOff(%v) of a backup: later by %v, want %v", test.slept, got, test.later)
		}
		g.Tick(after)
		if g.Machines()[0].State() != Master {
			t.Fatalf("after %v the state is %s", test.slept, g.Machines()[0].State())
		}
		before, _ = g.Deadline()
		g.PutOff(test.slept)
		if after, _ = g.Deadline(); after != before {
			t.Errorf("PutOff(%v) of a master: later by %v, want never", test.slept, after-before)
		}
	}
}
