package policy

import (
	"math"
	"math/bits"

	"skein/config"
	"skein/pool"
)

// directUpTo is the largest configured pool in which each pick compares all members; larger ones use a table. The number of
// configured members decides, not that of usable ones: else a single member that fails would move every key.
const directUpTo = 128

// newHash is weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in Schindelhauer and Schomaker 2005). Key
// and member together give an exponentially distributed time, divided by the weight, and the earliest member wins. A time
// depends on nothing but its own key and member, so a member that leaves gives its keys to the others in proportion to their
// weights, and no other key moves.
//
// Of equal importance is what it does not depend on: order, history, node. All nodes agree without a word.
func newHash(c config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		l := newLoads(usable, c.Bounded)
		if usable[0].PoolSize() > directUpTo {
			return &table{usable, raceTable(usable), l}
		}
		r := &rendezvous{members: usable, loads: l, hashes: hashes(usable)}
		w := weigh(usable)
		for i := range w {
			if w[i] != w[0] {
				r.weights = w
			}
		}
		return r
	})
}

type rendezvous struct {
	members []*pool.Member
	hashes  []uint64
	weights []uint64 // nil if all are equal
	loads   loads
}

// Pick implements pool.Picker.
func (r *rendezvous) Pick(k pool.Key, except pool.Mask) *pool.Member {
	total := r.loads.total()
	if m := r.earliest(k, &except, total); m != nil || total == 0 {
		return m
	}
	return r.earliest(k, &except, 0) // all that are left are over the bound
}

// earliest returns the winner among the members that are neither in except nor, unless total is 0, over the load bound.
func (r *rendezvous) earliest(k pool.Key, except *pool.Mask, total float64) *pool.Member {
	var best *pool.Member
	if r.weights == nil {
		var high uint64
		for i, h := range r.hashes {
			// The largest of the random numbers is the earliest of the times that are made of them.
			if u := mix(uint64(k)^h) >> 11; u >= high {
				if m := r.members[i]; !except.Has(m) && !r.loads.over(i, m, total) {
					best, high = m, u+1
				}
			}
		}
		return best
	}
	early := math.Inf(1)
	for i, h := range r.hashes {
		u := (float64(mix(uint64(k)^h)>>11) + 0.5) / (1 << 53)
		w := float64(r.weights[i])
		// -ln u is at least 1-u: nearly all losers are known without the logarithm.
		if 1-u >= early*w {
			continue
		}
		if t := -math.Log(u) / w; t < early {
			if m := r.members[i]; !except.Has(m) && !r.loads.over(i, m, total) {
				best, early = m, t
			}
		}
	}
	return best
}

// hashes returns what stands for each member in the hash of a key and a member.
func hashes(members []*pool.Member) []uint64 {
	h := make([]uint64, len(members))
	for i, m := range members {
		h[i] = pool.Mix(0, m.Hash)
	}
	return h
}

// loads is consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2016): no member may have more than
// bound times its share of the work in progress; what is over goes to the next member of the same key.
type loads struct {
	bound   float64 // 0 is off
	weights []float64
	sum     float64 // of the weights
	any     *pool.Member
}

func newLoads(members []*pool.Member, bound float64) loads {
	if bound == 0 {
		return loads{}
	}
	l := loads{bound: bound, any: members[0], weights: make([]float64, len(members))}
	for i, m := range members {
		l.weights[i] = float64(m.Weight())
		l.sum += l.weights[i]
	}
	return l
}

// total is what is shared out: the pool's work with the new piece, times the bound; 0 without a bound.
func (l *loads) total() float64 {
	if l.bound == 0 {
		return 0
	}
	return l.bound * float64(l.any.PoolActive()+1)
}

// over reports whether member i has all that it may have of total.
func (l *loads) over(i int, m *pool.Member, total float64) bool {
	return total != 0 && float64(m.Active()) >= math.Ceil(total*l.weights[i]/l.sum)
}

// raceTable fills a table whose slots are won as keys are in rendezvous hashing, for pools in which comparing all members for
// each key would take too long. To compare all members for each slot would take too long as well (ten thousand members times
// half a million slots). Instead, each member throws darts at the table, at times that come as often as its weight says, and
// a slot belongs to its earliest dart. Times and places depend on nothing but the member, so that, as above, a member that
// leaves frees its own slots and no other slot changes its owner. The number of darts is that of slots times its logarithm,
// whatever the number of members.
//
// A member's share is as exact as the number of its slots allows: about 1/sqrt(2*slots).
func raceTable(members []*pool.Member) []uint32 {
	size := 1 << 16
	for size < 256*members[0].PoolSize() && size < 1<<19 {
		size <<= 1
	}
	shift := uint(64 - bits.Len(uint(size-1)))
	weights, hs := weigh(members), hashes(members)
	sum := 0.0
	for _, w := range weights {
		sum += float64(w)
	}
	// Time in the high bits and owner in the low ones: the smaller is the earlier. Positive floats compare as integers do.
	const low = 1<<24 - 1
	first := make([]uint64, size)
	for i := range first {
		first[i] = math.MaxUint64
	}
	open := size
	var from, until float64
	for step := (math.Log(float64(size)) + 2) * float64(size) / sum; open > 0; step /= 2 {
		from, until = until, until+step
		for i, h := range hs {
			w := float64(weights[i])
			inverse := 1 / w
			for n := uint64(from * w); n <= uint64(until*w); n++ {
				r := mix(h + n*0x9e3779b97f4a7c15)
				t := (float64(n) + float64(r&(1<<20-1))/(1<<20)) * inverse
				slot := &first[r>>shift]
				if v := math.Float64bits(t)&^low | uint64(i); v < *slot {
					if *slot == math.MaxUint64 {
						open--
					}
					*slot = v
				}
			}
		}
	}
	owner := make([]uint32, size)
	for i, v := range first {
		owner[i] = uint32(v & low)
	}
	return owner
}
