package policy

import (
	"fmt"
	"math"
	"testing"

	"skein/config"
	"skein/pool"
)

// keyed runs f for every policy whose picks depend on the key.
func keyed(t *testing.T, f func(t *testing.T, c config.Policy)) {
	all(t, func(t *testing.T, i Info, c config.Policy) {
		if !i.Keyed || c.Bounded != 0 {
			t.Skip("not by key alone")
		}
		f(t, c)
	})
}

const keys = 50_000

// owners returns each key's member.
func owners(k pool.Picker) []*pool.Member {
	o := make([]*pool.Member, keys)
	for i := range o {
		o[i] = k.Pick(key(i), pool.Mask{})
	}
	return o
}

func without(ms []*pool.Member, i int) []*pool.Member {
	return append(append([]*pool.Member(nil), ms[:i]...), ms[i+1:]...)
}

// When a member fails, its keys go to others and those of the others stay: all of them with rendezvous hashing. With maglev
// some move: at most extra, a share of all keys.
func TestFailureMovesOnlyItsKeys(t *testing.T) {
	keyed(t, func(t *testing.T, c config.Policy) {
		for _, tt := range []struct {
			n     int
			extra float64
		}{
			{2, 0}, {3, 0.02}, {10, 0.02}, {100, 0.02}, {128, 0.02}, {129, 0.02}, {1000, 0.02}, {10000, 0.02},
		} {
			if c.Name != "maglev" {
				tt.extra = 0
			}
			if tt.n > 200 && (raceEnabled || c.Name == "ip_hash") {
				continue
			}
			p := newPool(t, c, tt.n, 1, 2, 3)
			before := owners(picker(t, c, p.Usable()))
			for _, gone := range []int{0, tt.n / 2} {
				after := owners(picker(t, c, without(p.Usable(), gone)))
				moved := 0
				to := map[*pool.Member]int{}
				for i := range before {
					switch {
					case before[i] == p.Usable()[gone]:
						to[after[i]]++
					case before[i] != after[i]:
						moved++
					}
				}
				if share := float64(moved) / keys; share > tt.extra {
					t.Errorf("%d members, %d gone: %.4f of all keys moved between others, want at most %v", tt.n, gone, share, tt.extra)
				}
				if tt.n == 10 && len(to) != 9 {
					t.Errorf("%d members, %d gone: its keys went to %d members, want all 9 others", tt.n, gone, len(to))
				}
			}
		}
	})
}

// A member taken out of the file or put into it moves only its own keys, as long as the pool does not cross the size at
// which the structure changes.
func TestConfigChangeMovesOnlyItsKeys(t *testing.T) {
	for _, n := range []int{3, 100, 200} {
		big := newPool(t, config.Policy{Name: "hash"}, n+1)
		small := newPool(t, config.Policy{Name: "hash"}, n)
		before := owners(picker(t, config.Policy{Name: "hash"}, small.Usable()))
		after := owners(picker(t, config.Policy{Name: "hash"}, big.Usable()))
		for i := range before {
			if before[i].Server != after[i].Server && after[i].Server != fmt.Sprintf("web%d", n+1) {
				t.Fatalf("%d members, one added: key %d moved from %s to %s", n, i, before[i].Server, after[i].Server)
			}
		}
	}
}

// More weight for one member takes keys from the others and moves none between them.
func TestWeightMovesOnlyItsKeys(t *testing.T) {
	for _, n := range []int{4, 400} {
		c := config.Policy{Name: "hash"}
		before := owners(picker(t, c, newPool(t, c, n, 2, 1, 3, 1).Usable()))
		ms := members(n, 2, 1, 3, 1)
		ms[1].Weight = 5
		after := owners(picker(t, c, poolOf(t, &config.Pool{Name: "p", Policy: c, Members: ms}).Usable()))
		gained := 0
		for i := range before {
			if before[i].Server == after[i].Server {
				continue
			}
			if after[i].Server != "web2" {
				t.Fatalf("%d members: key %d moved from %s to %s", n, i, before[i].Server, after[i].Server)
			}
			gained++
		}
		if gained == 0 {
			t.Errorf("%d members: web2 gained nothing", n)
		}
	}
}

