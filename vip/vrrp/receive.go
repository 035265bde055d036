package vrrp

import (
	"crypto/subtle"
	"fmt"
	"net/netip"
)

// Receive takes what came for m. What is not taken is counted, see [Refusal].
func (g *Group) Receive(now Time, m *Machine, r Received) []Action {
	g.begin(now)
	if g.state == Initialize {
		return g.actions
	}
	src := bare(r.Src)
	plain, why, ok := m.accept(now, &g.advert, r, src)
	if !ok {
		m.refused[why]++
		return g.actions
	}
	m.plain = plain
	m.counters.Received++
	if g.advert.Priority == stopPriority {
		m.counters.ReceivedZero++
	}
	switch g.state {
	case Backup:
		m.backupHears(now, src, &g.advert)
	case Master:
		g.masterHears(now, m, src, &g.advert)
	}
	return g.actions
}

// accept makes the checks of RFC 9568 section 7.1 and of keepalived, in keepalived's order, but for those of the list: they come last,
// as the list of whoever is a peer in all else is evidence.
func (m *Machine) accept(now Time, a *Advert, r Received, src netip.Addr) (plain bool, why Refusal, ok bool) {
	if why, ok = a.header(r); !ok {
		return false, why, false
	}
	switch wanted := m.advert(0); {
	case a.RouterID != m.s.RouterID:
		return false, RefusedRouterID, false
	case src == bare(m.s.Source):
		return false, RefusedOwn, false
	case r.TTL != 255 && !m.s.Far:
		return false, RefusedTTL, false
	case a.Version != m.s.Version:
		return false, RefusedVersion, false
	case a.Auth != wanted.Auth:
		return false, RefusedAuthType, false
	case a.Auth == authPass && subtle.ConstantTimeCompare(a.Password[:], wanted.Password[:]) == 0:
		return false, RefusedPassword, false
	case a.Version == 2 && a.Interval != m.s.Interval:
		return false, RefusedInterval, false
	case r.Payload[0]&0x0f != typeAdvert:
		return false, RefusedType, false
	}
	if plain, why, ok = a.body(r); !ok {
		return false, why, false
	}
	dst := bare(r.Dst)
	switch unicast := len(m.s.Peers) > 0; {
	case unicast && dst.IsMulticast(), !unicast && dst != Multicast(!m.v4()):
		return false, RefusedDestination, false
	case unicast && !contains(m.s.Peers, src), src.Is4() != m.v4():
		return false, RefusedSource, false
	case m.rollout.hears(now, m.s.Addresses, a.Addresses):
		return plain, 0, true
	case len(a.Addresses) != len(m.s.Addresses):
		return false, RefusedCount, false
	}
	return false, RefusedAddresses, false
}

// includes compares each with its place first: peers of the same configuration have the same order.
func includes(list, all []netip.Addr) bool {
	for i, a := range all {
		if list[i] != a && !contains(list, a) {
			return false
		}
	}
	return true
}

// backupHears is RFC 9568 section 6.4.2, and keepalived's delay of preemption.
func (m *Machine) backupHears(now Time, src netip.Addr, a *Advert) {
	if a.Priority == stopPriority {
		m.heard = heard{gaveUp: src}
		m.hurry(now + m.skew())
		return
	}
	m.heard = heard{from: src, priority: a.Priority, at: now}
	switch {
	case a.Priority >= m.priority:
		m.preemptAt.stop()
	case m.priority >= m.s.Floor && a.Priority < m.s.Floor:
		// It serves nobody and holds the addresses only because nobody else does. Repetitions must not put this off.
		m.learn(a)
		m.hurry(now + m.skew())
		return
	case m.s.Preempt || m.owner():
		if !m.preemptAt.set {
			m.preemptAt.arm(now + m.s.PreemptDelay)
		}
		if m.preemptAt.due(now) {
			return // the time runs on
		}
	}
	m.learn(a)
	m.wants = false
	m.deadline.arm(now + m.masterDown())
	m.standBack(now, src, a)
}

// learn takes the interval of a master over: in version 3 it need not be the own one. That of version 2 has been compared.
func (m *Machine) learn(a *Advert) { m.learned = a.Interval }

// hurry lets the time come earlier, never later.
func (m *Machine) hurry(at Time) {
	if !m.wants && m.deadline.at > at {
		m.deadline.arm(at)
	}
}

// masterHears is RFC 9568 section 6.4.3. Older RFCs discarded what a lesser master says; as keepalived we answer it.
func (g *Group) masterHears(now Time, m *Machine, src netip.Addr, a *Advert) {
	if a.Priority == stopPriority {
		g.answer(now, m) // the backups that have heard it must not start
		return
	}
	m.counters.MastersBeside++
	if !m.better(src, a) {
		m.contended = true
		m.again.arm(now + announceDelay)
		if g.answer(now, m) {
			g.announce(m, 1)
		}
		return
	}
	if m.priority == OwnerPriority {
		m.priority-- // two owners are a mistake of the configuration; without this both would always begin as master
	}
	m.learn(a)
	m.heard = heard{from: src, priority: a.Priority, at: now}
	g.leave(now, Backup, false, m, fmt.Sprintf("%v advertises %d", src, a.Priority))
	g.thrown.arm(now + m.learned)
	m.standBack(now, src, a)
}

// better says whether another machine's advertisement beats this one's: by its priority, and between equals by its address.
func (m *Machine) better(src netip.Addr, a *Advert) bool {
	return a.Priority > m.priority || a.Priority == m.priority && bare(m.s.Source).Less(src)
}

// standBack puts the time of a group off by an interval, if it has just been thrown out and is not the best by its lead; see Group.
func (m *Machine) standBack(now Time, src netip.Addr, a *Advert) {
	g := m.group
	if m == g.lead && len(g.machines) > 1 && g.thrown.set && !g.thrown.due(now) && m.better(src, a) {
		m.deadline.at += m.learned
	}
}

// answer sends an advertisement out of turn, or puts it off if the last one was a moment ago.
func (g *Group) answer(now Time, m *Machine) bool {
	if now < m.answerable {
		if m.deadline.at > m.answerable {
			m.deadline.arm(m.answerable)
			m.putOff = true
		}
		return false
	}
	m.answerable = now + m.s.Interval/answersPerInterval
	g.advertise(now, m)
	return true
}
