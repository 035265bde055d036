package vip

import (
	"fmt"
	"net/netip"
	"slices"

	"skein/config"
	"skein/kernel"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// plan is what Prepare makes of a configuration: all that the speaker is told of it.
type plan struct {
	node   string
	vips   []*wanted       // in the order of the file
	groups []speaker.Group // in the order of their first vip
}

// wanted is one vip of a plan.
type wanted struct {
	c         *config.VIP
	group     string // vips of the same are owned together
	addresses []netip.Addr
	instances []speaker.Instance // one of each family
	ranks     ranks
}

// link is the interface of the vip.
func (w *wanted) link() string { return w.instances[0].Interface }

// groupOf names what a vip is owned together with. A slash cannot be in the name of a block.
func groupOf(c *config.VIP) string {
	if c.Group != "" {
		return "group/" + c.Group
	}
	return c.Name
}

// newPlan finds the interface, sources and peers of each vip that is placed here.
//
// The addresses of the plan that is in force may be on an interface now, and are no sources either.
func newPlan(c *config.Config, all []kernel.Link, old *plan) (*plan, error) {
	l := &links{all: all, ours: map[netip.Addr]bool{}}
	for _, w := range old.vips {
		for _, a := range w.addresses {
			l.ours[a] = true
		}
	}
	for _, b := range c.VIPs {
		for _, p := range b.Addresses {
			l.ours[p.Addr()] = true
		}
	}
	p := &plan{node: c.Node}
	at := map[string]int{}
	for _, b := range c.VIPs {
		w, err := newWanted(b, c.Node, l)
		if err != nil {
			return nil, err
		}
		p.vips = append(p.vips, w)
		i, ok := at[w.group]
		if !ok {
			i = len(p.groups)
			at[w.group] = i
			p.groups = append(p.groups, speaker.Group{Name: w.group})
		}
		p.groups[i].Instances = append(p.groups[i].Instances, w.instances...)
	}
	if err := p.duplicates(); err != nil {
		return nil, err
	}
	for _, g := range p.groups {
		var all []vrrp.Settings
		for _, i := range g.Instances {
			all = append(all, i.Router)
		}
		if _, err := vrrp.NewGroup(all...); err != nil {
			w := p.of(g.Instances[0].VIP)
			return nil, fault(w.c.Pos, w.c, "%v", err)
		}
	}
	return p, nil
}

func (p *plan) of(vip string) *wanted {
	i := slices.IndexFunc(p.vips, func(w *wanted) bool { return w.c.Name == vip })
	return p.vips[i]
}

func newWanted(c *config.VIP, node string, l *links) (*wanted, error) {
	w := &wanted{c: c, group: groupOf(c), ranks: ranksOf(c.Nodes, node)}
	link, err := l.find(c)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Addresses {
		w.addresses = append(w.addresses, p.Addr())
	}
	for _, family := range []int{4, 6} {
		i, err := w.instance(node, l, link, family)
		if err != nil {
			return nil, err
		}
		if len(i.Prefixes) > 0 {
			w.instances = append(w.instances, i)
		}
	}
	return w, nil
}

// instance is what the speaker is told of one family; without prefixes if the vip has no such address.
func (w *wanted) instance(node string, l *links, link *kernel.Link, family int) (speaker.Instance, error) {
	c := w.c
	i := speaker.Instance{
		VIP: c.Name, Interface: link.Name, VirtualMAC: c.VirtualMAC,
		Unfit: w.ranks.unfit, Drained: w.ranks.drained, Witnesses: c.Witnesses,
		Router: vrrp.Settings{
			Version: c.Version, RouterID: uint8(c.RouterID), Interval: c.Interval, Priority: w.ranks.fit, Floor: floorOf(c.Nodes),
			Preempt: c.Preempt, PreemptDelay: c.PreemptDelay, StartDelay: c.StartDelay,
			Password: string(c.Password), Checksum: vrrp.Checksum(c.Checksum),
		},
	}
	for _, p := range c.Addresses {
		if familyOf(p.Addr()) == family {
			i.Prefixes = append(i.Prefixes, p)
			i.Router.Addresses = append(i.Router.Addresses, p.Addr())
		}
	}
	if len(i.Prefixes) == 0 {
		return i, nil
	}
	unicast := c.Unicast4
	if family == 6 {
		unicast = c.Unicast6
	}
	var err error
	if i.Router.Source, err = l.source(c, node, link, family, unicast); err != nil {
		return i, err
	}
	if unicast {
		for _, n := range c.Nodes {
			if n.Name != node && familyOf(n.Addr) == family {
				i.Router.Peers = append(i.Router.Peers, n.Addr)
			}
		}
		// keepalived 2.2.7 sets the hop limit of multicast only: unicast over IPv6 has its kernel's default, mostly 64.
		i.Router.Far = family == 6 || l.far(link, i.Router.Source, i.Router.Peers)
	}
	i.Others, i.Quorum = quorum(c, node)
	return i, fits(c, link, &i, family)
}

// quorum is how many of which other nodes this one must reach: with itself they are the majority. Without a witness two nodes
// have no such rule, since neither can know whose side is cut off; with one, a node that reaches the other is not isolated, so
// that a gateway that is restarted, or does not answer pings, takes the addresses from nobody. A node whose address the file does
// not say cannot vote: the rule would ask for more of the others than a majority.
func quorum(c *config.VIP, node string) (others []netip.Addr, need int) {
	for _, n := range c.Nodes {
		if n.Name == node {
			continue
		}
		if !n.Addr.IsValid() {
			return nil, 0
		}
		others = append(others, n.Addr)
	}
	if len(others) == 0 || len(c.Nodes) == 2 && len(c.Witnesses) == 0 {
		return nil, 0
	}
	return others, len(c.Nodes) / 2
}

// fits checks that an advertisement with all addresses is no longer than a packet may be: VRRP must not be fragmented, since
// only the first fragment would have the protocol's header.
func fits(c *config.VIP, link *kernel.Link, i *speaker.Instance, family int) error {
	size, each := 20+8, 4 // RFC 9568 section 5.2
	if family == 6 {
		size, each = 40+8, 16
	}
	if c.Version == 2 {
		size += 8 // authentication data
	}
	size += each * len(i.Prefixes)
	if link.MTU > 0 && size > link.MTU {
		return fault(c.Pos, c, "%d IPv%d addresses make advertisements of %d bytes, and packets of interface %s have %d at most\nhint: spread the addresses over several vip blocks",
			len(i.Prefixes), family, size, link.Name, link.MTU)
	}
	return nil
}

// duplicates finds virtual routers of this node that nobody could tell apart.
func (p *plan) duplicates() error {
	type key struct {
		router uint8
		link   string
		family int
	}
	seen := map[key]*wanted{}
	macs := map[key]*wanted{}
	for _, w := range p.vips {
		for _, i := range w.instances {
			k := key{i.Router.RouterID, i.Interface, familyOf(i.Router.Source)}
			if o := seen[k]; o != nil {
				return fault(w.c.Pos, w.c, "router_id %d is that of vip %q on line %d too, on the same interface %s\nhint: give one of them another router_id, the same on all its nodes",
					k.router, o.c.Name, o.c.Pos.Line, k.link)
			}
			seen[k] = w
			if !i.VirtualMAC {
				continue
			}
			k.link = ""
			if o := macs[k]; o != nil {
				return fault(w.c.Pos, w.c, "the interface %s for its virtual MAC is that of vip %q on line %d too\nhint: give one of them another router_id, the same on all its nodes",
					fmt.Sprintf("skein%dv%d", k.router, k.family), o.c.Name, o.c.Pos.Line)
			}
			macs[k] = w
		}
	}
	return nil
}
