package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// What several blocks say about addresses that move. Router IDs and addresses are judged on this node, where both blocks
// must be placed; groups in the whole file.

// vipAddresses refuses an address that two vips of this node have.
func (d *decoder) vipAddresses(all []*placedVIP) {
	type use struct {
		p *placedVIP
		v value
	}
	taken := map[netip.Addr]use{}
	for _, p := range all {
		if !p.here {
			continue
		}
		for i, a := range p.Addresses {
			first, ok := taken[a.Addr()]
			if !ok {
				taken[a.Addr()] = use{p, p.addressAt[i]}
				continue
			}
			d.fail(p.addressAt[i].at, "Address already in use", "%s is in %s already (line %d). An address belongs to one vip.", a.Addr(), first.p.title(), first.v.at.Start.Line)
		}
	}
}

// movingWitnesses refuses an address as a witness that another vip may bring to this very node.
func (d *decoder) movingWitnesses(all []*placedVIP) {
	owners := map[netip.Addr]*placedVIP{}
	for _, p := range all {
		for _, a := range p.Addresses {
			owners[a.Addr()] = p
		}
	}
	for _, p := range all {
		for _, v := range p.texts("witness") {
			a, _ := netip.ParseAddr(v.text) // what is none was reported
			if o := owners[a.Unmap()]; o != nil && o != p {
				d.fail(v.at, "Vip as a witness", "%s is an address of %s (line %d), which moves between nodes, and each node reaches itself. Name a machine that is always there, best the gateway.",
					v.show(), o.title(), o.labelAt.Start.Line)
			}
		}
	}
}

// routerIDs refuses two vips of this node that others would take for one: the same router ID and family on one interface
// (RFC 9568 section 1.7: a virtual router is known by its ID and family on a network).
func (d *decoder) routerIDs(all []*placedVIP, node string) {
	type router struct {
		id   int
		four bool
	}
	on := map[router]map[string]*placedVIP{} // by interface, "" is not known; the first of each
	first := map[router]*placedVIP{}
	macs := map[router]*placedVIP{} // their interfaces are named after the ID
	for _, p := range all {
		if !p.here || p.unsure() {
			continue
		}
		clashed := false
		for _, four := range []bool{true, false} {
			if !p.serves(four) {
				continue
			}
			r := router{p.RouterID, four}
			other := on[r][p.Interface]
			if other == nil {
				other = on[r][""] // it may be on any
			}
			if other == nil && p.Interface == "" {
				other = first[r]
			}
			if other == nil && p.VirtualMAC {
				other = macs[r]
			}
			if other != nil && !clashed {
				d.routerIDClash(p, other, node)
				clashed = true
			}
			if p.VirtualMAC && macs[r] == nil {
				macs[r] = p
			}
			if on[r] == nil {
				on[r], first[r] = map[string]*placedVIP{}, p
			}
			if on[r][p.Interface] == nil {
				on[r][p.Interface] = p
			}
		}
	}
}

// unsure says whether the router ID or the interface is wrong, which was reported, or only another node knows it.
func (p *placedVIP) unsure() bool {
	if p.elsewhere("router_id") || p.has("interface") && p.Interface == "" {
		return true
	}
	return !p.has("router_id") && len(p.Addresses) < len(p.list("address")) // the last byte of the first one
}

func (d *decoder) routerIDClash(p, other *placedVIP, node string) {
	where, next := fmt.Sprintf("are on interface %s of node %q, so each would take the other's advertisements for its own", p.Interface, node), ""
	switch {
	case p.VirtualMAC && other.VirtualMAC:
		where = fmt.Sprintf("a virtual MAC on node %q, which is made of the router ID", node)
	case p.Interface == "" || other.Interface == "":
		where = fmt.Sprintf("may be on one interface of node %q, so each would take the other's advertisements for its own", node)
		next = ", or say with interface that they are on different ones"
	}
	why := ""
	if !p.has("router_id") || !other.has("router_id") {
		why = " (without router_id it is the last byte of the first address)"
	}
	at := p.labelAt
	if p.has("router_id") {
		at = p.where("router_id")
	}
	d.fail(at, "Router ID already taken", "%s and %s (line %d) both have router ID %d%s and %s. Write another router_id, 1 to 255, in one of them%s.",
		p.title(), other.title(), other.labelAt.Start.Line, p.RouterID, why, where, next)
}

// vipGroups checks that the vips of a group can be owned together.
func (d *decoder) vipGroups(all []*placedVIP) {
	groups := map[string][]*placedVIP{}
	for _, p := range all {
		if p.Group == "" || len(p.Nodes) < len(p.list("nodes")) {
			continue
		}
		groups[p.Group] = append(groups[p.Group], p)
		first := groups[p.Group][0]
		if first == p {
			continue
		}
		switch {
		case !slices.Equal(first.members(), p.members()):
			d.fail(p.where("nodes"), "Group with different nodes", "%s and %s (line %d) are in group %q, and vips of a group are owned together, so they have the same nodes. %s has %s.",
				p.title(), first.title(), first.labelAt.Start.Line, p.Group, first.title(), first.written())
		case !slices.Equal(first.order(), p.order()):
			d.warn(p.where("nodes"), "Group in different order", "%s and %s (line %d) are in group %q and rank their nodes differently, so that each wants another owner for both. Write the nodes in the same order.",
				p.title(), first.title(), first.labelAt.Start.Line, p.Group)
		}
	}
	for _, p := range all {
		if len(groups[p.Group]) == 1 && groups[p.Group][0] == p {
			d.warn(p.where("group"), "Group of one", "No other vip is in group %q, so it changes nothing. Write the same group in another vip, or leave it out.", p.Group)
		}
	}
}

// members are the names of the nodes, sorted.
func (v *VIP) members() []string {
	var names []string
	for _, n := range v.Nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

// order are the names of the nodes by rank.
func (v *VIP) order() []string {
	nodes := slices.Clone(v.Nodes)
	slices.SortFunc(nodes, func(a, b VIPNode) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names
}

// written are the nodes as the file has them.
func (v *VIP) written() string {
	var refs []string
	for _, n := range v.Nodes {
		refs = append(refs, "server."+n.Name)
	}
	return "[" + strings.Join(refs, ", ") + "]"
}

// vipListeners warns of a block that listens on an address that moves, and is not placed on all the nodes that the address
// moves to: there nobody would answer.
func (d *decoder) vipListeners(blocks []*placedHTTP, vips []*placedVIP) {
	if len(vips) == 0 {
		return
	}
	owners := map[netip.Addr]*placedVIP{}
	for _, v := range vips {
		for _, a := range v.Addresses {
			if owners[a.Addr()] == nil || v.here {
				owners[a.Addr()] = v
			}
		}
	}
	for _, p := range blocks {
		nodes := d.sets[p.block]
		if nodes == nil {
			continue // on every node
		}
		for i, addr := range append(slices.Clip(p.Listen), p.Redirect...) {
			host, _ := cutPort(addr)
			a, err := netip.ParseAddr(host)
			v := owners[a]
			if err != nil || v == nil {
				continue
			}
			var lacking []string
			for _, n := range v.Nodes {
				if !nodes[n.Name] {
					lacking = append(lacking, n.Name)
				}
			}
			if len(lacking) > 0 {
				at := append(slices.Clip(p.listenAt), p.redirectAt...)[i]
				d.warn(at.at, "Not on all nodes of the vip", "%s is an address of %s (line %d), which may move to %s, where %s is not placed: nobody would answer there. Add it to nodes.",
					at.show(), v.title(), v.labelAt.Start.Line, strings.Join(lacking, " and "), p.title())
			}
		}
	}
}
