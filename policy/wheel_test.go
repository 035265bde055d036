package policy

import (
	"math/rand/v2"
	"testing"
)

// Every unit belongs to the member whose weight covers it.
func TestWheel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func(n int, most uint64) []uint64 {
		w := make([]uint64, n)
		for i := range w {
			w[i] = 1 + rnd.Uint64N(most)
		}
		return w
	}
	for name, weights := range map[string][]uint64{
		"one":             {100},
		"equal":           {300, 300, 300},
		"common divisor":  {500, 100, 100},
		"heavy first":     {100000, 1, 1, 1},
		"heavy last":      {1, 1, 1, 100000},
		"many light":      append([]uint64{100000, 100000}, random(1000, 2)...),
		"random small":    random(10, 7),
		"random large":    random(1000, 100000),
		"one below table": {3, 2},
	} {
		w := newWheel(weights)
		g := uint64(0)
		for _, x := range weights {
			g = gcd(g, x)
		}
		unit := uint64(0)
		for i, x := range weights {
			// The ends of each part and something between.
			for _, u := range []uint64{unit, unit + x/g/2, unit + x/g - 1} {
				if got := w.at(u); got != i {
					t.Errorf("%s: at(%d) = %d, want %d", name, u, got, i)
				}
			}
			unit += x / g
		}
		if w.total != unit {
			t.Errorf("%s: total = %d, want %d", name, w.total, unit)
		}
	}
}

func TestStride(t *testing.T) {
	for n := uint64(1); n < 3000; n++ {
		if s := stride(n); gcd(s, n) != 1 || s == 0 {
			t.Errorf("stride(%d) = %d, which does not visit every unit", n, s)
		}
	}
}
