package policy

import (
	"math"
	"math/bits"

	"skein/pool"
)

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
