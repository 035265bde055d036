package vip

import (
	"fmt"
	"testing"

	"skein/config"
)

func nodesOf(priorities ...int) []config.VIPNode {
	var nodes []config.VIPNode
	for i, p := range priorities {
		nodes = append(nodes, config.VIPNode{Name: fmt.Sprintf("lb%d", i+1), Priority: p})
	}
	return nodes
}

func TestRanksOf(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes []config.VIPNode
		want  []ranks
	}{
		{"two", nodesOf(200, 190), []ranks{{200, 4, 2}, {190, 3, 1}}},
		{"three", nodesOf(200, 190, 180), []ranks{{200, 6, 3}, {190, 5, 2}, {180, 4, 1}}},
		{"any order", nodesOf(50, 250, 100), []ranks{{50, 4, 1}, {250, 6, 3}, {100, 5, 2}}},
		{"equal ones stay equal", nodesOf(100, 100, 50), []ranks{{100, 5, 2}, {100, 5, 2}, {50, 4, 1}}},
		{"alone", nodesOf(200), []ranks{{200, 2, 1}}},
		{"the owner never changes", nodesOf(255, 190), []ranks{{255, 255, 255}, {190, 3, 1}}},
	} {
		for i, want := range test.want {
			if got := ranksOf(test.nodes, test.nodes[i].Name); got != want {
				t.Errorf("%s: ranksOf(%s) = %v, want %v", test.name, test.nodes[i].Name, got, want)
			}
		}
	}
}

// Any fit node is above any unfit one, which is above any drained one, for all numbers of nodes that the language allows and
// the lowest priorities that it allows; the order of the file stays.
func TestRanksOrder(t *testing.T) {
	for n := 1; n <= 16; n++ {
		for _, base := range [][]int{descending(n, 200), descending(n, 40+10*(n-1)), ascending(n), equals(n)} {
			nodes := nodesOf(base...)
			floor := floorOf(nodes)
			for i, a := range nodes {
				ra := ranksOf(nodes, a.Name)
				if ra.fit < floor || ra.unfit >= floor || ra.drained >= floor || ra.drained < 1 {
					t.Fatalf("%v: ranks of %s = %v, floor %d", base, a.Name, ra, floor)
				}
				for _, b := range nodes[i+1:] {
					rb := ranksOf(nodes, b.Name)
					for _, p := range [][2]uint8{{ra.fit, rb.unfit}, {rb.fit, ra.unfit}, {ra.unfit, rb.drained}, {rb.unfit, ra.drained}} {
						if p[0] <= p[1] {
							t.Fatalf("%v: %s %v, %s %v: %d must be above %d", base, a.Name, ra, b.Name, rb, p[0], p[1])
						}
					}
					want := sign(a.Priority - b.Priority)
					if sign(int(ra.unfit)-int(rb.unfit)) != want || sign(int(ra.drained)-int(rb.drained)) != want {
						t.Fatalf("%v: %s %v and %s %v are not in the order of the file", base, a.Name, ra, b.Name, rb)
					}
				}
			}
		}
	}
}

func sign(n int) int { return min(max(n, -1), 1) }

func descending(n, from int) []int {
	var all []int
	for i := range n {
		all = append(all, from-10*i)
	}
	return all
}

func ascending(n int) []int {
	var all []int
	for i := range n {
		all = append(all, 40+i)
	}
	return all
}

func equals(n int) []int {
	var all []int
	for range n {
		all = append(all, 40)
	}
	return all
}
