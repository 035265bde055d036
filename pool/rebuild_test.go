package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

// A thousand members that fail one by one cost a few rebuilds, and none gets work once it is known to be sick.
func TestManyChangesFewRebuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pol := newPool(t, conf(2000))
		builds := pol.builds.Load()
		ms := p.Members()
		for i, m := range ms[:1990] {
			p.Set(m, Unhealthy, true, noon)
			for range 5 {
				got := acquire(t, p)
				if !got.Usable() {
					t.Fatalf("%d sick: work for %s, which is one of them", i+1, got.ID)
				}
				p.Release(got)
			}
		}
		if n := pol.builds.Load() - builds; n > 2 {
			t.Errorf("%d builds in no time", n)
		}
		time.Sleep(time.Second)
		if got := len(p.Usable()); got != 10 {
			t.Errorf("%d usable at the end, want 10", got)
		}
		if n := pol.builds.Load() - builds; n > 3 {
			t.Errorf("%d builds for all changes", n)
		}
		// Back again.
		for _, m := range ms {
			p.Set(m, Unhealthy, false, noon)
		}
		time.Sleep(time.Second)
		if got := len(p.Usable()); got != 2000 {
			t.Errorf("%d usable after the recovery, want 2000", got)
		}
	})
}

// Nobody is told that no member is left by a snapshot that is out of date: backups stand in at once.
func TestLargePoolTurnsToBackups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := conf(200)
		c.Members[199].Backup = true
		p, _ := newPool(t, c)
		backup := p.Members()[199]
		p.SetMany(Unhealthy, noon, func(m *Member) bool { return m != backup })
		if m := acquire(t, p); m != backup {
			t.Errorf("acquired %s, want the backup", m.ID)
		}
		p.Set(backup, Drained, true, noon)
		if _, err := p.Acquire(0, nil, &Mask{}, nil); err != ErrNone {
			t.Errorf("Acquire with no member left: %v, want ErrNone", err)
		}
	})
}

// In a small pool a change is in the snapshot when the call returns.
func TestSmallPoolAtOnce(t *testing.T) {
	p, _ := newPool(t, conf(AtOnce))
	p.Set(p.Members()[0], Ejected, true, noon)
	if n := len(p.Usable()); n != AtOnce-1 {
		t.Errorf("%d usable, want %d", n, AtOnce-1)
	}
}
