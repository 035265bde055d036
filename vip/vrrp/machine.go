package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Machine is one virtual router of a [Group]. Events go through the group, whose state is the state of all its machines.
type Machine struct {
	s        Settings
	group    *Group
	priority uint8 // effective
	password [passwordSize]byte
	rollout  rollout

	deadline  timer // backup: when the master is missed; master: when the next advertisement is due
	preemptAt timer // from when a lesser master is not waited for any more
	again     timer // master: the second round of announcements
	reminder  timer // master: from when the next advertisement is followed by an announcement of one address
	turn      int   // whose turn that is
	wants     bool  // backup: its time has come, but it waits for the rest of its group

	learned time.Duration // the master's interval
	heard   heard
	fault   string // why it cannot be owner; "" is no fault
	faulty  bool

	sent       Time // the last advertisement
	answerable Time // from when an advertisement out of turn may be sent
	putOff     bool // the next advertisement is an answer that came too early
	contended  bool // another master is beside us, so that the next advertisement is followed by announcements
	plain      bool // the peer that was heard last leaves the pseudo-header out

	reason   string
	since    Time
	counters Counters
	refused  [refusals]uint64
}

// heard is what a backup knows of the others.
type heard struct {
	from     netip.Addr // the last who advertised, with a priority above 0
	priority uint8
	at       Time
	gaveUp   netip.Addr // who has said priority 0 since
	silent   bool       // it has not been heard for so long that this machine's time has come
}

// State is that of the whole group.
func (m *Machine) State() State { return m.group.state }

// Reason is why the last transition took place, or what the fault is.
func (m *Machine) Reason() string { return m.reason }

// Since is when the last transition took place.
func (m *Machine) Since() Time { return m.since }

// Priority is the effective one.
func (m *Machine) Priority() uint8 { return m.priority }

// Master is who advertises, if this machine is a backup; the zero Addr if nobody does.
func (m *Machine) Master() netip.Addr {
	if m.group.state != Backup || m.heard.silent {
		return netip.Addr{}
	}
	return m.heard.from
}

// Counters are a copy.
func (m *Machine) Counters() Counters {
	c := m.counters
	c.Refused = map[string]uint64{}
	for r, n := range m.refused {
		if n > 0 {
			c.Refused[Refusal(r).Error()] = n
		}
	}
	return c
}

// Settings are those of [NewGroup] or the last [Group.Configure]; its slices must not be changed.
func (m *Machine) Settings() Settings { return m.s }

// name tells the machines of a group apart.
func (m *Machine) name() string {
	if m.v4() {
		return fmt.Sprintf("router %d over IPv4", m.s.RouterID)
	}
	return fmt.Sprintf("router %d over IPv6", m.s.RouterID)
}

func (m *Machine) v4() bool { return m.s.Source.Is4() }

// set takes settings over; they have been checked.
func (m *Machine) set(s Settings) {
	s.Addresses, s.Peers = slices.Clone(s.Addresses), slices.Clone(s.Peers)
	if s.Checksum == "" {
		s.Checksum = Auto
	}
	m.s, m.password = s, password(s.Password)
}

// owner says whether the virtual address is this node's own one: it begins as master and always preempts (RFC 9568 section 6.1).
func (m *Machine) owner() bool { return m.s.Priority == OwnerPriority }

// fresh forgets what was heard; the interval is the own one until another is learned.
func (m *Machine) fresh() {
	m.learned = m.s.Interval
	m.heard = heard{}
	m.preemptAt.stop()
	m.wants = false
}

// advert is what this machine says.
func (m *Machine) advert(priority uint8) Advert {
	a := Advert{Version: m.s.Version, RouterID: m.s.RouterID, Priority: priority, Interval: m.s.Interval, Addresses: m.s.Addresses}
	if m.s.Password != "" {
		a.Auth, a.Password = authPass, m.password
	}
	return a
}

// withoutPseudoHeader is how the checksum of the next advertisement is made.
func (m *Machine) withoutPseudoHeader() bool {
	return m.s.Checksum == RFC9568 || m.s.Checksum == Auto && m.plain
}
