package keepalived

import (
	"testing"
	"time"

	"skein/test/lab"
)

// Test 13: two routers on two links move together when one link fails, once, and come back together, once.
func TestGroup(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		front, back := plain(), plain()
		front.group, back.group = "both", "both"
		back.name, back.port, back.id, back.addresses = "back", 1, 52, []string{"10.0.1.100/24"}
		s := newSite(t, pair, front.address(), 2)
		behind := lab.Watch(back.address(), s.nodes[0].host, s.nodes[1].host)
		high, low := s.nodes[0], s.nodes[1]
		low.start(front, back)
		s.settled(low)
		behind.Wait(low.host, settling)
		high.start(front, back)
		s.settled(high)
		behind.Wait(high.host, settling)
		begin := time.Now()

		high.host.Port(1).Down() // the other link is well
		zero := high.givesUp(front, begin)
		s.bounded("the front gives up", begin, zero.Time, 20*time.Millisecond)
		s.settled(low)
		behind.Wait(low.host, settling)
		// The back is missed after three intervals; until then the front waits for it.
		s.bounded("both move", begin, behind.Wait(low.host, settling), 2*front.masterDown(low.number))

		high.host.Port(1).Up()
		s.settled(high)
		behind.Wait(high.host, settling)
		time.Sleep(10 * front.interval)

		for name, h := range map[string]lab.History{"front": s.owners.Between(begin, time.Now()), "back": behind.Between(begin, time.Now())} {
			var owners []string
			for _, span := range h {
				if len(span.Owners) == 1 && (len(owners) == 0 || owners[len(owners)-1] != span.Owners[0]) {
					owners = append(owners, span.Owners[0])
				}
			}
			if len(owners) != 3 {
				t.Errorf("the owners of the %s are %v, want lb1 lb2 lb1:\n%s", name, owners, h)
			}
			for _, d := range h.Doubles() {
				if d.Duration() > slack+s.clock.late(d.From, d.To) {
					t.Errorf("two owners of the %s for %v:\n%s", name, d.Duration(), h)
				}
			}
		}
		s.content("Transition to FAULT", "interface") // as it must
	})
}
