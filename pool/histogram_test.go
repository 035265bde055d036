package pool

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-1, 0, time.Millisecond, time.Millisecond + 1, 30 * time.Second, time.Minute} {
		h.Observe(d)
	}
	count, sum, cumulative := h.Read()
	if want := 90*time.Second + 2*time.Millisecond + 1; count != 6 || sum != want {
		t.Errorf("%d observations, %v; want 6, %v", count, sum, want)
	}
	if cumulative[0] != 3 || cumulative[1] != 4 || cumulative[len(Bounds)-2] != 4 || cumulative[len(Bounds)-1] != 5 {
		t.Errorf("cumulative = %v", cumulative)
	}
}
