package health

import (
	"time"

	"skein/config"
)

// judge turns results into a verdict:
//
//	            one failure              fall failures in a row
//	unknown ----------------> down    up ----------------------> down
//	(used)  ----------------> up      down --------------------> up
//	            one success              rise successes in a row
//
// A member is used before its first result: a balancer that has just started must not refuse the whole site for as long as
// it takes to ask. The first result decides at once, for the same reason that makes it cheap to be wrong: nothing is known
// yet that it contradicts.
type judge struct {
	up    bool
	known bool // there was a result
	run   int  // results in a row that contradict up
}

// observe takes a result and reports whether up changed.
func (j *judge) observe(ok bool, rise, fall int) bool {
	need := fall
	if !j.up {
		need = rise
	}
	if !j.known {
		j.known, need = true, 1
	}
	if ok == j.up {
		j.run = 0
		return false
	}
	if j.run++; j.run < need {
		return false
	}
	j.up, j.run = ok, 0
	return true
}

// interval is the time between the beginnings of this check and the next: the fast one while the verdict is changing.
// random is in [0, 1).
func (j *judge) interval(c *config.Check, random float64) time.Duration {
	d := c.Every
	if !j.known || j.run > 0 {
		d = c.FastEvery
	}
	return d + time.Duration(float64(d)*c.JitterShare*(2*random-1))
}

// burst is how many checks may begin in the same moment.
const burst = 32

// spread is the delay of the first check of number i of n that start together. The first ones begin at once, the rest follow
// evenly over the fast interval, no closer than a burst in a hundredth of a second: otherwise a large file would open all
// its connections in the same millisecond, and again after each interval.
func spread(i, n int, fast time.Duration) time.Duration {
	if i < burst {
		return 0
	}
	window := min(fast, time.Duration(n)*10*time.Millisecond/burst)
	return window * time.Duration(i-burst) / time.Duration(n-burst)
}
