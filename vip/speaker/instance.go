package speaker

import (
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// instance is one virtual router: its machine, what it speaks with, and where its addresses are.
type instance struct {
	key     key
	conf    Instance
	machine *vrrp.Machine
	frozen  *vrrp.Snapshot // between two machines
	ears    *ears

	owns   map[netip.Addr]*atomic.Bool // what the machine wants; see announcement.owned
	placed map[netip.Prefix]*placement // what the hands were told

	faults    [faultKinds]string
	told      string // the fault that the machine knows
	returning bool   // the link is back, and the neighbors are being told
	retries   [faultKinds]retry
	isolated  bool
	restored  time.Duration // when it was said last that somebody took an address away
	muffled   time.Duration // when it was said last that an announcement failed
	// unannounced is called when one did.
	unannounced func(error)

	sent        bool  // since the last look at it
	unsent      error // of the last that could not be sent since then
	mute        int   // looks in a row in which nothing could be sent
	unsentCount uint64
	late        Late
}

// key names an instance across configurations.
type key struct {
	vip    string
	family int
}

// placement is an address on the interface, or on its way there.
type placement struct {
	held  bool
	index int // of the interface; 0 is not known
}

// A fault is why an instance cannot own its addresses. The first one is told.
const (
	faultParent   = iota // the balancer does not serve
	faultLink            // no interface, no carrier, no source address
	faultSocket          // it cannot be spoken
	faultAddress         // an address could not be added
	faultSend            // nothing can be sent
	faultIsolated        // this node is cut off
	faultKinds
)

// retry is when a fault that nobody reports the end of is tried again: not often, as each time takes the address from its
// owner for a moment.
type retry struct {
	delay time.Duration
	last  time.Duration // when it failed
	timer bool
}

const (
	retryFirst = 10 * time.Second
	retryLast  = 5 * time.Minute
	// muteLimit is how many times in a row nothing may be sent by a master. Then the others have not heard it for three intervals.
	muteLimit = 3
)

func (c *Instance) key() key {
	if c.Router.Source.Is4() {
		return key{c.VIP, 4}
	}
	return key{c.VIP, 6}
}

// shape is what cannot change while an instance lives.
type shape struct {
	link       string
	virtualMAC bool
	multicast  bool
	version    int
	routerID   uint8
	source     netip.Addr
}

func (c *Instance) shape() shape {
	return shape{c.Interface, c.VirtualMAC, len(c.Router.Peers) == 0, c.Router.Version, c.Router.RouterID, c.Router.Source}
}

// where is the interface of the addresses.
func (c *Instance) where() string {
	if !c.VirtualMAC {
		return c.Interface
	}
	family := "v4"
	if c.Router.Source.Is6() {
		family = "v6"
	}
	return "skein" + strconv.Itoa(int(c.Router.RouterID)) + family
}

// prefixes are the addresses to add. One that is the source belongs to the interface anyway (the owner of RFC 9568, priority
// 255): it must neither be added nor, above all, removed.
func (c *Instance) prefixes() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(c.Prefixes), func(p netip.Prefix) bool {
		return p.Addr() == c.Router.Source || !slices.Contains(c.Router.Addresses, p.Addr())
	})
}

func (s *Speaker) newInstance(c Instance) *instance {
	i := &instance{
		key: c.key(), conf: c, owns: make(map[netip.Addr]*atomic.Bool), placed: make(map[netip.Prefix]*placement), late: newLate(),
	}
	i.unannounced = func(err error) { s.unannounced(i, err) }
	return i
}

func (i *instance) where() string { return i.conf.where() }

// fault is what the machine has to know.
func (i *instance) fault() string {
	for _, f := range i.faults {
		if f != "" {
			return f
		}
	}
	return ""
}

// priority is the one of the instance's fitness; known is false if the parent has not said it.
func (s *Speaker) priority(i *instance) (p uint8, known bool) {
	r, known := s.ranks[i.key.vip]
	switch {
	case i.conf.Router.Priority == vrrp.OwnerPriority || r.Fitness == Fit:
		p = i.conf.Router.Priority
	case r.Fitness == Drained:
		p = i.conf.Drained
	default:
		p = i.conf.Unfit
	}
	return p, known
}

// rank tells the machines what the parent has said.
func (s *Speaker) rank() {
	now := s.net.Now()
	for _, g := range s.groups {
		for _, i := range g.instances {
			if p, known := s.priority(i); g.begun && known && p != i.machine.Priority() && i.conf.Router.Priority != vrrp.OwnerPriority {
				s.act(g, g.vrrp.SetPriority(now, i.machine, p), 0)
				s.statusSoon = true
			}
		}
	}
}

// settle looks whether what has happened is a fault of an instance, or the end of one.
func (s *Speaker) settle() {
	now := s.net.Now()
	complaint := s.parent.complaint(now)
	for _, g := range s.groups {
		if !g.begun {
			continue
		}
		for _, i := range g.instances {
			i.faults[faultParent] = complaint
			s.judgeSending(i)
			if f := i.fault(); f != i.told {
				i.told = f
				s.act(g, g.vrrp.Fault(now, i.machine, f != "", f), 0)
				s.statusSoon = true
			}
		}
	}
}

