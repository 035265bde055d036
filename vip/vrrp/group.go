package vrrp

import (
	"cmp"
	"errors"
	"fmt"
)

// Group is one or more machines that are owned together, as a sync group of keepalived: all are master on one node, or none is.
//
// The states, and what leads from one to another (RFC 9568 section 6.4, and what the group adds):
//
//	init    --Start-->                  backup; fault if a machine has one; master if all machines are owners (priority 255)
//	backup  --time has come-->          master, once the time of every machine of the group has come
//	master  --hears a better one-->     backup, silently: the other one has taken over already
//	master  --Yield-->                  backup, with priority 0, and waits as long as any other backup
//	master  --slept-->                  backup, silently: others may have taken over meanwhile
//	any     --Fault of one machine-->   fault, with priority 0 if it was master; it hears nothing
//	fault   --last fault is gone-->     backup; master if all are owners
//	any     --Stop-->                   init, with priority 0 if it was master
//	any     --Release-->                init, silently and with the addresses left where they are: another process resumes
//
// The time of a backup comes when it has heard no master for three intervals and its skew, which is the shorter the higher its
// priority is; or the skew alone after one said priority 0, or advertised less than Floor. A master that is as good puts the time
// off with each advertisement; one that is worse does so only if this machine must not preempt it, or not yet.
//
// The skew of all machines of a group follows the priority of one, the lead (of the lowest router ID), which is the same on all
// nodes: where two nodes come first by different machines of the group, neither could ever be master of all, as both would
// always speak at the same time, each hear a better one for one of its machines, and both fall silent. As it is, one
// of them is first. Where the leads have equal priorities, the addresses must decide: a group that was thrown out, and hears within
// an interval a better lead than its own, waits one interval more before it tries again.
//
// A machine whose time has come keeps that in mind until it accepts an advertisement, so that the machines of a group need not
// come to it in the same moment; keepalived arms the timer again and again instead.
//
// The actions that a method returns, and their payloads, are valid until the next call. A Group is for one goroutine.
type Group struct {
	machines []*Machine
	lead     *Machine
	state    State
	thrown   timer // a better master has ended this one's time; until then others may say that they are better, too
	actions  []Action
	buffer   []byte // of the payloads
	advert   Advert // that is being received
}

// NewGroup makes a group, which does nothing before [Group.Start].
func NewGroup(s ...Settings) (*Group, error) {
	if len(s) == 0 {
		return nil, errors.New("vrrp: a group has no machine")
	}
	g := &Group{state: Initialize}
	for i := range s {
		if err := s[i].check(); err != nil {
			return nil, fmt.Errorf("vrrp: router %d: %w", s[i].RouterID, err)
		}
		m := &Machine{group: g, priority: s[i].Priority, learned: s[i].Interval}
		m.set(s[i])
		g.machines = append(g.machines, m)
		if g.lead == nil || m.before(g.lead) {
			g.lead = m
		}
	}
	return g, nil
}

// before orders machines in a way that is the same on all nodes.
func (m *Machine) before(o *Machine) bool {
	family := func(m *Machine) int { return m.s.Source.BitLen() }
	return cmp.Or(
		cmp.Compare(m.s.RouterID, o.s.RouterID),
		cmp.Compare(family(m), family(o)),
		m.s.Addresses[0].Compare(o.s.Addresses[0])) < 0
}

// Machines are in the order of [NewGroup].
func (g *Group) Machines() []*Machine { return g.machines }

// Start begins the election.
func (g *Group) Start(now Time) []Action {
	g.begin(now)
	if g.state == Initialize {
		g.start(now, true)
	}
	return g.actions
}

// Stop gives everything up. Start begins again.
func (g *Group) Stop(now Time) []Action {
	g.begin(now)
	if g.state != Initialize {
		g.leave(now, Initialize, true, nil, "stopped")
	}
	return g.actions
}

// SetPriority changes the effective priority, 1 - 254. A master says so at once. That of an owner (255) never changes.
func (g *Group) SetPriority(now Time, m *Machine, p uint8) []Action {
	g.begin(now)
	if p = min(max(p, 1), OwnerPriority-1); m.owner() || m.priority == p {
		return g.actions
	}
	m.priority = p
	if g.state == Master {
		g.advertise(now, m)
	}
	return g.actions
}

// Fault says whether m could not own its addresses if it wanted, and why: one switch with the reason that is shown, not a set
// of reasons. Whoever knows several faults says on while there is any. It may be called before Start.
func (g *Group) Fault(now Time, m *Machine, on bool, reason string) []Action {
	g.begin(now)
	m.faulty, m.fault = on, reason
	if g.state == Initialize {
		return g.actions
	}
	switch cause := g.faulty(); {
	case cause == nil && g.state == Fault:
		g.start(now, false)
	case cause == nil:
	case g.state == Fault:
		g.explain(cause, cause.fault) // another one is left, or the reason is another
	default:
		g.leave(now, Fault, true, cause, cause.fault)
	}
	return g.actions
}

func (g *Group) faulty() *Machine {
	for _, m := range g.machines {
		if m.faulty {
			return m
		}
	}
	return nil
}

// Deadline is when Tick has something to do; false if only an event can change anything. It may have changed after any call.
func (g *Group) Deadline() (Time, bool) {
	var next timer
	for _, m := range g.machines {
		if g.state == Master || g.state == Backup && !m.wants {
			next.earliest(m.deadline)
		}
		if g.state == Master {
			next.earliest(m.again)
		}
	}
	return next.at, next.set
}

// Tick is called at the Deadline; more often is harmless. Whoever has advertisements waiting in a socket hands them in first: what
// was said in time counts, even if it was heard late.
func (g *Group) Tick(now Time) []Action {
	g.begin(now)
	switch g.state {
	case Master:
		for _, m := range g.machines {
			g.tickMaster(now, m)
		}
	case Backup:
		for _, m := range g.machines {
			m.tickBackup(now)
		}
		g.tryMaster(now)
	}
	return g.actions
}

func (g *Group) tickMaster(now Time, m *Machine) {
	if m.deadline.due(now) {
		due := m.deadline.at
		if m.putOff {
			m.answerable = now + m.s.Interval/answersPerInterval
		}
		g.advertise(now, m)
		// The beat does not drift with the caller's lateness, unless that is more than an interval.
		if next := due + m.s.Interval; next > now {
			m.deadline.arm(next)
		}
		if m.contended {
			m.contended = false
			g.announce(m, announceCount)
		}
		g.remind(now, m)
	}
	if m.again.due(now) {
		m.again.stop()
		g.announce(m, announceCount)
	}
}

// tickBackup notes that the time of a backup has come. If this call comes later than a master may be silent, this node has slept:
// that it has heard nothing means nothing, and it has to listen first.
func (m *Machine) tickBackup(now Time) {
	if m.wants || !m.deadline.due(now) {
		return
	}
	if now-m.deadline.at > downAdverts*m.learned {
		m.counters.Slept++
		m.deadline.arm(now + m.masterDown())
		return
	}
	m.wants = true
	m.heard.silent = now-m.heard.at >= downAdverts*m.learned
}
