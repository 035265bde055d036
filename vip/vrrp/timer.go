package vrrp

import "time"

const (
	// downAdverts is how many intervals a master may be silent (RFC 9568 section 6.1, Active_Down_Interval).
	downAdverts = 3

	// announceCount is how often a new master says where the addresses are, and after announceDelay as often again: the first
	// ones may be lost in a switch that has just lost a port. Both are keepalived's (garp_master_repeat, garp_master_delay).
	announceCount = 5
	announceDelay = 5 * time.Second

	// remindEvery is how often a master says where one of its addresses is, each in its turn. After a partition in which there were two
	// masters, the network may believe the one that has given in; if it heard the other one before it could say a word itself,
	// that one does not even know that there is something to put right (keepalived issue 166, where it stays so). One frame
	// a second is less than the advertisements are.
	remindEvery = time.Second

	// answersPerInterval limits the advertisements out of turn that others can cause. Two masters who each take the other for the
	// lesser one (a translated source address does that) would else answer each other's answers as fast as the wire allows. An
	// answer that came too early is not lost, as a backup that has heard a priority 0 counts on it: it is put off until it is due,
	// by at most an eighth of an interval.
	answersPerInterval = 8
)

// timer is a moment that may not be set.
type timer struct {
	at  Time
	set bool
}

func (t *timer) arm(at Time)       { *t = timer{at: at, set: true} }
func (t *timer) stop()             { *t = timer{} }
func (t *timer) due(now Time) bool { return t.set && now >= t.at }
func (t *timer) earliest(o timer) {
	if o.set && (!t.set || o.at < t.at) {
		*t = o
	}
}

// skew is by how much a backup is later than the best possible one (RFC 3768 and RFC 9568 section 6.1). The lead's priority
// counts for all machines of a group, see [Group].
func (m *Machine) skew() time.Duration {
	interval := m.learned
	if m.s.Version == 2 {
		interval = time.Second
	}
	return time.Duration(256-int(m.group.lead.priority)) * interval / 256
}

// masterDown is how long a backup waits for a master.
func (m *Machine) masterDown() time.Duration { return downAdverts*m.learned + m.skew() }
