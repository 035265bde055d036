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

// The first burst checks of a configuration begin in the same moment, the others this long after each other.
const (
	burst = 32
	gap   = 5 * time.Millisecond
)

// spread is the delay of the first check of number i of n that start together. A large file must not open all its connections in
// the same millisecond, nor do all its TLS handshakes at once: time-outs of the balancer's own making would take members
// out, since a first result decides. The checks never come faster than gap allows, unless n checks each every interval
// do so anyway.
func spread(i, n int, every time.Duration) time.Duration {
	if i < burst {
		return 0
	}
	return min(gap*time.Duration(i-burst+1), every*time.Duration(i-burst+1)/time.Duration(n-burst+1))
}
