package speaker

import "time"

// A governor bounds how many packets of a socket are read. Whoever may send to it could else keep a thread busy that has
// real-time priority, and with it everybody else from a processor. What is not read waits in the kernel's buffer, and then is
// dropped there for nothing.
type governor struct {
	since time.Time
	count int
}

const (
	governorWindow = 10 * time.Millisecond
	// governorLimit for each window is 50,000 packets a second: 250 routers with two other nodes each at the shortest interval.
	governorLimit = 500
)

// read counts a packet and returns how long to wait before the next one.
func (g *governor) read(now time.Time) time.Duration {
	if now.Sub(g.since) >= governorWindow {
		g.since, g.count = now, 0
	}
	if g.count++; g.count < governorLimit {
		return 0
	}
	return g.since.Add(governorWindow).Sub(now)
}
