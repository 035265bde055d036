package policy

import (
	"math"

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
