package policy

import (
	"skein/config"
	"skein/pool"
)

const (
	// scanUpTo is the most members that are all looked at for one pick. With more, each look is likely a cache miss.
	scanUpTo = 64
	// sampleOf is how many random members are looked at instead. Two would already do (see randomTwo); of eight, the chosen
	// one is among the least loaded eighth nearly two times in three, and the cost still stays near that of a scan.
	sampleOf = 8
)

// leastConn picks the least loaded member: exactly in pools of up to scanUpTo members, the least of a sample in larger ones.
type leastConn struct{ least }

func newLeastConn(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		return &leastConn{newLeast(usable)}
	})
}

// Pick implements pool.Picker.
func (l *leastConn) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	d := newDice()
	if len(l.members) <= scanUpTo {
		return l.scan(&d, &except)
	}
	return l.sample(&d, sampleOf, &except)
}

// least finds members with little work for their weight.
type least struct {
	members []*pool.Member
	weights []uint64
	wheel   wheel
}

func newLeast(usable []*pool.Member) least {
	w := weigh(usable)
	return least{usable, w, newWheel(w)}
}

// scan returns the least loaded of all. Among equals (an idle pool: all of them) it draws by weight; the first or the
// heaviest would get everything as long as requests come one at a time.
func (l *least) scan(d *dice, except *pool.Mask) *pool.Member {
	var best *pool.Member
	var active, weight, equals uint64
	for i, m := range l.members {
		if except.Has(m) {
			continue
		}
		a, w := uint64(m.Active()), l.weights[i]
		// a/w < active/weight, without the division
		switch x, y := a*weight, active*w; {
		case best == nil || x < y:
			best, active, weight, equals = m, a, w, w
		case x == y:
			if equals += w; d.below(equals) < w {
				best, active, weight = m, a, w
			}
		}
	}
	return best
}

// sample returns the least loaded of n members drawn by weight, the first drawn among equals.
func (l *least) sample(d *dice, n int, except *pool.Mask) *pool.Member {
	var best *pool.Member
	var active, weight uint64
	for range n + except.Len() {
		i := d.throw(&l.wheel)
		m := l.members[i]
		if m == best { // with few members: a second one is wanted, not the same again
			if i++; i == len(l.members) {
				i = 0
			}
			m = l.members[i]
		}
		if except.Has(m) {
			continue
		}
		a, w := uint64(m.Active()), l.weights[i]
		if best == nil || a*weight < active*w {
			best, active, weight = m, a, w
		}
	}
	if best == nil {
		return after(l.members, int(d.below(uint64(len(l.members)))), except)
	}
	return best
}
