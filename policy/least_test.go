package policy

import (
	"testing"
	"time"

	"skein/config"
	"skein/pool"
)

// busy returns a pool whose member i has work(i) in progress.
func busy(t *testing.T, c config.Policy, n int, work func(i int) int) *pool.Pool {
	t.Helper()
	p := newPool(t, c, n)
	for i, m := range p.Usable() {
		for range work(i) {
			var none pool.Mask
			if got, err := p.Acquire(0, m, &none, nil); err != nil || got != m {
				t.Fatalf("Acquire = %v, %v, want %s", got, err, m.ID)
			}
		}
	}
	return p
}

// Up to scanUpTo members, it is the least loaded; beyond, one of the less loaded.
func TestLeastConn(t *testing.T) {
	c := config.Policy{Name: "least_conn"}
	p := busy(t, c, scanUpTo, func(i int) int { return (i + 3) % scanUpTo })
	for range 1000 {
		if m := picker(t, c, p.Usable()).Pick(0, pool.Mask{}); m.Active() != 0 {
			t.Fatalf("picked one with %d in progress", m.Active())
		}
	}
	p = busy(t, c, 1000, func(i int) int { return i * 7 % 100 })
	k := picker(t, c, p.Usable())
	sum, worst := int64(0), int64(0)
	for range 10_000 {
		a := k.Pick(0, pool.Mask{}).Active()
		sum += a
		worst = max(worst, a)
	}
	// The least of eight uniform numbers below 100: 10.5 on average; 80 is passed once in 400,000 times.
	if mean := float64(sum) / 10_000; mean > 13 || worst > 90 {
		t.Errorf("picked %.1f in progress on average and %d at worst, want about 10.5 and at most 90", mean, worst)
	}
}

func TestRandomTwo(t *testing.T) {
	c := config.Policy{Name: "random_two"}
	p := busy(t, c, 10, func(i int) int { return i })
	k := picker(t, c, p.Usable())
	count := map[int64]int{}
	for range 45_000 {
		count[k.Pick(0, pool.Mask{}).Active()]++
	}
	// Two different members: the busiest is never the better one, the least busy one in every fifth pair.
	if count[9] != 0 || count[0] < 8000 || count[0] > 10_000 {
		t.Errorf("picks by work in progress: %v", count)
	}
}

func TestLeastTime(t *testing.T) {
	c := config.Policy{Name: "least_time"}
	for _, n := range []int{3, 200} {
		p := newPool(t, c, n)
		ms := p.Usable()
		k := picker(t, c, ms)
		now := time.Now()
		for i, m := range ms {
			m.Observe(now, time.Duration(1+i%3)*100*time.Millisecond)
		}
		// Idle: the quick ones only.
		for range 1000 {
			if m := k.Pick(0, pool.Mask{}); m.Latency(now) > 150*time.Millisecond && n == 3 {
				t.Fatalf("%d members: picked one of %v", n, m.Latency(now))
			}
		}
		// At work: the slower ones help, in inverse proportion.
		for i := range 50 * n {
			hold(t, p, key(i))
		}
		var work [3]float64
		for i, m := range ms {
			work[i%3] += float64(m.Active())
		}
		for i := range work {
			if ratio := work[i] * float64(1+i) / work[0]; ratio < 0.85 || ratio > 1.15 {
				t.Errorf("%d members: work by latency is %v, want as 6:3:2", n, work)
				break
			}
		}
	}
}

// A new member gets its share, one piece of work at a time until it has answered.
func TestLeastTimeTriesTheNew(t *testing.T) {
	c := config.Policy{Name: "least_time"}
	for _, n := range []int{4, 100} {
		p := newPool(t, c, n)
		k := picker(t, c, p.Usable())
		fresh := p.Usable()[0]
		for _, m := range p.Usable()[1:] {
			m.Observe(time.Now(), 10*time.Millisecond)
		}
		tried := 0
		const picks = 10_000
		for range picks {
			if k.Pick(0, pool.Mask{}) == fresh {
				tried++
			}
		}
		if want := picks / n; tried < want*3/4 || tried > want*5/4 {
			t.Errorf("%d members: the new one was picked %d times of %d, want about %d", n, tried, picks, want)
		}
		var none pool.Mask
		if m, err := p.Acquire(0, fresh, &none, nil); m != fresh || err != nil {
			t.Fatal(m, err)
		}
		for range picks {
			if k.Pick(0, pool.Mask{}) == fresh {
				t.Fatalf("%d members: the new one got a second piece of work before it answered the first", n)
			}
		}
		fresh.Observe(time.Now(), time.Millisecond)
		p.Release(fresh)
		if m := k.Pick(0, pool.Mask{}); n == 4 && m != fresh {
			t.Errorf("%d members: picked %s, want the new one, which is quick", n, m.ID)
		}
	}
}
