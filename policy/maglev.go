package policy

import (
	"skein/config"
	"skein/pool"
)

// The table's sizes are primes, so that every skip visits every slot; these two are those of the Maglev paper. It wants a
// hundred slots for each member for shares that differ by a hundredth at most.
const (
	maglevSmall = 65537
	maglevLarge = 655373
	maglevMany  = 655 // configured members from which on the large one is used
)

// newMaglev is Google's Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4). Each member has its own order of all slots
// and the members take turns to take their next free slot, more often the heavier they are, until none is left. All get
// their exact share; the price is that some keys of other members move too when one comes or goes.
func newMaglev(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		size := uint64(maglevSmall)
		if usable[0].PoolSize() >= maglevMany {
			size = maglevLarge
		}
		return &table{members: usable, owner: maglevTable(usable, size)}
	})
}

func maglevTable(members []*pool.Member, size uint64) []uint32 {
	type order struct {
		next, skip uint64
		turns      float64 // taken in each round, on average one
		credit     float64 // saved up
	}
	orders := make([]order, len(members))
	weights, sum := weigh(members), uint64(0)
	for i, h := range hashes(members) {
		orders[i].next = h % size
		orders[i].skip = mix(h)%(size-1) + 1
		sum += weights[i]
	}
	for i := range orders {
		orders[i].turns = float64(weights[i]) * float64(len(members)) / float64(sum)
	}
	const free = ^uint32(0)
	owner := make([]uint32, size)
	for i := range owner {
		owner[i] = free
	}
	for left := size; ; {
		for i := range orders {
			o := &orders[i]
			for o.credit += o.turns; o.credit >= 1; o.credit-- {
				for owner[o.next] != free {
					if o.next += o.skip; o.next >= size {
						o.next -= size
					}
				}
				owner[o.next] = uint32(i)
				if left--; left == 0 {
					return owner
				}
			}
		}
	}
}