// A retry goes to the member that would have the key if the first one were not there: what that one then caches is found
// again after the failed one is ejected. Tables only promise that the order is always the same.
func TestRetryOrder(t *testing.T) {
	keyed(t, func(t *testing.T, c config.Policy) {
		p := newPool(t, c, 10, 1, 2)
		k, again := picker(t, c, p.Usable()), picker(t, c, p.Usable())
		for i := range 2000 {
			var tried pool.Mask
			for tried.Len() < 4 {
				m := k.Pick(key(i), tried)
				if o := again.Pick(key(i), tried); o != m {
					t.Fatalf("key %d, %d tried: %s and %s", i, tried.Len(), m.ID, o.ID)
				}
				tried.Add(m)
			}
		}
		if c.Name == "maglev" {
			return
		}
		left := picker(t, c, without(p.Usable(), 3))
		for i := range 2000 {
			var tried pool.Mask
			tried.Add(p.Usable()[3])
			if got, want := k.Pick(key(i), tried), left.Pick(key(i), pool.Mask{}); got != want {
				t.Fatalf("key %d: retried on %s, owned by %s", i, got.ID, want.ID)
			}
		}
	})
}

// Two nodes, and two versions of skein, send a key to the same member. A change of these numbers moves every visitor of every
// site on an upgrade: it is a breaking change.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		policy string
		n      int
		want   string
	}{
		{"ip_hash", 3, "dbf318c269fb1981"},
		{"hash", 3, "dbf318c269fb1981"},
		{"hash", 1000, "71821d007ee3c751"},
		{"maglev", 3, "41c2b02c1bc355f7"},
		{"maglev", 1000, "579a46f61a977a53"},
	} {
		c := config.Policy{Name: tt.policy}
		k := picker(t, c, newPool(t, c, tt.n, 3, 1, 2).Usable())
		h := pool.Key(0)
		for i := range 10_000 {
			h = pool.Key(pool.Mix(h, uint64(pool.Hash(k.Pick(pool.Hash(fmt.Sprintf("key %d", i)), pool.Mask{}).ID))))
		}
		if got := fmt.Sprintf("%016x", h); got != tt.want {
			t.Errorf("%s with %d members: the first ten thousand keys hash to %s, want %s", tt.policy, tt.n, got, tt.want)
		}
	}
}

// The share of a member in a table is a matter of its slots: the manual states these bounds.
func TestTableShares(t *testing.T) {
	for _, tt := range []struct {
		policy string
		n      int
		off    float64 // standard deviation of a member's share of the slots, relative
	}{
		{"hash", 129, 0.04},
		{"hash", 1000, 0.06},
		{"hash", 10000, 0.12},
		{"maglev", 129, 0.01},
		{"maglev", 1000, 0.01},
		{"maglev", 10000, 0.01},
	} {
		if raceEnabled {
			t.Skip("one goroutine")
		}
		c := config.Policy{Name: tt.policy}
		p := newPool(t, c, tt.n)
		tab := picker(t, c, p.Usable()).(*table)
		slots := make([]float64, tt.n)
		for _, o := range tab.owner {
			slots[o]++
		}
		mean, square := float64(len(tab.owner))/float64(tt.n), 0.0
		for _, s := range slots {
			square += (s - mean) * (s - mean)
		}
		off := math.Sqrt(square/float64(tt.n)) / mean
		t.Logf("%s, %d members, %d slots: %.4f", tt.policy, tt.n, len(tab.owner), off)
		if off > tt.off {
			t.Errorf("%s, %d members: shares are off by %.4f, want at most %v", tt.policy, tt.n, off, tt.off)
		}
	}
}

// With a load bound nobody has more than its share times the bound, though all work has one key; and without load the bound
// changes nothing.
func TestBoundedLoad(t *testing.T) {
	for _, n := range []int{1, 3, 10, 200} {
		c := config.Policy{Name: "hash", Bounded: 1.25}
		p := newPool(t, c, n, 1, 2)
		free := picker(t, config.Policy{Name: "hash"}, p.Usable())
		k := picker(t, c, p.Usable())
		for i := range 1000 {
			if got, want := k.Pick(key(i), pool.Mask{}), free.Pick(key(i), pool.Mask{}); got != want {
				t.Fatalf("%d members, idle: key %d goes to %s, without the bound to %s", n, i, got.ID, want.ID)
			}
		}
		sum := 0.0
		for i := range n {
			sum += float64(1 + i%2)
		}
		for work := 1; work <= 3000; work++ {
			m := hold(t, p, key(7))
			i := 0
			for p.Usable()[i] != m {
				i++
			}
			if most := math.Ceil(1.25 * float64(work) * float64(1+i%2) / sum); float64(m.Active()) > most {
				t.Fatalf("%d members, %d at work: %s has %d, want at most %v", n, work, m.ID, m.Active(), most)
			}
		}
	}
}
