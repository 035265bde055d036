package pool

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper ends of the histogram's buckets; one more bucket takes what is longer. They go from a cached answer to
// the time-out of a slow page.
var Bounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Histogram counts durations in fixed buckets without a lock.
type Histogram struct {
	buckets [len(Bounds) + 1]atomic.Uint64
	sum     atomic.Uint64 // nanoseconds
}

// Observe counts d.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(max(0, d)))
}

// Read returns the number of all observations, their sum, and for each of Bounds how many were at most that long.
func (h *Histogram) Read() (count uint64, sum time.Duration, cumulative [len(Bounds)]uint64) {
	for i := range h.buckets {
		count += h.buckets[i].Load()
		if i < len(Bounds) {
			cumulative[i] = count
		}
	}
	return count, time.Duration(h.sum.Load()), cumulative
}
