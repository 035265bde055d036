package vrrp

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
// in the order of [Group.Machines]; Link is left to the caller.
func (g *Group) Release(now Time) []Snapshot {
	g.begin(now)
	var all []Snapshot
	for _, m := range g.machines {
		all = append(all, Snapshot{
			Version: m.s.Version, RouterID: m.s.RouterID, IPv6: !m.v4(), State: g.state, Priority: m.priority,
			Deadline: m.deadline.at, Sent: m.sent, Learned: m.learned, Plain: m.plain,
			Since: m.since, Reason: m.reason, Counters: m.Counters(),
		})
	}
	g.state = Initialize
	return all
}

// Resume starts where another process has released. A master stays one without a transition: it advertises and announces once, and
// nothing else happens. If it cannot stay (too much time has gone by, a machine has a fault, a snapshot is missing) the
// first actions are Disown, as the other process has left the addresses.
//
// Snapshots belong to the machines in their order, as far as version, router ID and family fit.
func (g *Group) Resume(now Time, snapshots []Snapshot) []Action {
	g.begin(now)
	if g.state != Initialize {
		return g.actions
	}
	masters, backups := 0, 0
	for _, m := range g.machines {
		s := m.find(&snapshots)
		if s == nil {
			continue
		}
		m.restore(s)
		switch s.State {
		case Master:
			masters++
			m.wants = true // for a moment: it marks those whose addresses are here
		case Backup:
			backups++
		}
	}
	switch len(g.machines) {
	case masters:
		g.state = Master
		g.resumeMaster(now)
	case backups:
		g.state = Backup
		if m := g.faulty(); m != nil {
			g.leave(now, Fault, false, m, m.fault)
		}
	default:
		for _, m := range g.machines {
			if m.wants {
				g.act(Action{Kind: Disown, Machine: m, Addresses: m.s.Addresses})
			}
		}
		g.start(now, false)
	}
	return g.actions
}

func (g *Group) resumeMaster(now Time) {
	for _, m := range g.machines {
		m.wants = false
	}
	if g.begin(now); g.state != Master {
		return // it took too long
	}
	if m := g.faulty(); m != nil {
		g.leave(now, Fault, true, m, m.fault)
		return
	}
	for _, m := range g.machines {
		m.answerable = now
		g.advertise(now, m)
	}
	for _, m := range g.machines {
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
func (m *Machine) restore(s *Snapshot) {
	m.fresh()
	if s.Learned > 0 {
		m.learned = s.Learned
	}
	if s.Priority > 0 && !m.owner() {
		m.priority = min(s.Priority, OwnerPriority-1)
	}
	m.deadline.arm(s.Deadline)
	m.sent, m.plain, m.since, m.reason = s.Sent, s.Plain, s.Since, s.Reason
	m.counters = s.Counters
	for r := range refusals {
		m.refused[r] = s.Counters.Refused[Refusal(r).Error()]
	}
}
