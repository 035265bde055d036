package keepalived

import (
	"testing"
	"time"

	"skein/test/harness"
)

// Test 7: a backup of version 3 learns the master's interval (RFC 9568 section 6.1, Active_Adver_Interval), whatever its own is.
func TestIntervalIsLearned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		high, low time.Duration
	}{
		{"slow master", time.Second, 100 * time.Millisecond},
		{"fast master", 100 * time.Millisecond, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, pair [2]string) {
				mine, other := plain(), plain()
				mine.interval, other.interval = c.high, c.low
				s := newSite(t, pair, mine.address(), 1)
				high, low := s.nodes[0], s.nodes[1]
				// Before it has heard the master it goes by its own interval, as it must, so that it is there first.
				low.start(other)
				s.settled(low)
				high.start(mine)
				s.settled(high)
				begin := time.Now()
				time.Sleep(4 * c.high) // it would take the master for dead if it went by its own interval
				if all := low.adverts(mine.id, begin, time.Time{}); len(all) > 0 {
					t.Errorf("%s speaks beside a master: %v", low, all[0])
				}
				died := high.kill()
				first := low.speaks(mine, died)
				last := high.last(mine, first.Time)
				s.bounded(low.String()+" takes over", last.Time, first.Time, mine.masterDownOf(low.number, c.high))
				if took := first.Time.Sub(last.Time); took < 3*c.high {
					t.Errorf("%s takes over after %v, before three intervals of the master were over", low, took)
				}
				// As a master it has its own interval.
				s.settled(low)
				time.Sleep(3 * c.low)
				all := low.adverts(mine.id, first.Time, time.Time{})
				if len(all) < 3 {
					t.Fatalf("%s has said %d advertisements since %v", low, len(all), first.Time)
				}
				if d := all[2].Time.Sub(all[1].Time); d < c.low*9/10 || d > c.low+c.low/10+slack+s.clock.late(all[1].Time, all[2].Time) {
					t.Errorf("%s advertises every %v as a master, want %v", low, d, c.low)
				}
				s.content()
			})
		})
	}
}

// Test 7: in version 2 both refuse a neighbour with another interval (RFC 3768 section 7.1), say so, and are masters both. That
// is what keepalived does, and an operator has to mend it.
func TestIntervalDiffers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		one, two := plain(), plain()
		one.version, one.interval = 2, time.Second
		two.version, two.interval = 2, 2*time.Second
		s := newSite(t, pair, one.address(), 1)
		s.nodes[0].start(one)
		s.nodes[1].start(two)
		s.both()
		s.refuses("interval", "advertisement interval mismatch")
	})
}

// refuses waits until skein counts refusals of the reason, and keepalived logs the text.
func (s *site) refuses(reason, text string) {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.program == keepalived {
			n.daemon.Says(text, settling)
			continue
		}
		harness.Eventually(s.t, settling, "skein counts refusals because of "+reason, func() bool { return n.refused()[reason] > 0 })
	}
}
