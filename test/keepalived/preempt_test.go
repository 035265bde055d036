package keepalived

import (
	"slices"
	"testing"
	"time"
)

// Test 6: when a better node comes back, it takes the address when a keepalived would take it from a keepalived.
func TestPreempt(t *testing.T) {
	t.Parallel()
	preempt, never, later := plain(), plain(), plain()
	never.noPreempt, never.interval = true, 300*time.Millisecond // a master that is late by more is missed, and rightly
	later.delay, later.interval = 5*time.Second, 300*time.Millisecond
	for _, c := range []struct {
		name string
		r    router
	}{{"preempt", preempt}, {"nopreempt", never}, {"preempt_delay", later}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			model := [2]string{keepalived, keepalived}
			all := append(pairs(), model)
			results := make([]result, len(all))
			t.Run("runs", func(t *testing.T) { // which ends when the parallel ones have
				for i, pair := range all {
					t.Run(pair[0]+"-"+pair[1], func(t *testing.T) {
						t.Parallel()
						results[i] = comeback(t, pair, c.r)
						results[i].ended = true
					})
				}
			})
			if slices.ContainsFunc(results, func(r result) bool { return !r.ended }) {
				return // skipped, or failed
			}
			want := results[len(all)-1]
			for i, pair := range all {
				got := results[i]
				t.Logf("%v: %v (the machine was late by %v)", pair, got.took, got.late)
				if d := got.took - want.took; d.Abs() > 100*time.Millisecond+got.late+want.late {
					t.Errorf("%v takes the address back after %v, two keepalived after %v", pair, got.took, want.took)
				}
			}
			if c.r.noPreempt != (want.took == 0) {
				t.Errorf("keepalived takes the address back after %v", want.took)
			}
		})
	}
}

// result is how long a node needed to take the address back, 0 if it never did, and how late the machine was meanwhile.
type result struct {
	took, late time.Duration
	ended      bool
}

// comeback takes the link of lb1 away and gives it back.
func comeback(t *testing.T, pair [2]string, r router) result {
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
		return result{took: all[0].Time.Sub(begin), late: s.clock.late(begin, all[0].Time)}
	}
	s.settled(low)
	return result{}
}
