package policy

import (
	"math"

	"skein/pool"
)

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
