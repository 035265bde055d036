package policy

import (
	"fmt"
	"math"
	"testing"

	"skein/config"
	"skein/pool"
)

// A heavy member gets its picks between those of the others, not one after the other, and after each round everybody was
// picked exactly as often as its weight says.
func TestRoundRobinIsSmooth(t *testing.T) {
	for _, tt := range []struct {
		weights []int
		run     int     // the most picks of one member in a row
		off     float64 // the most picks that a member may be ahead of or behind its share, at any time
	}{
		{[]int{1}, math.MaxInt, 0},
		{[]int{1, 1}, 1, 1},
		{[]int{1, 1, 1}, 1, 1},
		{[]int{2, 1}, 2, 1},
		{[]int{5, 1, 1}, 4, 1.2},
		{[]int{100, 99}, 2, 1.5},
		{[]int{1, 2, 3, 4}, 2, 1.5},
		{[]int{1000, 1, 1}, 1000, 2},
		{[]int{17, 5, 60, 3, 3, 12}, 3, 2},
	} {
		t.Run(fmt.Sprint(tt.weights), func(t *testing.T) {
			p := newPool(t, config.Policy{Name: "round_robin"}, len(tt.weights), tt.weights...)
			k := picker(t, config.Policy{Name: "round_robin"}, p.Usable())
			sum := 0
			for _, w := range tt.weights {
				sum += w
			}
			count := map[string]int{}
			var last *pool.Member
			run, longest, off := 0, 0, 0.0
			for i := 1; i <= 3*sum; i++ {
				m := k.Pick(0, pool.Mask{})
				if m != last {
					run = 0
				}
				run++
				longest, last = max(longest, run), m
				count[m.Server]++
				for j, w := range tt.weights {
					off = max(off, math.Abs(float64(count[fmt.Sprintf("web%d", j+1)])-float64(i*w)/float64(sum)))
				}
				if i%sum != 0 {
					continue
				}
				for j, w := range tt.weights {
					if got := count[fmt.Sprintf("web%d", j+1)]; got != w*i/sum {
						t.Errorf("web%d: %d picks in %d rounds, want %d", j+1, got, i/sum, w*i/sum)
					}
				}
			}
			if longest > tt.run || off > tt.off {
				t.Errorf("%d picks in a row, want at most %d; %.2f picks off the share, want at most %.1f", longest, tt.run, off, tt.off)
			}
		})
	}
}

// Pickers are rebuilt whenever health changes. Rebuilding for each pick must not favour the first member.
func TestRoundRobinStartsAnywhere(t *testing.T) {
	p := newPool(t, config.Policy{Name: "round_robin"}, 4)
	pol := newRoundRobin(config.Policy{})
	count := map[string]int{}
	for range 4000 {
		count[pol.Build(p.Usable()).Pick(0, pool.Mask{}).Server]++
	}
	for server, n := range count {
		if n < 800 || n > 1200 {
			t.Errorf("%s: %d of 4000 first picks", server, n)
		}
	}
}
