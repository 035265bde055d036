package vip

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// maxTransitions is how many of the last transitions of a vip are kept.
const maxTransitions = 20

// router is one vip as it lives. The Vip's mu guards all of it.
type router struct {
	v     *Vip
	w     *wanted
	group *group

	families []*family
	state    vrrp.State // of the whole group
	reason   string
	since    time.Time
	history  []Transition // of all families

	sources []*source          // what decides whether this node is fit
	judging context.CancelFunc // of those that run; nil without
	fitness speaker.Rank
	started chan struct{} // closed when the judges of before have ended

	notifier  *notifier
	handovers map[string]uint64
	handover  *HandoverStatus // the last, or the one under way
}

// family is the virtual router of one address family.
type family struct {
	number int
	state  vrrp.State
	reason string
	since  time.Time
	seen   *speaker.InstanceStatus // nil before the first
	became map[vrrp.State]uint64

	refusals map[string]time.Time // when an advertisement was last refused, by reason
}

// group is vips that are owned together; most are alone.
type group struct {
	name     string
	routers  []*router
	handover *handover // under way
	drained  bool      // nothing is owned that could be handed over: the rank is that of a drained node
	stopped  bool      // the handover of the stop has begun
	left     bool      // the speaker is told nothing of it any more, as skein is stopping
	visited  bool      // there may be connections to its addresses
	lost     time.Time // since when nothing is owned; zero while something is
}

func (v *Vip) newRouter(w *wanted) *router {
	done := make(chan struct{})
	close(done)
	return &router{
		v: v, state: vrrp.Initialize, reason: "skein has just begun", since: time.Now(), started: done,
		fitness:  speaker.Rank{Fitness: speaker.Unfit, Reason: "not probed yet"},
		notifier: newNotifier(v, w.c.Name), handovers: map[string]uint64{},
	}
}

// take gives the router what a configuration says of it. mu is held.
func (r *router) take(w *wanted) {
	r.w = w
	var families []*family
	for _, i := range w.instances {
		n := familyOf(i.Router.Source)
		f := r.family(n)
		if f == nil {
			f = &family{number: n, state: vrrp.Initialize, reason: r.reason, since: r.since, became: map[vrrp.State]uint64{}, refusals: map[string]time.Time{}}
		}
		families = append(families, f)
	}
	r.families = families
	r.takeSources()
}

// leave is the end of a router that is not configured any more. mu is held.
func (r *router) leave(why string) {
	r.stopJudges()
	if r.state != vrrp.Initialize {
		r.become(vrrp.Initialize, why, time.Now())
	}
	r.notifier.last()
}

func (r *router) family(number int) *family {
	for _, f := range r.families {
		if f.number == number {
			return f
		}
	}
	return nil
}

// changed hears of a transition.
func (v *Vip) changed(c *speaker.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.routers[c.VIP]
	if r == nil {
		return // it was taken out of the configuration
	}
	if f := r.family(c.Family); f != nil {
		r.set(f, c.To, c.Reason, c.Time)
		r.group.settle(c.Reason, c.Time)
	}
}

// seen hears how everything is.
func (v *Vip) seen(s *speaker.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.speaker.Realtime = s.Realtime
	for i := range s.Instances {
		n := &s.Instances[i]
		r := v.routers[n.VIP]
		if r == nil {
			continue
		}
		f := r.family(n.Family)
		if f == nil {
			continue
		}
		r.refused(f, n, time.Now())
		f.seen = n
		if n.State != f.state { // the word about a change did not come
			r.set(f, n.State, n.Reason, n.Since)
			r.group.settle(n.Reason, n.Since)
		}
	}
}

// forget makes everything as it was at the start: nothing is known of the speaker. mu is held.
func (v *Vip) forget(why string) {
	if v.phase == released {
		return // another process goes on
	}
	now := time.Now()
	for _, r := range v.routers {
		for _, f := range r.families {
			f.seen = nil
			r.set(f, vrrp.Initialize, why, now)
		}
	}
	for _, g := range v.groups {
		g.settle(why, now)
	}
}

// set makes one transition of one family.
func (r *router) set(f *family, to vrrp.State, reason string, at time.Time) {
	if f.state == to {
		f.reason = reason
		return
	}
	t := Transition{Time: at, Family: f.number, From: f.state, To: to, Reason: reason}
	if len(r.history) == maxTransitions {
		r.history = r.history[1:]
	}
	r.history = append(slices.Clip(r.history), t)
	f.state, f.reason, f.since = to, reason, at
	f.became[to]++
	level := slog.LevelInfo
	if to == vrrp.Fault {
		level = slog.LevelWarn
	}
	r.v.log.Log(context.Background(), level, "vip changed state", "vip", r.w.c.Name, "family", f.number, "from", t.From, "to", to, "reason", reason)
}

// worst is the state of what is owned together: master only as a whole, and in trouble if anything is.
func (g *group) worst() vrrp.State {
	worst := vrrp.Master
	for _, r := range g.routers {
		for _, f := range r.families {
			if badness(f.state) > badness(worst) {
				worst = f.state
			}
		}
	}
	return worst
}

func badness(s vrrp.State) int {
	return slices.Index([]vrrp.State{vrrp.Master, vrrp.Backup, vrrp.Initialize, vrrp.Fault}, s)
}

// owned reports whether any address of the group may be here. It is true from the first to the last moment, while worst is
// the opposite.
func (g *group) owned() bool {
	return slices.ContainsFunc(g.routers, func(r *router) bool {
		return slices.ContainsFunc(r.families, func(f *family) bool { return f.state == vrrp.Master })
	})
}

// settle gives the vips of the group their common state.
func (g *group) settle(reason string, at time.Time) {
	state := g.worst()
	for _, r := range g.routers {
		if r.state != state {
			r.become(state, reason, at)
		}
	}
}

// become is a change of state of the vip, of which the notify command is told.
func (r *router) become(state vrrp.State, reason string, at time.Time) {
	r.notifier.put(note{
		command: r.w.c.Notify, limit: r.w.c.NotifyLimit, from: r.state, to: state, reason: reason,
		node: r.v.plan.node, addresses: r.w.addresses,
	})
	r.state, r.reason, r.since = state, reason, at
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
