package vrrp

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A master announces one address a second, each in its turn, with the advertisement that is due then; a shorter list and another
// process go on with that.
func TestReminders(t *testing.T) {
	g, err := NewGroup(v3()...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	note := func(now Time, actions []Action) {
		for _, a := range actions {
			if a.Kind == Announce {
				got = append(got, fmt.Sprintf("%v %v", (now-epoch-down3).Round(time.Millisecond), a.Addresses))
			}
		}
	}
	now := epoch
	g.Start(now)
	now += down3
	g.Tick(now)
	run := func(until time.Duration) {
		for ; now < epoch+down3+until; now += 100 * ms {
			note(now, g.Tick(now))
		}
	}
	run(3500 * ms)
	s := v3()[0]
	s.Addresses = s.Addresses[1:]
	actions, ok := g.Configure(now, g.Machines()[0], s)
	if !ok {
		t.Fatal("another list of addresses is refused")
	}
	note(now, actions)
	run(4500 * ms)
	snapshots := g.Release(now)
	if g, err = NewGroup(s); err != nil {
		t.Fatal(err)
	}
	now += 10 * ms
	g.Resume(now, snapshots)
	run(5900 * ms)
	want := []string{
		"1s [10.0.0.100]", "2s [10.0.0.101]", "3s [10.0.0.100]",
		"4s [10.0.0.101]", "5.51s [10.0.0.101]",
	}
	// The second round of five is the beginning's, and of the first process.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("announcements (-want +got):\n%s", diff)
	}
}
