package policy

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/config"
	"skein/pool"
)

var sizes = []int{1, 2, 3, 10, 64, 65, 128, 129, 1000, 10000}

// Every policy picks a member as long as one is left that was not tried, never one that was, and nil when all were.
func TestPicksWhatIsLeft(t *testing.T) {
	all(t, func(t *testing.T, _ Info, c config.Policy) {
		for _, n := range sizes {
			for _, weights := range [][]int{{1}, {1, 1000}, {7, 3, 100, 1}} {
				if n == 10000 && len(weights) != 4 || n > 200 && raceEnabled {
					continue // building the tables takes its time
				}
				p := newPool(t, c, n, weights...)
				k := picker(t, c, p.Usable())
				for i := range 200 {
					var tried pool.Mask
					for range min(n, pool.MaxTries) {
						m := k.Pick(key(i), tried)
						if m == nil {
							t.Fatalf("%d members, weights %v: nil with %d tried", n, weights, tried.Len())
						}
						if tried.Has(m) {
							t.Fatalf("%d members, weights %v: picked %s, which was tried", n, weights, m.ID)
						}
						tried.Add(m)
					}
					if n <= pool.MaxTries {
						if m := k.Pick(key(i), tried); m != nil {
							t.Fatalf("%d members, all tried: picked %s", n, m.ID)
						}
					}
				}
			}
		}
	})
}

// Members get work by weight. The work is held, so that policies that look at the load have one to look at; for those that
// do not, chance needs more of it to be within the bound.
func TestWeights(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine")
	}
	all(t, func(t *testing.T, i Info, c config.Policy) {
		if !i.Weighted {
			t.Skip("not by weight")
		}
		for _, tt := range []struct {
			n       int
			weights []int
		}{
			{3, []int{1}},
			{3, []int{5, 1, 1}},
			{10, []int{1, 2, 3}},
			{100, []int{1, 10}},
			{1000, []int{1, 2, 5}},
		} {
			t.Run(fmt.Sprintf("%d/%v", tt.n, tt.weights), func(t *testing.T) {
				if c.Bounded != 0 && tt.n > 10 {
					t.Skip("the bound cuts off what chance gives to light members beyond it")
				}
				p := newPool(t, c, tt.n, tt.weights...)
				count := map[*pool.Member]int{}
				work := 100_000
				if i.Name == "random" || i.Keyed {
					work = 800_000
				}
				if i.Name == "random" || i.Keyed && c.Bounded == 0 {
					k := picker(t, c, p.Usable())
					for j := range work {
						count[k.Pick(key(j), pool.Mask{})]++
					}
				} else {
					for j := range work {
						count[hold(t, p, key(j))]++
					}
				}
				got, want, sum := map[int]float64{}, map[int]float64{}, 0.0
				// With many members, those of equal weight are taken together: the share of each is a matter of chance
				// for random and of the table's size for hash.
				group := func(j int) int {
					if tt.n <= 10 {
						return j
					}
					return tt.weights[j%len(tt.weights)]
				}
				for j, m := range p.Usable() {
					w := float64(tt.weights[j%len(tt.weights)])
					got[group(j)] += float64(count[m]) / float64(work)
					want[group(j)] += w
					sum += w
				}
				for g := range want {
					want[g] /= sum
					if math.Abs(got[g]-want[g]) > 0.02*want[g] {
						t.Errorf("group %d: %.5f of the work, want %.5f within 2 %%", g, got[g], want[g])
					}
				}
			})
		}
	})
}

// An idle pool gives work by weight too: requests that come one at a time must not all go to one member.
func TestWeightsIdle(t *testing.T) {
	all(t, func(t *testing.T, i Info, c config.Policy) {
		if !i.Weighted {
			t.Skip("not by weight")
		}
		const work = 500_000
		k := picker(t, c, newPool(t, c, 3, 5, 1, 1).Usable())
		got := map[string]float64{}
		for j := range work {
			got[k.Pick(key(j), pool.Mask{}).Server] += 7.0 / work
		}
		for server, want := range map[string]float64{"web1": 5, "web2": 1, "web3": 1} {
			if math.Abs(got[server]-want) > 0.02*want {
				t.Errorf("%s: %.3f of 7, want %v within 2 %%", server, got[server], want)
			}
		}
	})
}

func TestPickDoesNotAllocate(t *testing.T) {
	all(t, func(t *testing.T, _ Info, c config.Policy) {
		for _, n := range []int{1, 3, 100, 1000} {
			k := picker(t, c, newPool(t, c, n, 1, 2).Usable())
			i := 0
			if a := testing.AllocsPerRun(1000, func() {
				var tried pool.Mask
				tried.Add(k.Pick(pool.Key(i), tried))
				k.Pick(pool.Key(i), tried)
				i++
			}); a != 0 {
				t.Errorf("%d members: %v allocations for a pick", n, a)
			}
		}
	})
}

// Work goes on while health flaps and the pickers are rebuilt. The race detector is the judge.
func TestRebuildWhilePicking(t *testing.T) {
	all(t, func(t *testing.T, _ Info, c config.Policy) {
		p := newPool(t, c, 10, 1, 2, 3)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 2000 {
					var tried pool.Mask
					m, err := p.Acquire(key(g*2000+i), nil, &tried, nil)
					if err != nil {
						t.Error(err)
						return
					}
					m.Observe(time.Now(), time.Millisecond)
					p.Release(m)
				}
			})
		}
		wg.Go(func() {
			for i := range 60 {
				for j, m := range p.Members() {
					p.Set(m, pool.Unhealthy, (i+j)%3 == 0, time.Time{})
				}
			}
		})
		wg.Wait()
		for _, m := range p.Members() {
			if m.Active() != 0 {
				t.Errorf("%s: %d active at the end", m.ID, m.Active())
			}
		}
	})
}

func TestNewErrors(t *testing.T) {
	for _, tt := range []struct {
		c    config.Policy
		want string
	}{
		{config.Policy{Name: "roundrobin"}, `unknown policy "roundrobin"; there are round_robin, least_conn`},
		{config.Policy{}, `unknown policy ""`},
		{config.Policy{Name: "maglev", Bounded: 1.25}, `policy "maglev" has no load bound; "hash" has`},
		{config.Policy{Name: "hash", Bounded: 1}, `policy "hash": a load bound of 1 leaves no room`},
	} {
		if _, err := New(tt.c); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New(%+v) = %v, want %s", tt.c, err, tt.want)
		}
	}
}

func TestListIsFresh(t *testing.T) {
	a := List()
	a[0].Name = "changed"
	if diff := cmp.Diff("round_robin", Names()[0]); diff != "" {
		t.Error(diff)
	}
	seen := map[string]bool{}
	for _, i := range List() {
		if seen[i.Name] || i.Doc == "" || i.New == nil || (i.Hashes || i.Bounded) && !i.Keyed {
			t.Errorf("bad entry %+v", i)
		}
		seen[i.Name] = true
	}
}
