package speaker

import (
	"slices"
	"time"
)

// newLate makes an empty histogram. Backups wait for three intervals of at least 10 ms; what matters lies between 1 ms, which
// is Go's own precision, and the 300 ms at which the usual interval would fail over.
func newLate() Late {
	bounds := []time.Duration{
		500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
		20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second,
	}
	return Late{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

// add counts one advertisement that left d too late.
func (l *Late) add(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(l.Bounds) && d > l.Bounds[i] {
		i++
	}
	l.Counts[i]++
	l.Sum += d
	l.Max = max(l.Max, d)
}

// clone is a copy that does not change any more.
func (l *Late) clone() Late {
	c := *l
	c.Counts = slices.Clone(l.Counts)
	return c
}
