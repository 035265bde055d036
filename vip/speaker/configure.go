package speaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// configuring is the way from one configuration to the next, in three steps, because the first and the last take time: the hands
// look at the interfaces and remove what a crash has left; the instances are changed; the hands have opened all sockets, and
// what is new begins.
type configuring struct {
	busy     bool
	epoch    int        // counts the ends of all that is on its way
	waiting  *Configure // came meanwhile
	state    string     // the file
	written  state      // what is in it
	stuck    []placed   // addresses that could not be removed
	fresh    bool       // nothing is known of what is on the interfaces
	released bool       // another speaker goes on; its file is not touched
	errs     []error
}

func decode(b []byte) (*Order, error) {
	var o Order
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("decode order: %w", err)
	}
	return &o, nil
}

// configure is the order of that name.
func (s *Speaker) configure(c *Configure) {
	s.watchParent(c.Parent)
	if s.changes.busy {
		s.changes.waiting = c // of several that wait only the last one counts
		return
	}
	s.changes.busy, s.changes.errs = true, nil
	s.changes.state = c.State
	s.prepare(c)
}

// prepare looks at the interfaces, cleans up once, and writes down which addresses may be added from now on.
func (s *Speaker) prepare(c *Configure) {
	epoch, fresh, may := s.changes.epoch, s.changes.fresh, s.changes.written.with(c.all())
	s.changes.fresh, s.changes.released = false, false
	s.look.looking = true
	s.hands.do(func() func() {
		var left state
		var errs []error
		if fresh {
			found, err := readState(c.State)
			if err != nil {
				errs = append(errs, fmt.Errorf("addresses that a crash may have left are not known: %w", err))
			}
			left = found.with(may)
		}
		links, err := s.net.Links()
		if err != nil {
			errs = append(errs, err)
		}
		removed, more := s.clean(left, links, c.resumed())
		errs = append(errs, more...)
		if len(removed) > 0 {
			links = without(links, removed)
		}
		failed := may.save(c.State)
		return func() {
			if s.changes.epoch != epoch {
				return
			}
			s.look.looking, s.look.last = false, s.net.Now()
			for _, p := range removed {
				s.log(slog.LevelInfo, "an address was removed that was left behind", "interface", p.Link, "address", p.Prefix)
			}
			s.changes.written = may
			s.stateSaved(c.State, failed)
			s.changes.errs = append(s.changes.errs, errs...)
			s.see(links)
			s.apply(c)
		}
	})
}

// clean removes what a crash has left, by the state file or by the configuration, except of what goes on.
func (s *Speaker) clean(left state, links []kernel.Link, keep state) (removed []placed, errs []error) {
	for _, k := range links {
		if slices.Contains(left.Links, k.Name) && !slices.Contains(keep.Links, k.Name) {
			if err := s.net.RemoveLink(k.Name); err != nil {
				errs = append(errs, err)
			}
			continue
		}
		for _, p := range k.Prefixes {
			at := placed{k.Name, p}
			if !left.has(k.Name, p.Addr()) || slices.Contains(keep.Addresses, at) {
				continue
			}
			if err := s.net.RemoveAddress(k.Name, p); err != nil {
				errs = append(errs, err)
				continue
			}
			removed = append(removed, at)
		}
	}
	return removed, errs
}

// without is links without the addresses.
func without(links []kernel.Link, gone []placed) []kernel.Link {
	for n := range links {
		k := &links[n]
		k.Prefixes = slices.DeleteFunc(k.Prefixes, func(p netip.Prefix) bool { return slices.Contains(gone, placed{k.Name, p}) })
	}
	return links
}

// all is what the configuration may put on interfaces.
func (c *Configure) all() (all state) {
	for _, g := range c.Groups {
		for _, i := range g.Instances {
			all = all.with(i.state())
		}
	}
	return all
}

// state is what the instance may put on interfaces.
func (c *Instance) state() (s state) {
	for _, p := range c.prefixes() {
		s.Addresses = append(s.Addresses, placed{c.where(), p})
	}
	if c.VirtualMAC {
		s.Links = append(s.Links, c.where())
	}
	return s
}

// resumed is what is on the interfaces with right: another speaker was master and has released it.
func (c *Configure) resumed() (all state) {
	for _, g := range c.Groups {
		for n, snapshot := range g.inherit(c.Resume) {
			i := g.Instances[n].state()
			if snapshot.State != vrrp.Master {
				i.Addresses = nil
			}
			all = all.with(i)
		}
	}
	return all
}

