package vrrp

import (
	"net/netip"
	"slices"
)

// Configure changes the settings of m without disturbing it: a master stays one, and of its addresses only those that were added
// or removed are owned and disowned. It says at once what has changed in its advertisements.
//
// The effective priority follows that of the settings, unless SetPriority has made it another: then only SetPriority changes it.
//
// Not ok means that nothing has changed, as the settings are of another virtual router (version, router ID, family or source
// are others) or not valid; [NewGroup] says which.
func (g *Group) Configure(now Time, m *Machine, s Settings) (actions []Action, ok bool) {
	old := m.s
	if s.Version != old.Version || s.RouterID != old.RouterID || s.Source != old.Source || s.check() != nil {
		return nil, false
	}
	g.begin(now)
	before := m.advert(m.priority)
	m.set(s)
	m.rollout.begin(now, old.Addresses, m.s.Addresses)
	if m.priority == old.Priority || m.owner() || old.Priority == OwnerPriority {
		if s.Priority != old.Priority {
			m.priority = s.Priority
		}
	}
	if m.s.Version == 2 || g.state != Backup || !m.heard.from.IsValid() {
		m.learned = m.s.Interval // nothing was learned that would be better
	}
	if g.state != Master {
		return g.actions, true
	}
	after := m.advert(m.priority)
	if !before.equal(&after) || !slices.Equal(old.Peers, m.s.Peers) || old.Checksum != m.s.Checksum {
		g.advertise(now, m) // a backup must know of a longer interval before it misses us
	}
	if added := g.exchange(m, before.Addresses); len(added) > 0 {
		for range announceCount {
			g.act(Action{Kind: Announce, Machine: m, Addresses: added})
		}
		m.again.arm(now + announceDelay)
	}
	return g.actions, true
}

// exchange owns what is new since the machine had the addresses of before, and disowns what is gone.
func (g *Group) exchange(m *Machine, before []netip.Addr) (added []netip.Addr) {
	added = without(m.s.Addresses, before)
	if len(added) > 0 {
		g.act(Action{Kind: Own, Machine: m, Addresses: added})
	}
	if removed := without(before, m.s.Addresses); len(removed) > 0 {
		g.act(Action{Kind: Disown, Machine: m, Addresses: removed})
	}
	return added
}

func (a *Advert) equal(b *Advert) bool {
	return a.Priority == b.Priority && a.Interval == b.Interval && slices.Equal(a.Addresses, b.Addresses) &&
		a.Auth == b.Auth && a.Password == b.Password
}

// without is what is in a and not in b.
func without(a, b []netip.Addr) []netip.Addr {
	var left []netip.Addr
	for _, ip := range a {
		if !slices.Contains(b, ip) {
			left = append(left, ip)
		}
	}
	return left
}
