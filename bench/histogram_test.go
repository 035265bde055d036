package main

import (
	"math"
	"testing"
	"time"
)

func TestBucketsHoldTheirValues(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 257, 511, 512, 999_999, 1e9, math.MaxInt64} {
		i := bucket(v)
		if i >= len(histogram{}.counts) {
			t.Fatalf("bucket(%d) = %d, beyond the last", v, i)
		}
		top := uint64(highest(i))
		if top < v || float64(top-v) > float64(v)/128 {
			t.Errorf("highest(bucket(%d)) = %d, want at most 1/128 above", v, top)
		}
		if i > 0 && uint64(highest(i-1)) >= v {
			t.Errorf("bucket(%d) = %d, but bucket %d reaches up to %d", v, i, i-1, highest(i-1))
		}
	}
}

func TestPercentile(t *testing.T) {
	var h histogram
	if got := h.percentile(99); got != 0 {
		t.Errorf("percentile of nothing = %v, want 0", got)
	}
	for i := 1000; i >= 1; i-- {
		h.add(time.Duration(i) * time.Microsecond)
	}
	tests := []struct {
		p    float64
		want time.Duration
	}{
		{0, time.Microsecond},
		{50, 500 * time.Microsecond},
		{99, 990 * time.Microsecond},
		{99.9, 999 * time.Microsecond},
		{100, time.Millisecond},
	}
	for _, tt := range tests {
		if got := h.percentile(tt.p); got < tt.want || got > tt.want+tt.want/128 {
			t.Errorf("percentile(%v) = %v, want %v and at most 1/128 more", tt.p, got, tt.want)
		}
	}
	if h.max != time.Millisecond || h.total != 1000 {
		t.Errorf("max, total = %v, %d, want 1ms, 1000", h.max, h.total)
	}
}

func TestSchedule(t *testing.T) {
	s := schedule{begin: 5, interval: float64(time.Second) / 30000}
	if got := s.due(0); got != 5 {
		t.Errorf("due(0) = %d, want 5", got)
	}
	// Errors must not add up: after a minute the rate is still exact.
	if got, want := s.due(30000*60), int64(time.Minute)+5; got < want-1 || got > want+1 {
		t.Errorf("due after a minute = %d, want %d", got, want)
	}
}