// inherit finds the snapshots of a group, in the order of its instances. If there are some for only a part of it, and these
// agree, the others join them: a family that was added to a vip shall not disturb the other one. If they do not agree there is
// nothing to go on with.
func (g *Group) inherit(list []vrrp.Snapshot) []vrrp.Snapshot {
	var first *vrrp.Snapshot
	all := make([]vrrp.Snapshot, len(g.Instances))
	for n := range g.Instances {
		c := &g.Instances[n]
		for _, o := range list {
			if o.Link != c.Interface || o.RouterID != c.Router.RouterID || o.Version != c.Router.Version || o.IPv6 != c.Router.Source.Is6() {
				continue
			}
			if first == nil {
				first = &o
			}
			if o.State != first.State {
				return nil
			}
			all[n] = o
		}
	}
	if first == nil || first.State != vrrp.Master && first.State != vrrp.Backup {
		return nil
	}
	for n := range g.Instances {
		if c := &g.Instances[n]; all[n].Link == "" {
			all[n] = vrrp.Snapshot{
				Version: c.Router.Version, RouterID: c.Router.RouterID, Link: c.Interface, IPv6: c.Router.Source.Is6(),
				State: first.State, Priority: first.Priority, Deadline: first.Deadline, Sent: first.Sent, Learned: first.Learned,
				Since: first.Since, Reason: first.Reason,
			}
		}
	}
	return all
}

// apply changes the instances.
func (s *Speaker) apply(c *Configure) {
	now := s.net.Now()
	// What is the same goes on as it is.
	var groups []*group
	var rest []Group
	old := slices.Clone(s.groups)
	for _, w := range c.Groups {
		if err := w.check(); err != nil {
			s.changes.errs = append(s.changes.errs, err)
			for n := len(old) - 1; n >= 0; n-- { // rather as it was than not at all
				if old[n].overlaps(&w) {
					groups = append(groups, old[n])
					old = slices.Delete(old, n, n+1)
				}
			}
			continue
		}
		if n := slices.IndexFunc(old, func(g *group) bool { return g.fits(&w) }); n >= 0 && s.update(old[n], &w, now) {
			groups = append(groups, old[n])
			old = slices.Delete(old, n, n+1)
			continue
		}
		rest = append(rest, w)
	}
	// The others are taken apart, without a word, and put together anew.
	loose := make(map[key]*instance)
	for _, g := range old {
		s.freeze(g, now)
		for _, i := range g.instances {
			loose[i.key] = i
		}
	}
	var released []vrrp.Snapshot
	for _, i := range loose {
		if i.frozen != nil {
			released = append(released, *i.frozen)
		}
	}
	for _, w := range rest {
		g, err := s.build(&w, loose, slices.Concat(released, c.Resume))
		if err != nil {
			s.changes.errs = append(s.changes.errs, err)
			continue
		}
		groups = append(groups, g)
	}
	for _, i := range loose {
		s.quit(i)
	}
	s.groups = groups
	s.instances = nil
	for _, g := range groups {
		s.instances = append(s.instances, g.instances...)
	}
	for vip := range s.ranks {
		if !s.knows(vip) {
			delete(s.ranks, vip)
		}
	}
	for _, e := range s.ears {
		if e.flooded {
			s.keep(e) // there may be other routers and peers now
		}
	}
	s.raiseFence()
	s.rank()
	epoch := s.changes.epoch
	s.hands.do(func() func() {
		return func() { // by now all sockets are open
			if s.changes.epoch == epoch {
				s.configured(c)
			}
		}
	})
}

// fits tells whether the group has the same instances, and none of them has changed too much.
func (g *group) fits(w *Group) bool {
	if !g.begun || len(g.instances) != len(w.Instances) {
		return false
	}
	for n, i := range g.instances {
		if c := &w.Instances[n]; i.key != c.key() || i.conf.shape() != c.shape() {
			return false
		}
	}
	return true
}

// check tells whether machines can be made of the group.
func (g *Group) check() error {
	_, err := g.machines()
	return err
}

func (g *Group) machines() (*vrrp.Group, error) {
	var settings []vrrp.Settings
	for _, c := range g.Instances {
		settings = append(settings, c.Router)
	}
	machines, err := vrrp.NewGroup(settings...)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", g.Name, err)
	}
	return machines, nil
}

