package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// One file serves many nodes. A block with `nodes` is placed on those, one without on every node (a vip always has them,
// ranked). This file finds out which node this is and which blocks are placed on it.

const noNode = "This machine is no node of the file"

func isNoNode(p Problem) bool { return p.Summary == noNode }

// place finds this node and returns which of the blocks are placed on it. It also sets whether their env, file and secret
// are judged.
func (d *decoder) place(blocks []*block, c *Config) []bool {
	d.sets = make(map[*block]map[string]bool, len(blocks))
	var first *attr
	for _, b := range blocks {
		d.sets[b] = d.nodesOf(b)
		if a := b.attrs["nodes"]; a != nil {
			if first == nil || a.at.Start.Byte < first.at.Start.Byte {
				first = a
			}
		}
	}
	node, problem := d.findNode(c)
	if problem != "" && first != nil {
		d.fail(first.at, noNode, "%s", problem)
	}
	c.Node = node
	if s := d.servers[node]; s != nil {
		c.Region = s.Region
	}
	placed := make([]bool, len(blocks))
	for i, b := range blocks {
		placed[i] = d.sets[b] == nil || d.sets[b][node]
		b.scope.elsewhere = !placed[i] || d.o.Elsewhere
	}
	return placed
}

// nodesOf returns the names of the nodes that a block is placed on; nil is every node.
func (d *decoder) nodesOf(b *block) map[string]bool {
	switch {
	case b.kind == "vip":
		set := map[string]bool{}
		for _, n := range d.vipNodes(b) {
			set[n.Name] = true
		}
		return set
	case b.attrs["nodes"] == nil:
		return nil
	}
	return d.nodes(b.body)
}

// nodes reads the key of that name: the names of all nodes that it means.
func (d *decoder) nodes(b *body) map[string]bool {
	set := map[string]bool{}
	items := b.list("nodes")
	if len(items) == 0 && b.value("nodes").kind == list {
		d.fail(b.where("nodes"), "Empty list", "Without a node the block would never run. Name servers or regions, or leave nodes out to run on every node.")
	}
	for _, v := range items {
		switch {
		case v.kind == bad || v.kind == unjudged:
		case v.kind == text && !v.secret:
			d.fail(v.at, "Reference needed", "nodes takes references: write %s instead of %s.", d.written(d.guess(v.text)), v.show())
		case v.kind != ref:
			d.fail(v.at, "Wrong kind of value", "nodes takes references such as server.lb1 and region.beijing, not %s.", v.show())
		case v.ref.root == "server":
			if s := d.server(v, "nodes"); s != nil {
				set[s.Name] = true
			}
		case v.ref.root == "region":
			servers, ok := d.regions[v.ref.name]
			if !ok {
				d.fail(v.at, "No such region", "There is no region named %q.%s", v.ref.name, d.suggest(v.ref.name, d.regionNames))
			} else if len(servers) == 0 {
				d.fail(v.at, "Empty region", "Region %q has no servers, so the block would never run.", v.ref.name)
			}
			for _, s := range servers {
				set[s.Name] = true
			}
		default:
			d.fail(v.at, "Wrong reference", "nodes takes servers and regions, not %s.", v.ref)
		}
	}
	return set
}

// guess is the reference that somebody who wrote a text may have meant.
func (d *decoder) guess(s string) reference {
	root, name, ok := strings.Cut(s, ".")
	if ok && (root == "server" || root == "region") {
		return reference{root, wordOr(name, "lb1")}
	}
	if _, region := d.regions[s]; region {
		return reference{"region", s}
	}
	return reference{"server", wordOr(s, "lb1")}
}

func wordOr(s, def string) string {
	if badName(s) != "" {
		return def
	}
	return s
}

// findNode returns this node's name: the one given, else the host name, else the server that has one of this machine's
// addresses. A problem matters only in a file with placement; the name is "" then, or what the command line said.
func (d *decoder) findNode(c *Config) (name, problem string) {
	if d.o.Node != "" {
		if d.servers[d.o.Node] == nil {
			return d.o.Node, fmt.Sprintf("There is no server named %q, as --name says.%s", d.o.Node, d.suggest(d.o.Node, d.serverNames))
		}
		return d.o.Node, ""
	}
	host := strings.ToLower(d.o.Hostname)
	short, _, _ := strings.Cut(host, ".")
	for _, h := range []string{d.o.Hostname, host, short} {
		if h != "" && d.servers[h] != nil {
			return h, ""
		}
	}
	mine := map[netip.Addr]bool{}
	for _, a := range d.o.Addrs {
		if a = a.Unmap().WithZone(""); !a.IsLoopback() && !a.IsUnspecified() { // these are every machine's
			mine[a] = true
		}
	}
	var found []string
	for _, s := range c.Servers {
		if a, err := netip.ParseAddr(s.Host); err == nil && mine[a.WithZone("")] {
			found = append(found, s.Name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], ""
	case len(found) > 1:
		return "", fmt.Sprintf("This machine has the addresses of several servers: %s. Say which one it is: --name %s", strings.Join(found[:min(len(found), 10)], ", "), found[0])
	case host == "":
		return "", "The file places blocks on nodes, and no server has an address of this machine. Name it in servers = { ... }, or say which one it is: --name NAME"
	}
	return "", fmt.Sprintf("The file places blocks on nodes, but no server is named %q (the host name) or has an address of this machine. Name it in servers = { ... }, or say which one it is: --name NAME", short)
}

// representatives returns one node for each different set of blocks that are placed on a node. A vip on another interface
// is another block here, as router IDs must differ on one interface.
func representatives(file string, o Options) []string {
	src, err := o.read(file, maxFile)
	if err != nil {
		return nil
	}
	d := newDecoder(file, src, o)
	root := d.parse()
	if root == nil {
		return nil
	}
	c := &Config{}
	d.readServers(root, c)
	on := map[string][]byte{}
	for i, b := range slices.Concat(root.all("http"), root.all("vip")) {
		var links map[string]link
		if b.kind == "vip" {
			links = d.interfaces(b)
		}
		for name := range d.nodesOf(b) {
			on[name] = fmt.Appendf(on[name], "%d %s ", i, links[name].name)
		}
	}
	seen := map[string]bool{}
	var nodes []string
	for _, s := range c.Servers {
		if set := string(on[s.Name]); set != "" && !seen[set] {
			seen[set] = true
			nodes = append(nodes, s.Name)
		}
	}
	return slices.Clip(nodes)
}

// at returns the place of a key's name, or of the block.
func (b *body) nameAt(key string) hcl.Range {
	if a := b.attrs[key]; a != nil {
		return a.at
	}
	return b.at
}
