package config

import (
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// The nodes of a vip, and what the file says of each of them: rank, interface, address.

const (
	maxVIPNodes = 16
	minPriority = 40  // below are the ranks of nodes that do not serve or are drained
	topPriority = 200 // of the first node
	priorityGap = 10
)

// vipNode is a node with where the file says so.
type vipNode struct {
	*Server
	at hcl.Range
}

// vipNodes reads nodes of a vip. It may be asked several times and reports once.
func (d *decoder) vipNodes(b *block) []vipNode {
	if nodes, ok := d.ranked[b]; ok {
		return nodes
	}
	var nodes []vipNode
	seen := map[*Server]bool{}
	items := b.list("nodes")
	switch {
	case !b.has("nodes"):
		d.fail(b.labelAt, "Missing nodes", "%s needs the servers that may own its addresses, the preferred one first: nodes = [server.lb1, server.lb2].", b.title())
	case len(items) == 0 && b.value("nodes").kind == list:
		d.fail(b.where("nodes"), "Empty list", "%s needs the servers that may own its addresses, the preferred one first: nodes = [server.lb1, server.lb2].", b.title())
	case len(items) > maxVIPNodes:
		d.fail(b.where("nodes"), "Too many nodes", "A vip has at most %d nodes, this one has %d.", maxVIPNodes, len(items))
		items = items[:maxVIPNodes]
	}
	for _, v := range items {
		switch {
		case v.kind == bad || v.kind == unjudged:
		case v.kind == text && !v.secret:
			d.fail(v.at, "Reference needed", "nodes takes references: write %s instead of %s.", d.written(d.guess(v.text)), v.show())
		case v.kind != ref:
			d.fail(v.at, "Wrong kind of value", "nodes takes references such as server.lb1, not %s.", v.show())
		case v.ref.root == "region":
			d.fail(v.at, "Region not allowed here", "The order of nodes is their rank, and the servers of a region have none. Name them: server.NAME for each server of region %q that shall be a node.", v.ref.name)
		default:
			switch s := d.server(v, "nodes"); {
			case s == nil:
			case s.Unix != "":
				d.fail(v.at, "Not a node", "Server %q is a unix socket; a node is a machine with an address.", s.Name)
			case seen[s]:
				d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
			default:
				seen[s] = true
				nodes = append(nodes, vipNode{s, v.at})
			}
		}
	}
	if d.ranked == nil {
		d.ranked = map[*block][]vipNode{}
	}
	d.ranked[b] = nodes
	return nodes
}

// readVIPNodes reads nodes, priorities and interface.
func (d *decoder) readVIPNodes(p *placedVIP, node string) {
	nodes := d.vipNodes(p.block)
	if items := p.list("nodes"); len(nodes) == 1 && len(items) == 1 {
		d.warn(items[0].at, "Only one node", "Nobody takes the addresses over when %s fails. Name a second node.", items[0].show())
	}
	for i, n := range nodes {
		a, _ := netip.ParseAddr(n.Host) // a name has none
		p.Nodes = append(p.Nodes, VIPNode{Name: n.Name, Host: n.Host, Addr: a.WithZone(""), Priority: topPriority - i*priorityGap})
	}
	d.readPriorities(p)
	p.InterfacePos = p.Pos
	if p.has("interface") {
		links := d.interfaces(p.block)
		link := links[node]
		p.Interface, p.InterfacePos = link.name, Pos{File: d.name, Line: p.where("interface").Start.Line}
		if link.at.Start.Line > 0 {
			p.InterfacePos.Line = link.at.Start.Line
		}
	}
}

// readPriorities reads the ranks of all nodes.
func (d *decoder) readPriorities(p *placedVIP) {
	if p.has("priorities") {
		entries := p.object("priorities", "an object such as { lb1 = 200, lb2 = 100 }")
		given := d.perNode(p.block, "priorities", entries)
		for i := range p.Nodes {
			n := &p.Nodes[i]
			v, ok := given[n.Name]
			if !ok || !p.want("the priority of "+n.Name, &v, number, "a number") {
				continue
			}
			w, ok := v.whole()
			if !ok || w < minPriority || w > 255 {
				d.fail(v.at, "Value out of range", "A priority is a whole number from %d to 255, not %s; lower ones are for nodes that do not serve.", minPriority, v.show())
				continue
			}
			n.Priority = w
		}
	}
	var owner *VIPNode
	for i := range p.Nodes {
		n := &p.Nodes[i]
		switch {
		case n.Priority != 255:
		case owner != nil:
			d.fail(p.where("priorities"), "Two owners", "Nodes %q and %q both have priority 255, which means that the address is theirs alone: both would keep it. Lower one of them.", owner.Name, n.Name)
		default:
			owner = n
		}
	}
	if owner != nil && !p.Preempt {
		// RFC 9568 section 6.1: the owner always preempts.
		d.fail(p.where("preempt"), "Owner without preempt", "Node %q has priority 255, which takes the addresses back whatever the others say. Give it at most 254, or leave preempt out.", owner.Name)
	}
}

// perNode returns the values of an object that has one for each node.
func (d *decoder) perNode(b *block, key string, entries []entry) map[string]value {
	given := map[string]value{}
	nodes := d.vipNodes(b)
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	for _, e := range entries {
		given[e.key] = e.value
	}
	if len(nodes) == 0 || len(nodes) < len(b.list("nodes")) {
		return given // the nodes have a mistake already, so nothing is known of who is missing
	}
	for _, e := range entries {
		known := false
		for _, n := range names {
			known = known || n == e.key
		}
		if !known {
			d.fail(e.at, "Not a node", "%q is none of the nodes of %s.%s", shorten(e.key), b.title(), didYouMean(e.key, names))
		}
	}
	for _, n := range names {
		if _, ok := given[n]; !ok && b.value(key).kind == object {
			d.fail(b.nameAt(key), "Node missing", "%s says nothing of node %q. Write it for each of the nodes, or leave the key out.", key, n)
		}
	}
	return given
}

// link is a network interface as the file names it; "" is not known.
type link struct {
	name string
	at   hcl.Range
}

// interfaces reads interface: what it says for each node.
func (d *decoder) interfaces(b *block) map[string]link {
	out := map[string]link{}
	v := b.value("interface")
	if !b.has("interface") || v.kind == bad || v.kind == unjudged {
		return out
	}
	const form = `a text in quotes, or an object such as { lb1 = "eth0", lb2 = "ens192" }`
	read := func(key string, v value) link {
		if !b.want(key, &v, text, form) {
			return link{}
		}
		if problem := badInterface(v.text); problem != "" {
			d.fail(v.at, "Not an interface", "%s cannot name an interface: %s. The command \"ip link\" lists those of a machine; without interface it is the one whose network holds the first address.", v.show(), problem)
			return link{}
		}
		return link{v.text, v.at}
	}
	if v.kind != object {
		all := read("interface", v)
		for _, n := range d.vipNodes(b) {
			out[n.Name] = all
		}
		return out
	}
	for name, one := range d.perNode(b, "interface", v.entries) {
		out[name] = read("the interface of "+shorten(name), one)
	}
	return out
}

// badInterface says what Linux has against a name (dev_valid_name in net/core/dev.c).
func badInterface(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > 15:
		return "it is longer than 15 bytes"
	case s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r\u0085\u00a0") || !isPrintable(s):
		return "it has no slash, no colon and no space"
	}
	return ""
}