// overlaps tells whether the group has an instance of w.
func (g *group) overlaps(w *Group) bool {
	return slices.ContainsFunc(w.Instances, func(c Instance) bool {
		return slices.ContainsFunc(g.instances, func(i *instance) bool { return i.key == c.key() })
	})
}

// update changes instances that live.
func (s *Speaker) update(g *group, w *Group, now time.Duration) bool {
	for n, i := range g.instances {
		c := w.Instances[n]
		// The conf goes first: what the machine owns is looked for in it.
		before := i.conf
		i.conf = c
		actions, ok := g.vrrp.Configure(now, i.machine, c.Router)
		if !ok {
			i.conf = before
			return false
		}
		s.act(g, actions, 0)
		s.place(i)
	}
	g.name = w.Name
	return true
}

// build makes a group. Instances that there were are used again, with all that they have.
func (s *Speaker) build(w *Group, loose map[key]*instance, snapshots []vrrp.Snapshot) (*group, error) {
	g := &group{name: w.Name}
	machines, err := w.machines()
	if err != nil {
		return nil, err
	}
	g.vrrp, g.resume = machines, w.inherit(snapshots)
	for n, c := range w.Instances {
		i := loose[c.key()]
		switch {
		case i != nil && i.conf.shape() == c.shape() && g.resume != nil:
			delete(loose, i.key)
			i.conf, i.frozen = c, nil
		case i != nil:
			delete(loose, i.key)
			s.quit(i)
			fallthrough
		default:
			i = s.newInstance(c)
			s.useEars(i)
		}
		i.machine = machines.Machines()[n]
		if i.faults[faultLink] = s.linkComplaint(&i.conf); g.resume != nil && g.resume[n].State == vrrp.Master {
			s.adopt(i)
		}
		g.instances = append(g.instances, i)
	}
	return g, nil
}

// adopt takes addresses for placed that are on the interface already.
func (s *Speaker) adopt(i *instance) {
	for _, p := range i.conf.prefixes() {
		if slices.Contains(s.look.links[i.where()].Prefixes, p) && i.placed[p] == nil {
			i.placed[p] = &placement{held: true, index: s.look.links[i.where()].Index}
		}
	}
}

// quit ends an instance whose machine was frozen: as it was master, it says that it is not any more.
func (s *Speaker) quit(i *instance) {
	if i.frozen != nil && i.frozen.State == vrrp.Master {
		now := s.net.Now()
		if last, err := vrrp.NewGroup(i.conf.Router); err == nil {
			i.machine = last.Machines()[0]
			g := &group{name: i.key.vip, instances: []*instance{i}, vrrp: last, begun: true}
			i.own(i.conf.Router.Addresses)
			s.act(g, last.Resume(now, []vrrp.Snapshot{*i.frozen}), 0)
			s.act(g, last.Stop(now), 0)
		}
	}
	i.frozen = nil
	i.disown(i.conf.Router.Addresses)
	s.place(i)
	s.leaveEars(i)
}

// configured begins what is new, and answers.
func (s *Speaker) configured(c *Configure) {
	for _, g := range s.groups {
		s.begin(g)
	}
	s.statusSoon = true
	answer := &Configured{Serial: c.Serial}
	if err := errors.Join(s.changes.errs...); err != nil {
		answer.Error = err.Error()
	}
	s.reports.send(Report{Configured: answer})
	now, epoch := s.left(), s.changes.epoch
	s.hands.do(func() func() {
		err := now.save(c.State)
		return func() {
			if s.changes.epoch != epoch {
				return
			}
			s.changes.written = now
			s.stateSaved(c.State, err)
			s.changes.busy = false
			if next := s.changes.waiting; next != nil {
				s.changes.waiting = nil
				s.configure(next)
			}
		}
	})
	s.look.again = false
	s.lookSoon() // something may have changed since the first step
}

// left is what may be on interfaces because of us.
func (s *Speaker) left() (all state) {
	for _, i := range s.instances {
		all = all.with(i.conf.state())
	}
	return all.with(state{Addresses: slices.Clone(s.changes.stuck)})
}

func (s *Speaker) stateSaved(path string, err error) {
	if err != nil && !s.unsaved {
		s.log(slog.LevelWarn, "it could not be written down which addresses are ours; after a crash they may be left", "file", path, "error", err,
			"hint", "set state in the file to a directory where this user may write")
	}
	s.unsaved = err != nil
}

// knows tells whether there is an instance of the vip.
func (s *Speaker) knows(vip string) bool {
	return slices.ContainsFunc(s.instances, func(i *instance) bool { return i.key.vip == vip })
}
