package policy

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"skein/config"
	"skein/pool"
)

// roundRobin is smooth weighted round robin without a lock: a counter goes round an order of the units of the members'
// weights that was made beforehand. After one round each member was picked exactly as often as its weight says.
//
// A member of weight w wants its picks at (0+p)/w, (1+p)/w ... of each round, p being some place that is its own. All these
// wishes, sorted by time, are the order: {5,1,1} becomes a b a a a c a. It is as even as nginx's order (which takes a lock or
// as many steps for each pick as there are members): at any time no member is more than two picks from its share.
//
// Weights with a sum beyond maxOrder are walked in equal strides over the wheel instead. A stride that has no common divisor
// with the length visits every unit once before it begins again, and one of about the golden section visits any part of the
// line the most evenly. That needs no room and stays exact, where an order of bounded length would round the weights; it is
// a little less even, which among that many picks nobody sees.
type roundRobin struct {
	members []*pool.Member
	turn    atomic.Uint64
	total   uint64
	order   []uint32 // nil if all weights are equal or their sum is too large
	wheel   wheel
	stride  uint64
}

const maxOrder = 1 << 14

func newRoundRobin(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		w := weigh(usable)
		r := &roundRobin{members: usable, wheel: newWheel(w), stride: 1}
		r.total = r.wheel.total
		switch {
		case r.wheel.ends == nil: // equal weights: the order of the file
		case r.total <= maxOrder:
			r.order = order(w)
		default:
			r.stride = stride(r.total)
		}
		// A random start: with many nodes, or health that flaps, the first members would get more than their share.
		r.turn.Store(rand.Uint64N(r.total))
		return r
	})
}

// Pick implements pool.Picker.
func (r *roundRobin) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	unit := r.turn.Add(1) % r.total
	if r.order != nil {
		return after(r.members, int(r.order[unit]), &except)
	}
	return after(r.members, r.wheel.at(unit*r.stride%r.total), &except)
}

// order returns the members' indices in the order of one round.
func order(weights []uint64) []uint32 {
	type wish struct {
		at     float64
		member uint32
	}
	var wishes []wish
	for i, w := range reduce(weights) {
		// Multiples of the golden section lie apart from each other, however many there are: light members do not all
		// want the same moment.
		_, place := math.Modf(0.5 + float64(i)/math.Phi)
		for k := range w {
			wishes = append(wishes, wish{(float64(k) + place) / float64(w), uint32(i)})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(a.at, b.at) })
	o := make([]uint32, len(wishes))
	for i, w := range wishes {
		o[i] = w.member
	}
	return o
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
