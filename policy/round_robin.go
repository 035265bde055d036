package policy

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"skein/config"
	"skein/pool"
)

// roundRobin walks the wheel in strides of about the golden section of its length. A stride that has no common divisor with
// the length visits every unit once before it begins again: after one round each member was picked exactly as often as its
// weight says. And the golden section is the stride whose visits to any part of the line lie the most evenly apart, so a
// heavy member does not get its picks in one go ({5,1,1}: a a a b a c a). Smooth weighted round robin as in nginx is a
// little smoother still, but needs either a lock or a table as long as the sum of the weights, whose rounding would make
// them wrong in pools with many members.
type roundRobin struct {
	members []*pool.Member
	wheel   wheel
	stride  uint64
	turn    atomic.Uint64
}

func newRoundRobin(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		r := &roundRobin{members: usable, wheel: newWheel(weigh(usable))}
		r.stride = stride(r.wheel.total)
		if r.wheel.ends == nil {
			r.stride = 1 // equal weights: plainly in the order of the file
		}
		// A random start: with many nodes, or health that flaps, the first members would get more than their share.
		r.turn.Store(rand.Uint64N(r.wheel.total))
		return r
	})
}

// Pick implements pool.Picker.
func (r *roundRobin) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	i := r.wheel.at(r.turn.Add(1) % r.wheel.total * r.stride % r.wheel.total)
	return after(r.members, i, &except)
}

// stride returns the number nearest to the golden section of n that has no common divisor with n.
func stride(n uint64) uint64 {
	s := uint64(math.Round(float64(n) / math.Phi))
	for d := uint64(0); ; d++ {
		if gcd(s+d, n) == 1 {
			return s + d
		}
		if s > d && gcd(s-d, n) == 1 {
			return s - d
		}
	}
}
