package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// world is several nodes on several links, with a clock of its own: the simulation of which the property test plays many.
//
//   - A node has one group; machine i of every node's group is on link i.
//   - A packet takes a delay, may be lost, doubled and overtaken; links between two nodes may be cut, in one direction, too.
//   - A node may be dead (no process; what it has left on its interfaces stays there until it starts again), asleep (its packets
//     wait in the socket) or released (between two processes).
//   - Every action is carried out at once and compared with what a machine may do (see node.do).
type world struct {
	rng     *rand.Rand
	now     Time
	nodes   []*node
	flying  []packet // ordered by time
	spare   [][]byte // payloads that have landed
	loss    float64
	double  float64
	delay   time.Duration // at most
	trace   func(format string, args ...any)
	failure string
}

type packet struct {
	at       Time
	link     int
	from, to int
	Received
}

type node struct {
	w        *world
	id       int
	settings []Settings
	group    *Group // nil: dead, or released
	held     [][]netip.Addr
	cut      [][]bool // by link and sender: is not heard
	fault    []bool
	released []Snapshot
	wakes    Time // asleep until then
	resumes  timer
	late     time.Duration // by how much its ticks come too late
	inbox    []packet      // while it sleeps
	changed  Time          // the last transition
	due      Time          // the group's deadline, after its last event
	ticks    bool          // it has one
	last     []Time        // the last advertisement of each machine
}

func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("%v: %s", w.now, fmt.Sprintf(format, args...))
		w.say("FAILED: %s", w.failure)
	}
}

func (w *world) say(format string, args ...any) {
	if w.trace != nil {
		w.trace("%12v  "+format, append([]any{w.now}, args...)...)
	}
}

func (n *node) say(format string, args ...any) {
	if n.w.trace != nil {
		n.w.say("node %d: "+format, append([]any{n.id}, args...)...)
	}
}

// run plays the world until a moment.
func (w *world) run(until Time) {
	for w.failure == "" {
		next, what := until, -1
		for i, n := range w.nodes {
			if at, ok := n.next(); ok && at < next {
				next, what = max(at, w.now), i
			}
		}
		if len(w.flying) > 0 && w.flying[0].at < next {
			p := w.flying[0]
			w.flying = slices.Delete(w.flying, 0, 1)
			w.now = max(w.now, p.at)
			w.land(p)
			continue
		}
		w.now = next
		if what < 0 {
			return
		}
		w.nodes[what].wake()
	}
}

// next is when the node has something to do by itself.
func (n *node) next() (Time, bool) {
	switch {
	case n.wakes > n.w.now:
		return n.wakes, true
	case len(n.inbox) > 0:
		return n.w.now, true
	case n.resumes.set:
		return n.resumes.at, true
	case n.group == nil:
		return 0, false
	}
	return n.due + n.late, n.ticks
}

func (n *node) wake() {
	switch {
	case n.wakes > n.w.now:
		return // run has only come to that moment
	case len(n.inbox) > 0: // what waits in the socket comes before the clock
		waiting := n.inbox
		n.inbox = nil
		for _, p := range waiting {
			n.w.land(p)
		}
	case n.resumes.set:
		n.resume()
	default:
		n.do("tick", func() []Action { return n.group.Tick(n.w.now) })
		if at, ok := n.group.Deadline(); ok && at <= n.w.now {
			n.w.fail("node %d: deadline %v after a tick: it would spin", n.id, at)
		}
	}
}

func (w *world) land(p packet) {
	n := w.nodes[p.to]
	switch {
	case n.wakes > w.now:
		if len(n.inbox) < 64 {
			n.inbox = append(n.inbox, p)
			return
		}
	case n.group != nil:
		if w.trace != nil {
			a, _, err := Parse(p.Received)
			n.say("link %d: hears node %d: priority %d, interval %v, %v", p.link, p.from, a.Priority, a.Interval, err)
		}
		n.do("receive", func() []Action { return n.group.Receive(w.now, n.group.machines[p.link], p.Received) })
	}
	w.spare = append(w.spare, p.Payload)
}

// send puts a packet into the air, once for everybody who shall hear it.
func (w *world) send(from *node, link int, a *Action) {
	for _, to := range w.nodes {
		s := &to.settings[link]
		if to == from || to.cut[link][from.id] || from.fault[link] || to.fault[link] || a.Dst.IsMulticast() == (len(s.Peers) > 0) || !a.Dst.IsMulticast() && a.Dst != s.Source {
			continue
		}
		copies := 1
		if w.rng.Float64() < w.double {
			copies = 2
		}
		for range copies {
			if w.rng.Float64() < w.loss {
				continue
			}
			p := packet{at: w.now + time.Duration(w.rng.Int64N(int64(w.delay))), link: link, from: from.id, to: to.id}
			p.Src, p.Dst, p.TTL = from.settings[link].Source, a.Dst, 255
			if k := len(w.spare); k > 0 {
				p.Payload, w.spare = w.spare[k-1][:0], w.spare[:k-1]
			}
			p.Payload = append(p.Payload, a.Payload...)
			i := len(w.flying)
			for i > 0 && w.flying[i-1].at > p.at {
				i--
			}
			w.flying = slices.Insert(w.flying, i, p)
		}
	}
}

