package pool

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/config"
)

func retries(p *Pool, at time.Time) int {
	n := 0
	for n < 1000 && p.Retry(at) {
		n++
	}
	return n
}

func budgeted(t *testing.T, share float64, floor int) *Pool {
	c := conf(1)
	c.Retry = config.Retry{Budget: share, Floor: floor}
	p, _ := newPool(t, c)
	return p
}

func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share float64
		floor int
		work  int
		want  int
	}{
		{"share", 0.2, 0, 100, 20},
		{"share is rounded down", 0.2, 0, 14, 2},
		{"floor", 0.2, 3, 10, 3},
		{"floor without work", 0.2, 3, 0, 3},
		{"nothing", 0, 0, 100, 0},
	} {
		p := budgeted(t, tt.share, tt.floor)
		for range tt.work {
			p.Count(noon)
		}
		if got := retries(p, noon); got != tt.want {
			t.Errorf("%s: %d retries, want %d", tt.name, got, tt.want)
		}
	}
}

// Work and retries count for ten seconds, the present one included.
func TestBudgetWindow(t *testing.T) {
	p := budgeted(t, 0.5, 0)
	for i := range 30 {
		p.Count(noon.Add(time.Duration(i) * time.Second))
	}
	last := noon.Add(29 * time.Second)
	if got := retries(p, last); got != 5 {
		t.Errorf("%d retries for one piece of work a second, want 5", got)
	}
	if got := retries(p, last.Add(5*time.Second)); got != 0 {
		t.Errorf("%d retries 5 s later: the old ones still count", got)
	}
	for range 20 {
		p.Count(last.Add(9 * time.Second))
	}
	if got := retries(p, last.Add(9*time.Second)); got != 5 { // (1+20)/2 - 5
		t.Errorf("%d retries 9 s later, want 5", got)
	}
	// Now the first five are too old, and so is the last piece of work of the time before.
	if got := retries(p, last.Add(10*time.Second)); got != 5 {
		t.Errorf("%d retries 10 s later, want 5", got)
	}
	if got := retries(p, last.Add(time.Hour)); got != 0 {
		t.Errorf("%d retries after an hour without work", got)
	}
	p.Count(noon) // a clock that was put back
	p.Count(noon)
	if got := retries(p, noon); got != 1 {
		t.Errorf("%d retries after the clock was put back, want 1", got)
	}
}

// However many ask at once, the budget holds.
func TestBudgetAtOnce(t *testing.T) {
	p := budgeted(t, 0.2, 0)
	for range 1000 {
		p.Count(noon)
	}
	var given atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { given.Add(int64(retries(p, noon))) })
	}
	wg.Wait()
	if got := given.Load(); got > 200 {
		t.Errorf("%d retries, want at most 200", got)
	}
}
