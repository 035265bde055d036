package vip

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"skein/vip/speaker"
)

// A planned handover loses no request:
//
//	leaving   every answer on a connection to the addresses says that it is the last one there. New connections are
//	          served as ever. Until all that existed when it began have ended; idle ones are closed after a while.
//	holding   the kernel ignores new connections, so that clients ask again a moment later, then at the new owner. Until no
//	          connection is left at all.
//	yielding  the speaker says priority 0 and removes the addresses; another node has them within milliseconds.
//
// Whether there is another node cannot be known, as backups are silent in VRRP. If nobody takes the addresses, the speaker takes
// them back by itself after three intervals, with the rank of a drained node, and visitors are served on.

const (
	// idleAfter is how long idle connections may wait for one more request, which is answered and their last.
	idleAfter = 2 * time.Second
	idleEvery = 250 * time.Millisecond
	// holdReserve is what is left of the handover's time for holding; holdLimit is more than that if leaving was short.
	holdReserve = time.Second
	holdLimit   = 3 * time.Second
	// yieldLimit is how long the speaker may take to let go.
	yieldLimit = 2 * time.Second
	// countEvery is how often connections are counted, or less often if that takes long: a twentieth of the time at most.
	// While new connections are ignored each millisecond counts: whoever asks in it waits for a second.
	countEvery = 25 * time.Millisecond
	holdEvery  = 3 * time.Millisecond
	countShare = 20
	letGoEvery = 5 * time.Millisecond
)

// handover is one that is under way.
type handover struct {
	v         *Vip
	group     *group
	addresses []netip.Addr
	limit     time.Duration
	reason    string
	cancel    context.CancelFunc
	done      chan struct{} // closed at its end
	began     time.Time
	closed    time.Time // when idle connections were closed last
	warned    bool
}

// startHandover begins one. mu is held.
func (v *Vip) startHandover(g *group) {
	h := &handover{v: v, group: g, reason: v.why(), done: make(chan struct{}), began: time.Now()}
	for _, r := range g.routers {
		h.addresses = append(h.addresses, r.w.addresses...)
		h.limit = max(h.limit, r.w.c.Handover)
		r.handover = &HandoverStatus{Running: true, Began: h.began, Reason: h.reason}
	}
	ctx, cancel := context.WithCancel(v.ctx)
	h.cancel = cancel
	g.handover, g.stopped = h, v.stopping
	v.works.Go(func() {
		defer cancel()
		h.run(ctx)
	})
}

// run is the handover from its beginning to its end.
func (h *handover) run(ctx context.Context) {
	v := h.v
	v.leaving.set(h.group.name, h.addresses)
	all, _ := h.connections() // from now on each one ends by itself
	v.log.Info("handover began", "group", h.group.name, "reason", h.reason, "connections", len(all), "limit", h.limit)
	old := h.leave(ctx, all)
	leaving := time.Since(h.began)
	left, result := old, HandoverCancelled
	if ctx.Err() == nil {
		var release func()
		left, release = h.hold(ctx)
		h.step("yielding", left)
		result = h.yield(ctx, left)
		if result == HandoverCut {
			v.o.Abandon(h.addresses)
		}
		release()
	}
	h.end(result, leaving, old, left)
}

// leave waits until all connections of the beginning have ended, and returns how many have not.
func (h *handover) leave(ctx context.Context, begin map[uint64]bool) int {
	limit := max(h.limit-holdReserve, 0)
	return h.wait(ctx, "leaving", limit, countEvery, func(now map[uint64]bool, known bool) int {
		if time.Since(h.began) >= min(idleAfter, limit/2) {
			h.closeIdle()
		}
		if !known {
			return 1 // to end too late is better than to cut off somebody
		}
		left := 0
		for id := range begin {
			if now[id] {
				left++
			}
		}
		return left
	})
}

// hold ignores new connections and waits until none is left. It returns how many there are, and what ends the holding.
func (h *handover) hold(ctx context.Context) (left int, release func()) {
	release, err := h.v.o.Hold(h.addresses)
	if err != nil {
		// Those who begin in the last moment are refused then, as without a handover.
		h.v.log.Warn("new connections cannot be held", "group", h.group.name, "error", err)
		release = func() {}
	}
	limit := min(max(h.limit-time.Since(h.began), 0), holdLimit)
	left = h.wait(ctx, "holding", limit, holdEvery, func(now map[uint64]bool, known bool) int {
		if !known {
			return 1
		}
		if len(now) > 0 {
			h.closeIdle() // some may have been opened for later and never asked anything
		}
		return len(now)
	})
	return left, release
}

// closeIdle closes idle connections, again and again: who has come a moment ago gets time to ask.
func (h *handover) closeIdle() {
	if time.Since(h.closed) >= idleEvery {
		h.closed = time.Now()
		h.v.o.CloseIdle(h.addresses)
	}
}

