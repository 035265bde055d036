package vip

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"skein/vip/speaker"
)

// rateAll looks at drains until ctx ends: nobody tells of their beginning and end.
func (v *Vip) rateAll(ctx context.Context) {
	t := time.NewTicker(speaker.BeatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			v.mu.Lock()
			v.rate()
			gone := v.gone(time.Now())
			v.mu.Unlock()
			if len(gone) > 0 {
				v.o.Abandon(gone)
			}
		}
	}
}

// abandonAfter is how long an address has to be away until its connections are dropped: they survive if it comes back sooner, as it
// does when nobody else has taken it.
const abandonAfter = time.Second

// gone returns addresses that are another node's now, each once. Their connections here would wait for clients that nobody hears any
// more: for the one that says goodbye to the new owner, and for a frozen node's that have long gone. mu is held.
func (v *Vip) gone(now time.Time) (addresses []netip.Addr) {
	for _, g := range v.groups {
		switch {
		case g.owned():
			g.visited, g.lost = true, time.Time{}
		case !g.visited:
		case g.lost.IsZero():
			g.lost = now
		case now.Sub(g.lost) >= abandonAfter:
			g.visited = false
			for _, r := range g.routers {
				addresses = append(addresses, r.w.addresses...)
			}
		}
	}
	return addresses
}

// rate makes the ranks that beats tell, and begins and cancels handovers. mu is held.
func (v *Vip) rate() {
	if v.phase != active {
		return // what was said last stands: another process decides
	}
	drained := v.o.Drained(v.plan.node)
	next := make(map[string]speaker.Rank, len(v.routers))
	for _, g := range v.groups {
		v.rateGroup(g, drained)
		for _, r := range g.routers {
			next[r.w.c.Name] = v.rank(r)
		}
	}
	if maps.Equal(next, *v.ranks.Load()) {
		return
	}
	v.ranks.Store(&next)
	select {
	case v.urgent <- struct{}{}:
	default:
	}
}

// rank is how fit this node is to own a vip, an operator's word included. mu is held.
func (v *Vip) rank(r *router) speaker.Rank {
	if !r.group.drained {
		return r.fitness
	}
	return speaker.Rank{Fitness: speaker.Drained, Reason: v.why()}
}

// why is the reason of a planned handover. mu is held.
func (v *Vip) why() string {
	if v.stopping {
		return "skein is stopping"
	}
	return "node " + v.plan.node + " is drained"
}

// rateGroup follows the drain of this node, for one group. What is owned when it begins is handed over first; only then is the
// rank that of a drained node. mu is held.
func (v *Vip) rateGroup(g *group, drained bool) {
	switch {
	case !drained && !v.stopping: // the node works, or works again
		if g.handover != nil {
			g.handover.cancel()
			return // which ends the rest
		}
		g.drained = false
		v.leaving.set(g.name, nil)
	case g.handover != nil:
	case v.ctx != nil && v.session != nil && g.owned() && (!g.drained || v.stopping && !g.stopped):
		if !v.stopping && g.fixed() {
			v.log.Warn("vip: the node is drained, but its priority 255 never changes: it keeps the addresses", "group", g.name,
				"hint", "give the node a lower priority, or stop skein there")
			g.drained = true
			return
		}
		v.startHandover(g)
	case g.drained:
		if g.owned() {
			// Nobody else has taken it. Visitors may stay then.
			v.leaving.set(g.name, nil)
		}
	default:
		g.drained = true
	}
}

// fixed reports whether this node's priority for the group never changes.
func (g *group) fixed() bool {
	return slices.ContainsFunc(g.routers, func(r *router) bool { return r.w.ranks.fit == owner })
}