// judgeSending looks at what has become of advertisements. To one peer of several nothing can be sent while it is off; that is no
// fault of this node.
func (s *Speaker) judgeSending(i *instance) {
	switch {
	case i.sent:
		if i.mute > 0 {
			s.log(slog.LevelInfo, "advertisements are sent again", "vip", i.key.vip, "family", i.key.family)
		}
		i.mute = 0
	case i.unsent != nil:
		if i.mute++; i.mute == 1 {
			s.log(slog.LevelWarn, "an advertisement could not be sent", "vip", i.key.vip, "family", i.key.family, "error", i.unsent)
			if isLinkError(i.unsent) {
				s.lookSoon()
			}
		}
		if i.mute >= muteLimit && i.machine.State() == vrrp.Master {
			s.fail(i, faultSend, "advertisements cannot be sent: "+i.unsent.Error())
		}
	}
	i.sent, i.unsent = false, nil
}

// fail puts an instance in a fault that is tried again later.
func (s *Speaker) fail(i *instance, kind int, reason string) {
	i.faults[kind] = reason
	r := &i.retries[kind]
	if r.timer {
		return
	}
	now := s.net.Now()
	if now-r.last > 2*retryLast { // all was well since
		r.delay = 0
	}
	r.delay = min(max(2*r.delay, retryFirst), retryLast)
	r.last, r.timer = now, true
	s.after(r.delay, func() {
		r.timer = false
		i.faults[kind] = ""
		i.mute = 0
		s.makeInterface(i) // it may be what failed
	})
}

// place makes the interface have what the machine owns, by the hands. What comes goes before what goes: a prefix may have another
// length now, and the address must not be missing. IPv6 cannot have both at once (EEXIST); there it is missing for some µs.
func (s *Speaker) place(i *instance) {
	wanted := i.conf.prefixes()
	wanted = slices.DeleteFunc(wanted, func(p netip.Prefix) bool { return i.owns[p.Addr()] == nil })
	s.takeAway(i, func(old netip.Prefix) bool {
		return old.Addr().Is6() && !slices.Contains(wanted, old) &&
			slices.ContainsFunc(wanted, func(p netip.Prefix) bool { return p.Addr() == old.Addr() })
	})
	for _, p := range wanted {
		if i.placed[p] == nil {
			i.placed[p] = &placement{index: s.look.links[i.where()].Index}
			s.add(i, p)
		}
	}
	s.takeAway(i, func(old netip.Prefix) bool { return !slices.Contains(wanted, old) })
}

// takeAway removes the addresses for which gone says true.
func (s *Speaker) takeAway(i *instance, gone func(netip.Prefix) bool) {
	for p, at := range i.placed {
		if gone(p) {
			delete(i.placed, p)
			s.remove(i, s.nameOf(i.where(), at.index), p)
		}
	}
}

func (s *Speaker) add(i *instance, p netip.Prefix) {
	link, to, owned := i.where(), i.placed[p], i.owns[p.Addr()]
	s.hands.do(func() func() {
		err := s.net.AddAddress(link, p)
		if err != nil {
			owned.Store(false) // before the next announcement
		}
		return func() {
			if i.placed[p] != to {
				return // it has been removed already
			}
			s.statusSoon = true
			if err == nil {
				to.held = true
				return
			}
			delete(i.placed, p)
			s.fail(i, faultAddress, err.Error())
			s.log(slog.LevelError, "an address could not be added", "vip", i.key.vip, "family", i.key.family, "error", err)
			s.lookSoon()
		}
	})
}

func (s *Speaker) remove(i *instance, link string, p netip.Prefix) {
	s.hands.do(func() func() {
		err := s.net.RemoveAddress(link, p)
		return func() {
			s.statusSoon = true
			at := placed{link, p}
			if err == nil {
				s.changes.stuck = slices.DeleteFunc(s.changes.stuck, func(o placed) bool { return o == at })
				return
			}
			// Somebody else may be master of it now: it has to go.
			if !slices.Contains(s.changes.stuck, at) {
				s.changes.stuck = append(s.changes.stuck, at)
				s.log(slog.LevelError, "an address could not be removed, it is tried again", "vip", i.key.vip, "interface", link, "error", err)
			}
			s.after(time.Second, func() {
				if i.placed[p] == nil && slices.Contains(s.changes.stuck, at) {
					s.remove(i, link, p)
				}
			})
		}
	})
}

// unannounced is called when an announcement could not be sent.
func (s *Speaker) unannounced(i *instance, err error) {
	now := s.net.Now()
	if i.muffled > 0 && now-i.muffled < retryFirst {
		return
	}
	i.muffled = now
	s.log(slog.LevelWarn, "an address could not be announced", "vip", i.key.vip, "family", i.key.family, "error", err)
	if isLinkError(err) {
		s.lookSoon()
	}
}

// held are the addresses that are on the interface because of us.
func (i *instance) held() []netip.Prefix {
	held := []netip.Prefix{}
	for _, p := range i.conf.Prefixes {
		if at := i.placed[p]; at != nil && at.held {
			held = append(held, p)
		}
	}
	return held
}

// mac is where the advertisements of a virtual MAC come from.
func (c *Instance) mac() []byte {
	if !c.VirtualMAC {
		return nil
	}
	return kernel.VirtualMAC(c.Router.RouterID, c.Router.Source.Is6())
}
