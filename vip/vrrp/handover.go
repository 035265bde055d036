package vrrp

import (
	"net/netip"
	"slices"
)

// Yield hands over now: a master says priority 0 and becomes a backup that waits as long as any other one of its priority, so that the
// others go first; if there is none it returns.
func (g *Group) Yield(now Time, reason string) []Action {
	g.begin(now)
	if g.state == Master {
		g.leave(now, Backup, true, nil, reason)
	}
	return g.actions
}

// Release falls silent and leaves everything as it is: no priority 0, no Disown. Another process goes on with what is returned,
// in the order of [Group.Machines]; Link is left to the caller. If this one has slept, Resume will see it.
func (g *Group) Release(Time) []Snapshot {
	var all []Snapshot
	for _, m := range g.machines {
		s := Snapshot{
			Version: m.s.Version, RouterID: m.s.RouterID, IPv6: !m.v4(), State: g.state, Priority: m.priority, Addresses: slices.Clone(m.s.Addresses),
			Deadline: m.deadline.at, Sent: m.sent, Learned: m.learned, Plain: m.plain,
			Since: m.since, Reason: m.reason, Counters: m.Counters(),
		}
		m.rollout.save(&s)
		all = append(all, s)
	}
	g.state = Initialize
	return all
}

// Resume starts where another process has released. A master stays one without a transition: it advertises and announces once, owns
// and disowns what the settings have more and less than the other process had, and nothing else happens. If it cannot stay (too
// much time has gone by, a machine has a fault, a snapshot is missing) everything that the other process has left is disowned.
//
// Snapshots belong to the machines in their order, as far as version, router ID and family fit.
func (g *Group) Resume(now Time, snapshots []Snapshot) []Action {
	g.begin(now)
	if g.state != Initialize {
		return g.actions
	}
	owned := make([][]netip.Addr, len(g.machines))
	masters, backups := 0, 0
	for i, m := range g.machines {
		s := m.find(&snapshots)
		if s == nil {
			continue
		}
		m.restore(now, s)
		switch s.State {
		case Master:
			owned[i] = s.Addresses
			if s.Sent <= now { // else it is from before the machine was started: nobody has advertised for it
				masters++
			}
		case Backup:
			backups++
		}
	}
	cause := g.faulty()
	switch {
	case masters == len(g.machines):
		g.state = Master
		g.resumeMaster(now, owned)
		return g.actions
	case backups == len(g.machines) && cause == nil:
		g.state = Backup
		return g.actions
	case backups == len(g.machines):
		g.state = Backup
		g.leave(now, Fault, false, cause, cause.fault)
		return g.actions
	}
	for i, m := range g.machines {
		if len(owned[i]) > 0 {
			g.act(Action{Kind: Disown, Machine: m, Addresses: owned[i]})
		}
	}
	g.start(now, false)
	return g.actions
}

func (g *Group) resumeMaster(now Time, owned [][]netip.Addr) {
	// Whatever makes it leave disowns what is there, which is what the other process had.
	wanted := make([][]netip.Addr, len(g.machines))
	for i, m := range g.machines {
		wanted[i], m.s.Addresses = m.s.Addresses, owned[i]
	}
	g.begin(now) // it may have taken too long
	if m := g.faulty(); m != nil && g.state == Master {
		g.leave(now, Fault, true, m, m.fault)
	} else if m != nil {
		g.leave(now, Fault, false, m, m.fault)
	}
	for i, m := range g.machines {
		m.s.Addresses = wanted[i]
	}
	if g.state != Master {
		return
	}
	for _, m := range g.machines {
		m.learned = m.s.Interval // until here that of the other process
		m.answerable = now
		m.reminder.arm(now + remindEvery)
		g.advertise(now, m)
	}
	for i, m := range g.machines {
		g.exchange(m, owned[i])
		g.announce(m, 1)
	}
}

// find takes the first snapshot of this machine out of the list.
func (m *Machine) find(list *[]Snapshot) *Snapshot {
	for i, s := range *list {
		if s.Version == m.s.Version && s.RouterID == m.s.RouterID && s.IPv6 == !m.v4() {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			return &s
		}
	}
	return nil
}

// restore believes a snapshot as far as it makes sense.
func (m *Machine) restore(now Time, s *Snapshot) {
	m.fresh()
	m.rollout.restore(s)
	m.rollout.begin(now, s.Addresses, m.s.Addresses)
	if s.Learned > 0 && (m.s.Version == 3 || s.State == Master) {
		m.learned = s.Learned
	}
	if s.Priority > 0 && !m.owner() {
		m.priority = min(s.Priority, OwnerPriority-1)
	}
	m.deadline.arm(min(s.Deadline, now+m.s.StartDelay+m.masterDown()))
	m.sent, m.plain, m.since, m.reason = s.Sent, s.Plain, s.Since, s.Reason
	m.counters = s.Counters
	for r := range refusals {
		m.refused[r] = s.Counters.Refused[Refusal(r).Error()]
	}
}
