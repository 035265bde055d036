package web

import (
	"sync"
	"time"

	"skein/internal/sock"
)

// guard ends the work that a member does for a client that has gone.
type guard struct {
	sock *sock.Conn // the client's; nil for a stream among others, whose connection tells us itself

	mu     sync.Mutex // guards what follows
	up     *upstream  // works for the client now
	gone   bool       // the client reset the connection
	cancel chan struct{}
}

// left is called, from another goroutine, when the client reset the connection while it was busy.
func (g *guard) left() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return
	}
	g.gone = true
	if g.up != nil {
		g.up.abort()
	}
	if g.cancel != nil {
		close(g.cancel)
	}
}

// use makes u the connection that is aborted when the client leaves; nil ends that. It reports whether the client has left
// already.
func (g *guard) use(u *upstream) (gone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.up = u
	return g.gone
}

// take is use(nil) that returns what was used.
func (g *guard) take() *upstream {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.up
	g.up = nil
	return u
}

// hasLeft reports whether the client is gone.
func (g *guard) hasLeft() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone
}

// canceled returns a channel that is closed when the client leaves.
func (g *guard) canceled() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel == nil {
		g.cancel = make(chan struct{})
		if g.gone {
			close(g.cancel)
		}
	}
	return g.cancel
}

// busy says whether the client waits for a member: only then is its connection watched for a reset.
func (g *guard) busy(on bool) {
	if g.sock != nil {
		g.sock.Busy(on)
	}
}

// calm lets the client's connection be used again after a nudge that ended a body's reading.
func (g *guard) calm() {
	if g.sock != nil {
		g.sock.Calm()
	}
}

// revive gives an expired connection d for parting words.
func (g *guard) revive(d time.Duration) {
	if g.sock != nil {
		g.sock.Revive(d)
	}
}
