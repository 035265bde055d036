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
		off     float64 // the most picks between being ahead of the share and behind it
	}{
		{[]int{1}, math.MaxInt, 0},
		{[]int{1, 1}, 1, 1},
		{[]int{1, 1, 1}, 1, 1},
		{[]int{2, 1}, 2, 1},
		{[]int{5, 1, 1}, 3, 1},
		{[]int{100, 99}, 2, 1},
		{[]int{31, 16}, 2, 1},
		{[]int{1, 2, 3, 4}, 2, 2},
		{[]int{1000, 1, 1}, 1000, 2},
		{[]int{73, 98, 9, 33}, 2, 2},
		{[]int{2, 49, 88, 28, 55, 93, 4, 68, 29, 98}, 2, 2},
		{[]int{997, 991, 1000, 983}, 2, 2},
		{[]int{8009, 8011, 997}, 3, 8}, // beyond maxOrder
	} {
		t.Run(fmt.Sprint(tt.weights), func(t *testing.T) {
			p := newPool(t, config.Policy{Name: "round_robin"}, len(tt.weights), tt.weights...)
			k := picker(t, config.Policy{Name: "round_robin"}, p.Usable())
			var ids []string
			for _, m := range p.Usable() {
				ids = append(ids, m.Server)
			}
			sum := 0
			for _, w := range tt.weights {
				sum += w
			}
			count := map[string]int{}
			var last *pool.Member
			run, longest := 0, 0
			most, least := make([]float64, len(tt.weights)), make([]float64, len(tt.weights))
			for i := 1; i <= 3*sum; i++ {
				m := k.Pick(0, pool.Mask{})
				if m != last {
					run = 0
				}
				run++
				longest, last = max(longest, run), m
				count[m.Server]++
				for j, w := range tt.weights {
					ahead := float64(count[ids[j]]) - float64(i*w)/float64(sum)
					most[j], least[j] = max(most[j], ahead), min(least[j], ahead)
				}
				if i%sum != 0 {
					continue
				}
				for j, w := range tt.weights {
					if got := count[ids[j]]; got != w*i/sum {
						t.Errorf("web%d: %d picks in %d rounds, want %d", j+1, got, i/sum, w*i/sum)
					}
				}
			}
			off := 0.0
			for j := range most {
				off = max(off, most[j]-least[j])
			}
			if longest > tt.run || off > tt.off {
				t.Errorf("%d picks in a row, want at most %d; %.2f picks between ahead and behind, want at most %v", longest, tt.run, off, tt.off)
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
