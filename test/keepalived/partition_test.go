package keepalived

import (
	"testing"
	"time"
)

// Test 11: two nodes that cannot hear each other are both masters; VRRP cannot know better. The moment they can, there is one, and the
// network knows which.
func TestPartition(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		s.visit(r)
		parted := time.Now()
		s.lan.Split(high.host.Port(0))
		s.both()
		s.pointsTo(r, low) // the visitor is on its side
		time.Sleep(time.Until(parted.Add(10 * time.Second)))
		healed := time.Now()
		s.lan.Heal()
		since := s.owners.Wait(high.host, settling)
		s.bounded("one owner after the partition", healed, since, r.interval)
		s.pointsTo(r, high)
		s.settled(high)
		t.Logf("two owners for %v, of which after the partition %v", s.owners.DoubleTime(), s.owners.Between(healed, time.Now()).DoubleTime())
		s.content()
	})
}
