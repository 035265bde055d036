package keepalived

import (
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// Test 11: when the master's advertisements are lost on their way, and only they, the backup becomes a second one. The master hears
// it and answers, in vain. That ends with the loss.
func TestMasterIsNotHeard(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		s.visit(r)
		begin := time.Now()
		high.host.Port(0).Lose(lab.Out, 1, lab.VRRP)
		low.speaks(r, begin)
		s.both()
		time.Sleep(2 * time.Second)
		if all := high.host.Has(r.address()); !all {
			t.Errorf("%s has let go of the address because of a lesser master", high)
		}
		healed := time.Now()
		high.host.Port(0).Lose(lab.Out, 0, lab.VRRP)
		since := s.owners.Wait(high.host, settling)
		s.bounded("one owner after the loss", healed, since, r.interval)
		s.pointsTo(r, high)
		t.Logf("two owners for %v", s.owners.DoubleTime())
		s.content("lower priority")
	})
}

// Test 11: what a backup says is heard by nobody, as it says nothing. So the loss of the other direction disturbs nobody.
func TestBackupIsNotHeard(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		begin := time.Now()
		low.host.Port(0).Lose(lab.Out, 1, lab.VRRP)
		time.Sleep(2 * time.Second)
		low.host.Port(0).Lose(lab.Out, 0, lab.VRRP)
		if all := low.adverts(r.id, begin, time.Time{}); len(all) > 0 {
			t.Errorf("%s speaks beside a master: %v", low, all[0])
		}
		if h := s.owners.Between(begin, time.Now()); len(h) != 1 {
			t.Errorf("the owner changes:\n%s", h)
		}
		s.settled(high)
		s.content()
	})
}

// Test 11: with three of ten advertisements lost at random, one in 37 triples is lost as a whole, and the backup takes over by
// mistake. The master's next words that arrive end that.
func TestRandomLoss(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		begin := time.Now()
		for _, n := range s.nodes {
			n.host.Port(0).Lose(lab.Out, 0.3, lab.VRRP)
		}
		time.Sleep(time.Duration(harness.Count(3, 10, 600)) * time.Second)
		end := time.Now()
		for _, n := range s.nodes {
			n.host.Port(0).Lose(lab.Out, 0, lab.VRRP)
		}
		s.settled(high)
		if since := s.owners.Wait(high.host, settling); since.After(end) {
			s.bounded("one owner after the loss", end, since, r.interval)
		}
		h := s.owners.Between(begin, end)
		t.Logf("in %v: %d times two owners, for %v in all; nobody for %v at most", end.Sub(begin).Round(time.Second), len(h.Doubles()), h.DoubleTime(), h.LongestGap())
		for _, d := range h.Doubles() {
			// Ten advertisements in a row are lost once in 170,000 times.
			if d.Duration() > 10*r.interval {
				t.Errorf("two owners for %v while one in three advertisements is lost:\n%s", d.Duration(), h)
			}
		}
		if len(h.Gaps()) > 0 {
			t.Errorf("nobody owns the address for %v", h.LongestGap())
		}
		for _, a := range low.adverts(r.id, begin, end) {
			if a.priority == 0 {
				t.Errorf("%s says priority 0 when it hears a better master: %v", low, a)
			}
		}
		s.content()
	})
}