// readUnicast finds out for each family whether the nodes are told of each other or have to be found by multicast.
func (d *decoder) readUnicast(p *placedVIP) {
	said := p.has("unicast")
	if said && !p.flag("unicast", false) {
		return
	}
	// A node that only another machine knows the address of is not judged here.
	nodes := d.vipNodes(p.block)
	if len(nodes) < len(p.list("nodes")) || len(nodes) == 0 {
		return
	}
	if len(nodes) == 1 {
		if said {
			d.fail(p.where("unicast"), "Nobody to send to", "unicast needs other nodes, and there is only one. Name a second node, or leave unicast out.")
		}
		return
	}
	for _, f := range []struct {
		four bool
		name string
		set  *bool
	}{{true, "IPv4", &p.Unicast4}, {false, "IPv6", &p.Unicast6}} {
		if !p.serves(f.four) {
			continue
		}
		*f.set = true
		users := map[netip.Addr]string{}
		for i, n := range nodes {
			a := p.Nodes[i].Addr
			line := d.names[n.Name].at.Start.Line
			switch {
			case d.hiddenAddress(n.Server):
			case !a.IsValid() || a.Is4() != f.four || a.IsLoopback() || a.IsLinkLocalUnicast():
				*f.set = false
				if said {
					d.fail(n.at, "Node without an address", "unicast = true needs an %s address of every node, and server %q (line %d) has %q. Write its address there, or leave unicast out: then what has no address is multicast. IPv4 and IPv6 addresses are best in two vips with the same group.",
						f.name, n.Name, line, n.Host)
				}
			case users[a] != "":
				*f.set = false
				if said {
					d.fail(n.at, "Two nodes with one address", "Servers %q and %q (line %d) both have the address %s, so unicast cannot tell them apart. Write each node's own address.", users[a], n.Name, line, a)
				}
			default:
				users[a] = n.Name
			}
		}
	}
}

// hiddenAddress says whether only another machine knows the server's address, see readServerMap.
func (d *decoder) hiddenAddress(s *Server) bool {
	return d.o.Elsewhere && strings.HasSuffix(s.Host, ".invalid") && s.Port == 1
}
