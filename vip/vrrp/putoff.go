package vrrp

import "time"

// PutOff is for a caller that did not run for a while, and so has perhaps not received what was sent to it. A backup that has
// slept for an interval or more may have missed advertisements, and waits longer by as much; one that has slept for less misses
// one at most, of three. A master is judged by what it has not sent.
func (g *Group) PutOff(slept time.Duration) {
	if g.state != Backup {
		return
	}
	for _, m := range g.machines {
		if !m.wants && m.deadline.set && slept >= m.learned {
			m.deadline.arm(m.deadline.at + slept)
		}
	}
}
