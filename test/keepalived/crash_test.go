package keepalived

import (
	"testing"
	"time"

	"skein/test/harness"
)

// Test 4, the link: a master without a carrier is missed after three intervals, lets go of the address itself, and comes back.
func TestLinkDown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		begin := time.Now()
		high.host.Port(0).Down()
		down := time.Now()
		first := low.speaks(r, begin)
		s.bounded(low.String()+" takes over", high.last(r, down).Time, first.Time, r.masterDown(low.number))
		s.settled(low)
		high.host.Port(0).Up()
		s.settled(high)
		s.single(begin, time.Now())
		s.content()
	})
}

// Test 4, the pause: a master that slept for ten seconds still has the address in its kernel when it wakes up, and believes that it is
// the master. Within one advertisement there is one of them again, and the network knows which.
func TestFreeze(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		s.visit(r)
		at := time.Now()
		high.freeze()
		first := low.speaks(r, at)
		s.bounded(low.String()+" takes over", high.last(r, first.Time).Time, first.Time, r.masterDown(low.number))
		s.settled(low)
		s.pointsTo(r, low)
		time.Sleep(time.Until(at.Add(10 * time.Second)))

		thawed := time.Now()
		high.thaw()
		s.settled(high)
		s.pointsTo(r, high)
		awake := s.owners.Between(thawed, time.Now())
		// One that is a master goes on, and is heard; one that listens first lets go.
		soon := thawed.Add(r.interval + slack)
		soon = soon.Add(s.clock.late(thawed, soon))
		if owners := s.owners.Owners(soon); len(owners) != 1 {
			t.Errorf("%v after the pause the owners are %v, want one", soon.Sub(thawed), owners)
		}
		t.Logf("after the pause:\n%s", awake)
		for _, n := range s.nodes {
			if n.program == skein && n == high {
				n.listensFirst(r, thawed)
			}
		}
		s.content()
	})
}

// listensFirst fails the test if a skein that slept has said anything as a master before it could hear the other one.
func (n *node) listensFirst(r router, thawed time.Time) {
	n.site.t.Helper()
	// It needs three intervals of listening before it may speak; what it could say by mistake it would say at once.
	for _, a := range n.adverts(r.id, thawed, thawed.Add(2*r.interval)) {
		n.site.t.Errorf("%s has slept and speaks %v after it woke up: %v", n, a.Time.Sub(thawed), a)
	}
}

// Test 4, the program: when skein's first process is killed, the one that speaks for it says so at once.
func TestKillParent(t *testing.T) {
	t.Parallel()
	r := plain()
	s := newSite(t, [2]string{skein, keepalived}, r.address(), 1)
	high, low := s.start(r)
	begin := time.Now()
	high.skein.Kill()
	zero := high.givesUp(r, begin)
	s.bounded("the priority 0", begin, zero.Time, r.interval)
	s.bounded(low.String()+" takes over", zero.Time, low.speaks(r, zero.Time).Time, r.skew(low.number, r.interval)+20*time.Millisecond)
	s.settled(low)
	harness.Eventually(t, settling, "the address is gone", func() bool { return !high.host.Has(r.address()) })
	s.single(begin, time.Now())
	high.start(r)
	s.settled(high)
	s.content()
}
