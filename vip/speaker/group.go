package speaker

import (
	"net/netip"
	"sync/atomic"
	"time"

	"skein/vip/vrrp"
)

// group is instances that are owned together, and their machines, which have the same order.
type group struct {
	name      string
	instances []*instance
	vrrp      *vrrp.Group
	resume    []vrrp.Snapshot // what it begins with, if not from the start
	begun     bool
}

// of is the instance of a machine.
func (g *group) of(m *vrrp.Machine) *instance {
	for _, i := range g.instances {
		if i.machine == m {
			return i
		}
	}
	return nil
}

// begin starts the machines of a group, or lets them go on where others have stopped.
func (s *Speaker) begin(g *group) {
	if g.begun {
		return
	}
	g.begun = true
	now := s.net.Now()
	for _, i := range g.instances {
		i.told = i.fault()
		g.vrrp.Fault(now, i.machine, i.told != "", i.told)
		if p, known := s.priority(i); known || len(g.resume) == 0 {
			g.vrrp.SetPriority(now, i.machine, p)
		}
	}
	if len(g.resume) == 0 {
		s.act(g, g.vrrp.Start(now), 0)
		return
	}
	snapshots := g.resume
	g.resume = nil
	for n, i := range g.instances {
		if snapshots[n].State == vrrp.Master {
			i.own(i.conf.Router.Addresses)
		}
	}
	s.act(g, g.vrrp.Resume(now, snapshots), 0)
	for _, i := range g.instances {
		// A snapshot brings the priority that another process had last.
		if p, known := s.priority(i); known {
			s.act(g, g.vrrp.SetPriority(now, i.machine, p), 0)
		}
		if i.machine.State() != vrrp.Master {
			i.disown(i.conf.Router.Addresses)
		}
		s.place(i)
	}
}

// freeze takes the machines of a group out of use, without a word.
func (s *Speaker) freeze(g *group, now time.Duration) []vrrp.Snapshot {
	if !g.begun {
		return nil
	}
	snapshots := g.vrrp.Release(now)
	for n := range snapshots {
		i := g.instances[n]
		snapshots[n].Link = i.conf.Interface
		i.frozen = &snapshots[n]
		for _, owned := range i.owns {
			owned.Store(false) // announcements that still wait are for who comes next
		}
	}
	g.begun = false
	return snapshots
}

// act carries out what a machine wants, in order. due is when it should have happened, if it is on time that counts; or 0.
func (s *Speaker) act(g *group, actions []vrrp.Action, due time.Duration) {
	for n := range actions {
		a := &actions[n]
		i := g.of(a.Machine)
		switch a.Kind {
		case vrrp.Send:
			s.send(i, a, due)
		case vrrp.Own:
			i.own(a.Addresses)
			s.place(i)
		case vrrp.Disown:
			i.disown(a.Addresses)
			s.place(i)
		case vrrp.Announce:
			s.announce(i, a.Addresses)
		case vrrp.Changed:
			s.changed(i, a)
		}
	}
}

// send sends one advertisement. Nothing is allocated here, and nothing is logged but a change.
func (s *Speaker) send(i *instance, a *vrrp.Action, due time.Duration) {
	if i.ears == nil || i.ears.socket == nil {
		return // in fault already, or on the way there
	}
	err := i.ears.socket.Send(a.Dst, a.Payload)
	if due > 0 {
		i.late.add(s.net.Now() - due)
	}
	if err == nil {
		i.sent = true
		return
	}
	i.unsent = err
	i.unsentCount++
}

// announce queues announcements, one for each address.
func (s *Speaker) announce(i *instance, addresses []netip.Addr) {
	list := make([]announcement, 0, len(addresses))
	for _, a := range addresses {
		if owned := i.owns[a]; owned != nil {
			list = append(list, announcement{i.where(), a, owned, i.unannounced})
		}
	}
	s.hands.say(list...)
}

// own notes what the machine wants to have; place makes it so.
func (i *instance) own(addresses []netip.Addr) {
	for _, a := range addresses {
		if owned := i.owns[a]; owned == nil || !owned.Load() {
			owned = new(atomic.Bool)
			owned.Store(true)
			i.owns[a] = owned
		}
	}
}

func (i *instance) disown(addresses []netip.Addr) {
	for _, a := range addresses {
		if owned := i.owns[a]; owned != nil {
			owned.Store(false)
			delete(i.owns, a)
		}
	}
}

// changed tells the parent about a transition.
func (s *Speaker) changed(i *instance, a *vrrp.Action) {
	s.statusSoon = true
	if s.orphan {
		s.log(levelOf(a.To), "vip changed state", "vip", i.key.vip, "family", i.key.family, "from", a.From, "to", a.To, "reason", a.Reason)
		return
	}
	s.reports.send(Report{Change: &Change{
		VIP: i.key.vip, Family: i.key.family, From: a.From, To: a.To, Reason: a.Reason, Time: time.Now(),
	}})
}
