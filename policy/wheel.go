package policy

import "skein/pool"

// wheel is a wheel of fortune: a line of total units on which each member holds as many as its weight. Round robin walks it
// in equal strides, random throws at it.
//
//	members  a a a a a b c c        ends [5 6 8]
//	unit     0 1 2 3 4 5 6 7
//	guide    a       a   c     c    the member at every (1<<shift)th unit
//
// A look-up reads the guide and searches between two of its neighbours, mostly one step: the cost does not grow with the
// members, and unlike with a table of all units the weights are exact however far apart they are. An alias table is as
// quick, but only the line keeps its order, which round robin needs.
type wheel struct {
	total uint64
	ends  []uint64 // nil if all have one unit
	guide []uint32
	shift uint
}

func newWheel(weights []uint64) wheel {
	w := wheel{ends: make([]uint64, len(weights))}
	for i, x := range reduce(weights) {
		w.total += x
		w.ends[i] = w.total
	}
	if w.total == uint64(len(weights)) {
		w.ends = nil
		return w
	}
	for w.total>>w.shift > 4*uint64(len(weights)) {
		w.shift++
	}
	last := w.total >> w.shift
	w.guide = make([]uint32, last+2)
	i := 0
	for b := range w.guide {
		for i < len(weights)-1 && w.ends[i] <= uint64(b)<<w.shift {
			i++
		}
		w.guide[b] = uint32(i)
	}
	return w
}

// at returns the index of the member that holds a unit below total.
func (w *wheel) at(unit uint64) int {
	if w.ends == nil {
		return int(unit)
	}
	b := unit >> w.shift
	lo, hi := int(w.guide[b]), int(w.guide[b+1])
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); w.ends[mid] <= unit {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// weigh returns the members' weights.
func weigh(members []*pool.Member) []uint64 {
	w := make([]uint64, len(members))
	for i, m := range members {
		w[i] = uint64(m.Weight())
	}
	return w
}

// reduce divides the weights by their greatest common divisor.
func reduce(weights []uint64) []uint64 {
	g := uint64(0)
	for _, w := range weights {
		g = gcd(g, w)
	}
	r := make([]uint64, len(weights))
	for i, w := range weights {
		r[i] = w / g
	}
	return r
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
