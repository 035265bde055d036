package policy

import (
	"math/bits"
	"math/rand/v2"

	"skein/config"
	"skein/pool"
)

// random is stateless: it never needs to know what others, or another node, picked.
type random struct {
	members []*pool.Member
	wheel   wheel
}

func newRandom(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		return &random{usable, newWheel(weigh(usable))}
	})
}

// Pick implements pool.Picker.
func (r *random) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	d := newDice()
	m := r.members[d.throw(&r.wheel)]
	for range 4 { // throwing again keeps the weights, going on to the next does not
		if !except.Has(m) {
			return m
		}
		m = r.members[d.throw(&r.wheel)]
	}
	return after(r.members, int(d.below(uint64(len(r.members)))), &except)
}

// dice makes many random numbers of one, as SplitMix64: several throws in one pick cost one call of the runtime's generator.
type dice uint64

func newDice() dice { return dice(rand.Uint64()) }

// below returns a number below n.
func (d *dice) below(n uint64) uint64 {
	*d += 0x9e3779b97f4a7c15
	hi, _ := bits.Mul64(mix(uint64(*d)), n)
	return hi
}

// throw returns a member's index with the chance that its weight gives it.
func (d *dice) throw(w *wheel) int { return w.at(d.below(w.total)) }

// mix is SplitMix64's finaliser: each bit of the result depends on all bits of h.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
