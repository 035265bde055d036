package main

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is 1/128 of their value, so every percentile is right within 0.8 %
// and recording is a few instructions without a pointer (the idea of HdrHistogram).
type histogram struct {
	counts [58 * 128]int64
	total  int64
	max    time.Duration
}

const histogramBits = 7

// add records one duration; negative ones count as zero.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// bucket keeps the highest eight bits of a value: below 256 every value has its own bucket, above that 128 buckets share
// each power of two.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-histogramBits-1)
	return shift<<histogramBits + int(v>>shift)
}

// highest returns the largest value of a bucket.
func highest(i int) time.Duration {
	shift := max(0, i>>histogramBits-1)
	top := uint64(i - shift<<histogramBits)
	return time.Duration((top+1)<<shift - 1)
}

// percentile returns a duration that p percent of those recorded do not exceed; 0 if there are none.
func (h *histogram) percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(1, int64(math.Ceil(p/100*float64(h.total))))
	var seen int64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(highest(i), h.max)
		}
	}
	return h.max
}
