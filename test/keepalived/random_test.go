package keepalived

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// Test 16: whatever happens to two nodes, when it is over there is one master, it has the address alone, and it stays that way. The
// same schedules for the state machine alone, a hundred thousand of them, are in vip/vrrp.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	for seed := range uint64(harness.Count(4, 20, 200)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newSchedule(t, seed).run()
		})
	}
}

// schedule is one random run. A seed gives the same events and pauses, though not the same microseconds.
type schedule struct {
	*site
	r      router
	random *rand.Rand
	states [2]state
	parted bool
	log    []string
}

// state is what has been done to a node.
type state struct {
	running, frozen, down, lossy bool
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	random := rand.New(rand.NewPCG(seed, 0))
	r := plain()
	r.unicast, r.noPreempt = random.IntN(2) == 0, random.IntN(3) == 0
	switch random.IntN(3) {
	case 0:
		r.priorities = [2]int{100, 100}
	case 1:
		r.priorities = [2]int{100, 150}
	}
	s := &schedule{site: newSite(t, pairs()[seed%2], r.address(), 1), r: r, random: random}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the schedule of unicast %v, nopreempt %v, priorities %v:\n%s", r.unicast, r.noPreempt, r.priorities, strings.Join(s.log, "\n"))
		}
	})
	return s
}

func (s *schedule) run() {
	s.t.Helper()
	for i, n := range s.nodes {
		n.start(s.r)
		s.states[i].running = true
	}
	for range 10 {
		s.event()
		time.Sleep(time.Duration(s.random.IntN(1000)) * time.Millisecond)
	}
	s.mend()
	mended := time.Now()
	if !harness.Soon(settling, func() bool { return s.stable(mended) }) {
		s.t.Fatalf("there is not one master %v after the last event:\n%s", time.Since(mended), s.owners)
	}
	// A MasterDown or two, the ten intervals of stable, and a second in which the kernels look for each other anew.
	s.bounded("one master", mended, time.Now(), 3*time.Second)
	owner := s.owners.Owners(time.Now())[0]
	if !s.r.noPreempt && s.r.priorities[0] != s.r.priorities[1] {
		if high, _ := s.r.first(); s.nodes[high].host.Name != owner {
			s.t.Errorf("%s is the owner, and not the better one", owner)
		}
	}
	for _, n := range s.nodes {
		if has := n.host.Has(s.r.address()); has != (n.host.Name == owner) {
			s.t.Errorf("%s has the address: %v; the owner is %s", n, has, owner)
		}
	}
	s.content("Transition to FAULT", "nterface", "Network is unreachable", "Network is down")
}

// stable reports whether one node has been the owner, and said so, and nobody else has, for ten intervals of a time.
func (s *schedule) stable(since time.Time) bool {
	now := time.Now()
	from := now.Add(-10 * s.r.interval)
	if from.Before(since) {
		return false
	}
	h := s.owners.Between(from, now)
	if len(h) != 1 || len(h[0].Owners) != 1 || h[0].Duration() < 10*s.r.interval-time.Millisecond {
		return false
	}
	for _, n := range s.nodes {
		if spoke := len(n.adverts(s.r.id, from, now)) > 0; spoke != slices.Contains(h[0].Owners, n.host.Name) {
			return false
		}
	}
	return true
}

func (s *schedule) note(format string, args ...any) {
	s.log = append(s.log, time.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...))
}

// event does something to a node, or to the network.
func (s *schedule) event() {
	i := s.random.IntN(2)
	n, st := s.nodes[i], &s.states[i]
	port := n.host.Port(0)
	switch s.random.IntN(5) {
	case 0:
		switch {
		case !st.running:
			s.note("start %s", n)
			n.start(s.r)
			st.running = true
		case st.frozen: // it must wake up before it can be told anything
			s.thaw(i)
		case s.random.IntN(2) == 0:
			s.note("kill %s", n)
			n.kill()
			st.running = false
		default:
			s.note("stop %s", n)
			_, ended := n.term()
			ended()
			st.running = false
		}
	case 1:
		if st.frozen {
			s.thaw(i)
		} else if st.running {
			s.note("freeze %s", n)
			n.freeze()
			st.frozen = true
		}
	case 2:
		if st.down = !st.down; st.down {
			s.note("link of %s down", n)
			port.Down()
		} else {
			s.note("link of %s up", n)
			port.Up()
		}
	case 3:
		if s.parted = !s.parted; s.parted {
			s.note("the nodes are parted")
			s.lan.Split(s.nodes[0].host.Port(0))
		} else {
			s.note("the network is whole")
			s.lan.Heal()
		}
	case 4:
		share := []float64{0.3, 0.7, 1}[s.random.IntN(3)]
		if st.lossy = !st.lossy; !st.lossy {
			share = 0
		}
		s.note("%s loses %v of what it says", n, share)
		port.Lose(lab.Out, share, lab.VRRP)
	}
}

func (s *schedule) thaw(i int) {
	s.note("thaw %s", s.nodes[i])
	s.nodes[i].thaw()
	s.states[i].frozen = false
}

// mend ends every fault and starts what does not run.
func (s *schedule) mend() {
	if s.parted {
		s.note("the network is whole")
		s.lan.Heal()
	}
	for i, n := range s.nodes {
		st := &s.states[i]
		if st.frozen {
			s.thaw(i)
		}
		if st.down {
			s.note("link of %s up", n)
			n.host.Port(0).Up()
		}
		if st.lossy {
			s.note("%s loses nothing", n)
			n.host.Port(0).Lose(lab.Out, 0, lab.VRRP)
		}
	}
	for i, n := range s.nodes {
		if !s.states[i].running {
			s.note("start %s", n)
			n.start(s.r)
		}
	}
	s.note("all is well")
}
