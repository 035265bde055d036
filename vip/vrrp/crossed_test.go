package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestCrossedGroups plays every way in which the machines of a group can disagree about who is first: 2 - 4 nodes, each machine
// with its own order of them, all timers exact and packets in no time, so that only the rules of Group can break a tie. All
// begin at once; and then all are masters at once, as after a partition.
func TestCrossedGroups(t *testing.T) {
	for nodes := 2; nodes <= 4; nodes++ {
		all := permutations(nodes)
		for _, second := range all {
			for _, third := range all {
				for _, equal := range []bool{false, true} {
					w := crossedWorld([][]int{all[0], second, third}, equal)
					name := fmt.Sprintf("%d nodes, orders %v %v %v, equal %v", nodes, all[0], second, third, equal)
					for _, n := range w.nodes {
						n.start()
					}
					w.settle(t, name+", from the start")
					for _, n := range w.nodes {
						for l := range n.cut {
							for from := range n.cut[l] {
								n.cut[l][from] = true
							}
						}
					}
					w.run(w.now + 2*sec)
					for _, n := range w.nodes {
						if n.group.state != Master {
							t.Fatalf("%s: node %d alone is %s", name, n.id, n.group.state)
						}
						for l := range n.cut {
							clear(n.cut[l])
						}
					}
					w.settle(t, name+", from a partition")
				}
			}
		}
	}
}

// settle gives the nodes two elections, and wants quiet after them.
func (w *world) settle(t *testing.T, name string) {
	t.Helper()
	w.run(w.now + sec)
	since := w.now
	w.run(w.now + sec)
	w.judge(since)
	if w.failure != "" {
		t.Fatalf("%s: %s", name, w.failure)
	}
}

// crossedWorld has a link for each order of the nodes. equal lets the first link have equal priorities, so that its
// addresses decide.
func crossedWorld(orders [][]int, equal bool) *world {
	w := &world{rng: rand.New(rand.NewPCG(1, 1)), now: epoch, delay: 1}
	for id := range orders[0] {
		n := &node{w: w, id: id, held: make([][]netip.Addr, len(orders)), fault: make([]bool, len(orders)), last: make([]Time, len(orders))}
		for l, order := range orders {
			s := v3()[0]
			s.RouterID += uint8(l)
			s.Priority = uint8(100 + 10*order[id])
			if equal && l == 0 {
				s.Priority = 100
			}
			s.Addresses, s.Source = virtual(false, l, 1), real(false, l, id)
			n.settings = append(n.settings, s)
			n.cut = append(n.cut, make([]bool, len(orders[0])))
		}
		w.nodes = append(w.nodes, n)
	}
	return w
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			q := append(append(append([]int(nil), p[:i]...), n-1), p[i:]...)
			all = append(all, q)
		}
	}
	return all
}
