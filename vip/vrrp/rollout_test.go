package vrrp

import (
	"testing"
	"time"
)

// reloadOne gives one node another list.
func (n *node) reloadOne(count int) {
	n.settings[0].Addresses = virtual(false, 0, count)
	n.configure(0)
}

// TestRollout reloads the nodes one after the other, a minute or minutes apart: nobody may become master beside another one.
func TestRollout(t *testing.T) {
	tests := []struct {
		name   string
		order  []int // of the nodes; node 1 is master
		counts []int // of addresses, for each round; there is one at first
		pause  time.Duration
		quiet  bool
	}{
		{"backup first", []int{0, 1}, []int{2}, 8 * time.Minute, true},
		{"master first", []int{1, 0}, []int{2}, 50 * time.Second, true},
		{"fewer", []int{1, 0}, []int{2, 1}, 50 * time.Second, true},
		{"there and back on one", []int{1, 1}, []int{2, 1}, 5 * time.Second, true},
		{"twice, then the other one", []int{1, 1, 0}, []int{2, 3, 4}, 20 * time.Second, true},
		{"master first, and the other one much later", []int{1, 0}, []int{2}, 5 * time.Minute, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := crossedWorld([][]int{{0, 1}}, false)
			for _, n := range w.nodes {
				n.start()
			}
			w.run(w.now + sec)
			for _, count := range test.counts {
				for _, id := range test.order {
					w.nodes[id].reloadOne(count)
					w.run(w.now + test.pause)
				}
			}
			for _, n := range w.nodes { // all have the last list now
				n.reloadOne(test.counts[len(test.counts)-1])
			}
			w.run(w.now + 20*time.Minute)
			w.judge(w.now - 10*time.Minute)
			if w.failure != "" {
				t.Fatal(w.failure)
			}
			for _, n := range w.nodes {
				c := n.group.machines[0].Counters()
				beside := c.MastersBeside > 0 || c.BecameMaster > uint64(n.id)
				if beside && test.quiet || c.MastersBeside > 2 {
					t.Errorf("node %d: another master beside it, %+v", n.id, c)
				}
			}
		})
	}
}

// What is said and taken, to the moment.
func TestRolloutTimes(t *testing.T) {
	var r rollout
	one, two, other := virtual(false, 0, 1), virtual(false, 0, 2), virtual(false, 1, 2)
	said := func(at time.Duration, want int) {
		t.Helper()
		if got := len(r.said(epoch+at, two)); got != want {
			t.Errorf("at %v it says %d addresses, want %d", at, got, want)
		}
	}
	r.begin(epoch, two, ips(two[1].String(), two[0].String()))
	if r.say.set || r.take.set {
		t.Error("another order is no other list")
	}
	r.begin(epoch, one, two)
	said(0, 1)
	said(sayFormer-1, 1)
	said(sayFormer, 2)
	if !r.hears(epoch+sayFormer, two, one) {
		t.Error("the former list is not taken")
	}
	said(sayFormer, 1) // somebody knows no other
	if !r.hears(epoch+sayFormer, two, two) {
		t.Error("the list is not taken")
	}
	said(sayFormer, 2)
	r.hears(epoch+sayFormer, two, one)
	if r.hears(epoch+sayFormer, two, other) {
		t.Error("a third list is taken")
	}
	said(sayFormer, 2)
	if !r.hears(epoch+takeFormer-1, two, one) || r.hears(epoch+takeFormer, two, one) {
		t.Errorf("the former list is not taken until %v", takeFormer)
	}
}
