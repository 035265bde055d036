package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"skein/kernel"
)

// look is what is known of the interfaces.
type look struct {
	links   map[string]kernel.Link
	looking bool
	again   bool          // something has changed since the last look began
	last    time.Duration // when it ended
	pause   time.Duration // how long to wait then
	timer   bool
	blind   bool // the last one failed
}

// lookEvery bounds how often the kernel is asked: on a host of containers something changes all the time. Where there are thousands of
// interfaces a look takes milliseconds, with real-time priority: nine times as long is left to others.
const (
	lookEvery = 20 * time.Millisecond
	lookShare = 9
)

// watch tells the speaker when interfaces or addresses change. Without that it looks every second.
func (s *Speaker) watch(ctx context.Context) {
	for {
		err := s.net.Watch(ctx, func() { s.post(event{do: s.lookSoon}) })
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.post(event{do: func() {
				s.log(slog.LevelWarn, "interfaces cannot be watched; they are looked at every second", "error", err)
				s.lookSoon()
			}})
		}
		if !s.pause(time.Second) {
			return
		}
	}
}

// lookSoon looks at the interfaces, now or as soon as it is allowed.
func (s *Speaker) lookSoon() {
	l := &s.look
	now := s.net.Now()
	switch {
	case l.links == nil: // there is no configuration yet
	case l.looking:
		l.again = true
	case l.timer:
	case now-l.last < max(l.pause, lookEvery):
		l.timer = true
		s.after(max(l.pause, lookEvery)-(now-l.last), func() { l.timer = false; s.lookSoon() })
	default:
		l.looking, l.again = true, false
		s.hands.do(func() func() {
			began := s.net.Now()
			links, err := s.net.Links()
			took := s.net.Now() - began
			return func() {
				l.pause = lookShare * took
				s.looked(links, err)
			}
		})
	}
}

func (s *Speaker) looked(links []kernel.Link, err error) {
	l := &s.look
	l.looking, l.last = false, s.net.Now()
	if err != nil {
		if !l.blind {
			s.log(slog.LevelWarn, "interfaces cannot be seen", "error", err)
		}
		l.blind, l.pause = true, max(l.pause, time.Second) // changes do not make it more often
		s.lookSoon()
		return
	}
	l.blind = false
	if l.again {
		s.lookSoon()
	}
	s.see(links)
	for _, e := range s.ears {
		if e.socket != nil && !s.there(e) {
			s.close(e) // it hears an interface that is gone
		}
		s.open(e)
	}
	for _, i := range s.instances {
		s.judgeLink(i)
		s.restore(i)
	}
}

// nameOf is the name that an interface has now: one that is up can be renamed (Linux 6.3), and keeps its addresses. It is name, if
// that is nowhere to be seen.
func (s *Speaker) nameOf(name string, index int) string {
	for _, k := range s.look.links {
		if k.Index == index {
			return k.Name
		}
	}
	return name
}

func (s *Speaker) see(links []kernel.Link) {
	s.look.links = make(map[string]kernel.Link, len(links))
	for _, k := range links {
		s.look.links[k.Name] = k
	}
}

// linkComplaint is what is wrong with the interface of an instance.
func (s *Speaker) linkComplaint(c *Instance) string {
	k, ok := s.look.links[c.Interface]
	spoken, has := s.sourceLink(c.Interface, c.Router.Source, len(c.Router.Peers) == 0)
	switch {
	case !ok:
		return fmt.Sprintf("there is no interface %s", c.Interface)
	case !k.Up:
		return fmt.Sprintf("interface %s is down", c.Interface)
	case !has:
		return fmt.Sprintf("interface %s has lost the address %s", c.Interface, c.Router.Source)
	case !spoken.Up:
		return fmt.Sprintf("interface %s of the address %s is down", spoken.Name, c.Router.Source)
	}
	return ""
}

// sourceLink is the interface that has the address which advertisements come from. With unicast it may be another one than that of
// the virtual addresses, see [kernel.VRRPOptions].
func (s *Speaker) sourceLink(link string, source netip.Addr, multicast bool) (k kernel.Link, ok bool) {
	source = source.WithZone("")
	has := func(k kernel.Link) bool {
		return slices.ContainsFunc(k.Prefixes, func(p netip.Prefix) bool { return p.Addr() == source })
	}
	if k = s.look.links[link]; has(k) || multicast || source.IsLinkLocalUnicast() {
		return k, has(k)
	}
	for _, k := range s.look.links {
		if has(k) {
			return k, true
		}
	}
	return k, false
}

// judgeLink notes whether the instance has its link. After one was gone the peers may have forgotten our MAC, and with unicast
// the first thing that they hear late would be us: they are told before anything is said (keepalived does the same, see
// try_up_instance there).
func (s *Speaker) judgeLink(i *instance) {
	complaint := s.linkComplaint(&i.conf)
	switch {
	case complaint != "":
		i.faults[faultLink], i.returning = complaint, false
	case i.faults[faultLink] == "" || i.returning:
	case len(i.conf.Router.Peers) == 0:
		s.linkIsBack(i)
	default:
		i.returning = true
		c := i.conf
		spoken, _ := s.sourceLink(c.Interface, c.Router.Source, false)
		link := spoken.Name
		s.hands.do(func() func() {
			_ = s.net.Announce(link, c.Router.Source) // the fault's end is shown by what follows
			return func() {
				if i.returning {
					s.linkIsBack(i)
				}
			}
		})
	}
}

// linkIsBack ends the fault, and those that may have come from it.
func (s *Speaker) linkIsBack(i *instance) {
	i.returning = false
	i.faults[faultLink], i.faults[faultAddress], i.faults[faultSend] = "", "", ""
	i.mute = 0
	s.makeInterface(i) // went with the link below it
}

// restore puts addresses back that somebody else has taken away: a network manager, a person, a link that was down.
func (s *Speaker) restore(i *instance) {
	k, ok := s.look.links[i.where()]
	if i.faults[faultLink] != "" || i.ears == nil {
		return
	}
	if !ok && i.conf.VirtualMAC {
		s.makeInterface(i)
	}
	now := s.net.Now()
	for p, at := range i.placed {
		if !at.held || slices.Contains(k.Prefixes, p) {
			continue
		}
		if now-i.restored >= retryFirst || i.restored == 0 {
			i.restored = now
			s.log(slog.LevelWarn, "somebody removed an address; it is added again", "vip", i.key.vip, "interface", i.where(), "address", p)
		}
		at.held = false
		s.add(i, p)
		if owned := i.owns[p.Addr()]; owned != nil {
			s.hands.say(announcement{i.where(), p.Addr(), owned, i.unannounced})
		}
	}
}