// do carries one event's actions out, and checks what must hold at any time, whatever the network does.
func (n *node) do(what string, event func() []Action) {
	g, before := n.group, n.group.state
	slept := false
	for i, m := range g.machines {
		slept = slept || before == Master && n.w.now-n.last[i] > downAdverts*m.s.Interval
	}
	state := before
	changes := 0
	actions := event()
	n.due, n.ticks = g.Deadline()
	for i := range actions {
		a := &actions[i]
		link := slices.Index(g.machines, a.Machine)
		switch a.Kind {
		case Send:
			if slept {
				n.w.fail("node %d: speaks after it has slept", n.id)
			}
			n.last[link] = n.w.now
			n.w.send(n, link, a)
		case Own:
			n.say("link %d: owns %v", link, a.Addresses)
			for _, ip := range a.Addresses {
				if slices.Contains(n.held[link], ip) {
					n.w.fail("node %d, link %d: owns %v twice", n.id, link, ip)
				}
				n.held[link] = append(n.held[link], ip)
			}
		case Disown:
			n.say("link %d: disowns %v", link, a.Addresses)
			for _, ip := range a.Addresses {
				i := slices.Index(n.held[link], ip)
				if i < 0 {
					n.w.fail("node %d, link %d: disowns %v, which it does not have", n.id, link, ip)
					return
				}
				n.held[link] = slices.Delete(n.held[link], i, i+1)
			}
		case Announce:
			for _, ip := range a.Addresses {
				if !slices.Contains(n.held[link], ip) {
					n.w.fail("node %d, link %d: announces %v, which it does not have", n.id, link, ip)
				}
			}
		case Changed:
			n.say("link %d: %s -> %s: %s", link, a.From, a.To, a.Reason)
			if what != "resume" && a.From != before && changes < len(g.machines) || a.Reason == "" || a.From == a.To {
				n.w.fail("node %d: %s: transition from %s to %s (%q), but it was %s", n.id, what, a.From, a.To, a.Reason, before)
			}
			changes++
			state, n.changed = a.To, n.w.now
		}
	}
	if len(actions) == 0 && before == g.state && what == "receive" {
		return // nothing can be wrong
	}
	if what != "resume" && state != g.state || changes%len(g.machines) != 0 {
		n.w.fail("node %d: %s: the transitions end in %s, the state is %s", n.id, what, state, g.state)
	}
	for i, m := range g.machines {
		var want []netip.Addr
		if g.state == Master {
			want = m.s.Addresses
		}
		if !sameSet(n.held[i], want) {
			n.w.fail("node %d, link %d: %s: holds %v in state %s", n.id, i, what, n.held[i], g.state)
		}
	}
}

func sameSet(a, b []netip.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	for _, ip := range a {
		if !slices.Contains(b, ip) {
			return false
		}
	}
	return true
}

// start is a new process: it removes what another one has left, and begins.
func (n *node) start() {
	g, err := NewGroup(n.settings...)
	if err != nil {
		n.w.fail("node %d: %v", n.id, err)
		return
	}
	n.say("starts")
	n.group, n.resumes = g, timer{}
	for i := range n.held {
		n.held[i] = n.held[i][:0]
	}
	n.tellFaults()
	n.do("start", func() []Action { return g.Start(n.w.now) })
}

func (n *node) tellFaults() {
	for i, m := range n.group.machines {
		n.do("fault", func() []Action { return n.group.Fault(n.w.now, m, n.fault[i], "no carrier") })
	}
}

func (n *node) crash() {
	n.say("crashes, holding %v", n.held)
	n.group, n.resumes = nil, timer{}
}

func (n *node) release(gap time.Duration) {
	n.say("releases for %v in state %s", gap, n.group.state)
	n.released = n.group.Release(n.w.now)
	n.group = nil
	n.resumes.arm(n.w.now + gap)
}

func (n *node) resume() {
	g, err := NewGroup(n.settings...)
	if err != nil {
		n.w.fail("node %d: %v", n.id, err)
		return
	}
	n.say("resumes")
	n.resumes.stop()
	n.group = g
	for i, m := range g.machines {
		g.Fault(n.w.now, m, n.fault[i], "no carrier")
	}
	n.do("resume", func() []Action { return g.Resume(n.w.now, n.released) })
}
