package speaker

import "time"

// A governor bounds how many packets of a socket are read. Whoever may send to it could else keep a thread busy that has
// real-time priority, and with it everybody else from a processor: each packet costs 10 µs and more. What is not read waits in the
// kernel's buffer, and then is dropped there for nothing.
type governor struct {
	since time.Time
	count int
}

const (
	governorWindow = 10 * time.Millisecond
	// governorBase and governorEach make the limit of a window: 5,400 packets a second for one router. That is 400 times what a
	// master says at the usual interval, and five times what it says at the shortest one.
	governorBase = 50
	governorEach = 4
)

// limitOf is how many packets are read in a window for so many routers.
func limitOf(routers int) int { return governorBase + governorEach*routers }

// read counts a packet and returns how long to wait before the next one. flood is true once in a window, when it is half full:
// so many are nobody's but strangers'.
func (g *governor) read(now time.Time, limit int) (wait time.Duration, flood bool) {
	if now.Sub(g.since) >= governorWindow {
		g.since, g.count = now, 0
	}
	if g.count++; g.count < limit {
		return 0, g.count == limit/2
	}
	return g.since.Add(governorWindow).Sub(now), false
}
