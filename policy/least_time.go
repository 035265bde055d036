package policy

import (
	"time"

	"skein/config"
	"skein/pool"
)

// leastTime picks the member that should answer first: its recent latency (Finagle's peak EWMA, kept by the member) times
// the work before and with this one, over its weight.
//
// A member without a latency is new or has been silent for long. To treat it as the quickest would flood it, to treat it as
// slow would never find out. It gets its share by weight, one piece of work at a time, until it has answered once.
type leastTime struct{ least }

func newLeastTime(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		return &leastTime{newLeast(usable)}
	})
}

// Pick implements pool.Picker.
func (l *leastTime) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	d := newDice()
	now := time.Now() // once for all members: it costs as much as looking at four of them
	if m := l.members[d.throw(&l.wheel)]; m.Active() == 0 && !except.Has(m) && m.Latency(now) == 0 {
		return m
	}
	n := len(l.members)
	all := n <= scanUpTo
	if !all {
		n = sampleOf + except.Len()
	}
	var best *pool.Member
	var score float64
	for i := range n {
		if !all {
			i = d.throw(&l.wheel)
		}
		m := l.members[i]
		took := m.Latency(now)
		if took == 0 || except.Has(m) {
			continue
		}
		if s := float64(took) * float64(m.Active()+1) / float64(l.weights[i]); best == nil || s < score {
			best, score = m, s
		}
	}
	switch {
	case best != nil:
		return best
	case all: // nobody is known yet
		return l.scan(&d, &except)
	default:
		return l.sample(&d, sampleOf, &except)
	}
}