// wait looks at the connections until count says 0, the limit or ctx are over, or the addresses are not here any more. It
// returns the last count.
func (h *handover) wait(ctx context.Context, step string, limit, every time.Duration, count func(now map[uint64]bool, known bool) int) int {
	for began := time.Now(); ; {
		looked := time.Now()
		now, known := h.connections()
		left := count(now, known)
		h.step(step, left)
		if left == 0 || time.Since(began) >= limit || !h.owned() {
			return left
		}
		next := max(every, countShare*time.Since(looked))
		if !pause(ctx, min(next, limit-time.Since(began))) {
			return left
		}
	}
}

// connections are all to the addresses; known is false if the kernel does not tell.
func (h *handover) connections() (now map[uint64]bool, known bool) {
	ids, err := h.v.o.Net.ConnectionIDs(h.addresses)
	if err != nil {
		if !h.warned {
			h.warned = true
			h.v.log.Warn("connections cannot be counted: the handover takes all of its time", "group", h.group.name, "error", err)
		}
		return nil, false
	}
	now = make(map[uint64]bool, len(ids))
	for _, id := range ids {
		now[id] = true
	}
	return now, true
}

// owned reports whether an address is still here.
func (h *handover) owned() bool {
	h.v.mu.Lock()
	defer h.v.mu.Unlock()
	return h.group.owned()
}

// here reports whether an address is still on an interface, in the kernel's own words: on a busy machine it is removed 100 ms
// after the state has changed, and whoever came in meanwhile would be cut off.
func (h *handover) here() bool {
	if h.owned() {
		return true
	}
	links, err := h.v.o.Net.Links()
	if err != nil {
		return false // the state has to do
	}
	for _, k := range links {
		for _, p := range k.Prefixes {
			if slices.Contains(h.addresses, p.Addr()) {
				return true
			}
		}
	}
	return false
}

// yield makes the speaker let go, and waits until it has.
func (h *handover) yield(ctx context.Context, left int) (result string) {
	v := h.v
	v.mu.Lock()
	if ctx.Err() != nil { // made ready in this moment
		v.mu.Unlock()
		return HandoverCancelled
	}
	s := v.session
	var vips []string
	for _, r := range h.group.routers {
		vips = append(vips, r.w.c.Name)
	}
	h.group.drained = true
	h.group.left = v.stopping && h.group.fixed() // priority 255 would take it back at once
	gone := h.group.left
	v.rate()
	v.mu.Unlock()
	result = HandoverClean
	if left > 0 {
		result = HandoverCut
	}
	var err error
	switch {
	case s == nil:
		return result // no speaker, no addresses
	case gone:
		err = s.configure()
	default:
		s.beat() // what it is as a backup
		err = s.send(speaker.Order{Yield: &speaker.Yield{VIPs: vips, Reason: h.reason}})
	}
	for began := time.Now(); err == nil && h.here(); {
		if time.Since(began) >= yieldLimit {
			err = fmt.Errorf("the speaker has not let go within %v", yieldLimit)
		}
		if !pause(ctx, letGoEvery) {
			return HandoverCancelled // too late for the other node not to have it, but it may come back
		}
	}
	if err != nil {
		v.log.Error("handover failed", "group", h.group.name, "error", err)
		return HandoverFailed
	}
	return result
}

// step says where the handover is.
func (h *handover) step(step string, left int) {
	h.v.mu.Lock()
	defer h.v.mu.Unlock()
	for _, r := range h.group.routers {
		if r.handover != nil {
			s := *r.handover
			s.Step, s.Left = step, left
			r.handover = &s
		}
	}
}

// end says how it was. Answers are the last ones on their connections until the node is ready again, if the address is gone.
func (h *handover) end(result string, leaving time.Duration, old, left int) {
	v := h.v
	v.mu.Lock()
	took := time.Since(h.began)
	for _, r := range h.group.routers {
		r.handovers[result]++
		if r.handover != nil {
			s := *r.handover
			s.Running, s.Step, s.Took, s.Left, s.Result = false, "done", took, left, result
			r.handover = &s
		}
	}
	h.group.handover = nil
	if result == HandoverCancelled || v.groups[h.group.name] != h.group {
		v.leaving.set(h.group.name, nil)
	}
	v.rate()
	v.mu.Unlock()
	v.log.Info("handover ended", "group", h.group.name, "result", result, "took", took.Round(time.Millisecond), "leaving",
		leaving.Round(time.Millisecond), "left_of_old", old, "left", left)
	close(h.done)
}

// HandOver gives everything that this node owns to other nodes, as far as there are any, and returns when that is done or ctx
// ends. It is for a node that stops: afterwards the node owns an address only while nobody else does. After [Vip.Freeze] it does
// nothing.
//
// Nobody can know whether another node is there, since backups are silent in VRRP: if none takes the addresses, they come back
// after three intervals.
func (v *Vip) HandOver(ctx context.Context) {
	v.mu.Lock()
	v.stopping = true
	v.rate()
	var running []chan struct{}
	for _, g := range v.groups {
		if g.handover != nil {
			g.stopped = true // also if it began as a drain
			running = append(running, g.handover.done)
		}
	}
	v.mu.Unlock()
	for _, done := range running {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}
