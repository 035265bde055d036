package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// begin opens an event. A master that has not sent for more than three of its intervals was not able to (its process was stopped,
// its virtual machine stalled): the others have elected another one, and it must not say a word before it has listened.
func (g *Group) begin(now Time) {
	g.actions, g.buffer = g.actions[:0], g.buffer[:0]
	if g.state != Master {
		return
	}
	for _, m := range g.machines {
		if silent := now - m.sent; silent > downAdverts*m.learned { // a master's is its own interval
			for _, all := range g.machines {
				all.counters.Slept++
			}
			g.leave(now, Backup, false, m, fmt.Sprintf("slept for %v", silent.Round(time.Millisecond)))
			return
		}
	}
}

// start is the event Startup (RFC 9568 section 6.4.1), and the end of a fault.
func (g *Group) start(now Time, first bool) {
	if m := g.faulty(); m != nil {
		g.leave(now, Fault, false, m, m.fault)
		return
	}
	owners := true
	for _, m := range g.machines {
		m.fresh()
		delay := m.s.StartDelay
		if !first {
			delay = 0
		}
		switch {
		case !m.owner():
			delay += m.masterDown()
			owners = false
		case delay == 0:
			m.wants = true
		default:
			owners = false
		}
		m.deadline.arm(now + delay)
	}
	if owners {
		g.tryMaster(now)
		return
	}
	reason := "started"
	if !first {
		reason = "the fault is gone"
	}
	g.change(now, Backup, nil, reason)
}

// tryMaster makes the group master if every machine wants it.
func (g *Group) tryMaster(now Time) {
	for _, m := range g.machines {
		if !m.wants {
			return
		}
	}
	reason := g.lead.whyMaster()
	// The advertisements leave first, so that an old master lets go before the addresses are here, too.
	for _, m := range g.machines {
		m.fresh()
		m.contended, m.putOff, m.answerable = false, false, now
		g.advertise(now, m)
	}
	for _, m := range g.machines {
		g.act(Action{Kind: Own, Machine: m, Addresses: m.s.Addresses})
	}
	for _, m := range g.machines {
		g.announce(m, announceCount)
		m.again.arm(now + announceDelay)
		m.reminder.arm(now + remindEvery)
	}
	g.change(now, Master, nil, reason)
}

func (m *Machine) whyMaster() string {
	switch {
	case m.heard.gaveUp.IsValid():
		return fmt.Sprintf("%v gave up", m.heard.gaveUp)
	case m.heard.from.IsValid() && m.heard.silent:
		return fmt.Sprintf("%v is not heard any more", m.heard.from)
	case m.heard.from.IsValid():
		return fmt.Sprintf("%v advertises %d, which is less than %d", m.heard.from, m.heard.priority, m.priority)
	case m.owner():
		return "owner"
	}
	return "no master was heard"
}

// leave goes to a state other than master. zero says priority 0, if this was master. cause is the machine that made it go; nil is
// none in particular.
func (g *Group) leave(now Time, to State, zero bool, cause *Machine, reason string) {
	if g.state == Master {
		for _, m := range g.machines {
			if zero {
				g.send(now, m, stopPriority)
				m.counters.SentZero++
			}
		}
		for _, m := range g.machines {
			g.act(Action{Kind: Disown, Machine: m, Addresses: m.s.Addresses})
		}
	}
	for _, m := range g.machines {
		m.again.stop()
		m.reminder.stop()
		m.preemptAt.stop()
		m.wants = false
		m.deadline.stop()
		if to == Backup {
			m.deadline.arm(now + m.masterDown())
		}
	}
	g.change(now, to, cause, reason)
}

// change notes the new state of all machines.
func (g *Group) change(now Time, to State, cause *Machine, reason string) {
	from := g.state
	g.state = to
	g.explain(cause, reason)
	for _, m := range g.machines {
		m.since = now
		switch to {
		case Master:
			m.counters.BecameMaster++
		case Backup:
			m.counters.BecameBackup++
		case Fault:
			m.counters.BecameFault++
		}
		g.act(Action{Kind: Changed, Machine: m, From: from, To: to, Reason: m.reason})
	}
}

// explain says to every machine why; those that had no part in it learn who had.
func (g *Group) explain(cause *Machine, reason string) {
	for _, m := range g.machines {
		m.reason = reason
		if cause != nil && cause != m {
			m.reason = fmt.Sprintf("of the same group: %s: %s", cause.name(), reason)
		}
	}
}

// advertise sends the advertisement of a master; the next one is due in an interval.
func (g *Group) advertise(now Time, m *Machine) {
	m.putOff = false
	m.deadline.arm(now + m.s.Interval)
	g.send(now, m, m.priority)
}

// send counts an advertisement once, to however many peers it goes.
func (g *Group) send(now Time, m *Machine, priority uint8) {
	m.sent = now
	m.counters.Sent++
	a, plain := m.advert(priority), m.withoutPseudoHeader()
	a.Addresses = m.rollout.said(now, m.s.Addresses)
	src := bare(m.s.Source)
	if len(m.s.Peers) == 0 {
		dst := Multicast(!m.v4())
		g.act(Action{Kind: Send, Machine: m, Dst: dst, Payload: g.append(&a, src, dst, plain)})
	}
	for _, peer := range m.s.Peers { // the checksum covers the destination
		g.act(Action{Kind: Send, Machine: m, Dst: peer, Payload: g.append(&a, src, bare(peer), plain)})
	}
}

func (g *Group) announce(m *Machine, times int) {
	for range times {
		g.act(Action{Kind: Announce, Machine: m, Addresses: m.s.Addresses})
	}
}

// remind announces one address, each in its turn.
func (g *Group) remind(now Time, m *Machine) {
	if !m.reminder.due(now) {
		return
	}
	m.reminder.arm(now + remindEvery)
	m.turn %= len(m.s.Addresses) // there may be fewer than there were
	g.act(Action{Kind: Announce, Machine: m, Addresses: m.s.Addresses[m.turn : m.turn+1]})
	m.turn++
}

func (g *Group) act(a Action) { g.actions = append(g.actions, a) }

// append writes a payload into the buffer of this call. If that has to grow, payloads that were written before stay in the old one.
func (g *Group) append(a *Advert, src, dst netip.Addr, plain bool) []byte {
	start := len(g.buffer)
	g.buffer = a.Append(g.buffer, src, dst, plain)
	return g.buffer[start:len(g.buffer):len(g.buffer)]
}
