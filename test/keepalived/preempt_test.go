package keepalived

import (
	"testing"
	"time"
)

// Test 6: when a better node comes back, it takes the address when a keepalived would take it from a keepalived.
func TestPreempt(t *testing.T) {
	t.Parallel()
	preempt, never, later := plain(), plain(), plain()
	never.noPreempt = true
	later.delay = 5 * time.Second
	for _, c := range []struct {
		name string
		r    router
	}{{"preempt", preempt}, {"nopreempt", never}, {"preempt_delay", later}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			model := [2]string{keepalived, keepalived}
			// One after the other: a busy machine would be the same for all, but not at the same moment.
			times := map[[2]string]time.Duration{}
			t.Run("runs", func(t *testing.T) {
				all := append(pairs(), model)
				results := make([]time.Duration, len(all))
				t.Cleanup(func() {
					for i, pair := range all {
						times[pair] = results[i]
					}
				})
				for i, pair := range all {
					t.Run(pair[0]+"-"+pair[1], func(t *testing.T) {
						t.Parallel()
						results[i] = comeback(t, pair, c.r)
					})
				}
			})
			for pair, took := range times {
				t.Logf("%v: %v", pair, took)
				if d := took - times[model]; d.Abs() > 100*time.Millisecond {
					t.Errorf("%v takes the address back after %v, two keepalived after %v", pair, took, times[model])
				}
			}
			if c.r.noPreempt != (times[model] == 0) {
				t.Errorf("keepalived takes the address back after %v", times[model])
			}
		})
	}
}

// comeback takes the link of lb1 away and gives it back, and returns how long lb1 then needs until it is the owner; 0 is never.
func comeback(t *testing.T, pair [2]string, r router) time.Duration {
	s := newSite(t, pair, r.address(), 1)
	high, low := s.nodes[0], s.nodes[1]
	high.start(r)
	s.settled(high)
	low.start(r)
	high.host.Port(0).Down()
	s.settled(low)
	begin := time.Now()
	high.host.Port(0).Up()
	// Three times what the preemption needs.
	end := begin.Add(3*r.masterDown(0) + 2*r.delay)
	time.Sleep(time.Until(end))
	defer s.content()
	defer s.single(begin, time.Now())
	if all := high.adverts(r.id, begin, end); len(all) > 0 {
		s.settled(high)
		return all[0].Time.Sub(begin)
	}
	s.settled(low)
	return 0
}
