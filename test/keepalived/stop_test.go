package keepalived

import (
	"testing"
	"time"
)

// Test 3: a master that is stopped gives up, and is understood: the other one takes over after its skew and not after three
// intervals.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, r := range variants() {
		t.Run(r.variant(), func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, pair [2]string) { stop(t, pair, r) })
		})
	}
}

func stop(t *testing.T, pair [2]string, r router) {
	s := newSite(t, pair, r.address(), 1)
	high, low := s.start(r)
	begin := time.Now()
	at, ended := high.term()
	zero := high.givesUp(r, at)
	first := low.speaks(r, zero.Time)
	s.bounded(low.String()+" takes over", zero.Time, first.Time, r.skew(low.number, r.interval)+20*time.Millisecond)
	s.settled(low)
	ended()
	for _, a := range high.adverts(r.id, zero.Time, time.Time{}) {
		if a.priority > 0 {
			t.Errorf("%s goes on after it has given up: %v", high, a)
		}
	}
	if high.host.Has(r.address()) {
		t.Errorf("%s has ended and left %s behind", high, r.address())
	}
	s.single(begin, time.Now())
	s.content()
}
