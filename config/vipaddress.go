package config

import (
	"net/netip"
	"slices"
	"strings"

	"skein/vip/vrrp"
)

const (
	maxVIPAddresses = 100
	maxWitnesses    = 16
)

// ownAddresses are those of the named servers.
func (d *decoder) ownAddresses() map[netip.Addr]*Server {
	own := make(map[netip.Addr]*Server, len(d.servers))
	for _, s := range d.servers {
		a, err := netip.ParseAddr(s.Host)
		if err != nil {
			continue
		}
		if first := own[a]; first == nil || s.Name < first.Name { // the same error each time
			own[a] = s
		}
	}
	return own
}

// readVIPAddresses reads address and, as it is the default, router_id.
func (d *decoder) readVIPAddresses(p *placedVIP, own map[netip.Addr]*Server) {
	items := p.list("address")
	switch {
	case !p.has("address"):
		d.fail(p.labelAt, "Missing address", "%s needs the address that its nodes share: address = \"203.0.113.10/24\".", p.title())
	case p.value("address").kind == list && len(items) == 0:
		d.fail(p.where("address"), "Empty list", "%s needs the address that its nodes share, such as \"203.0.113.10/24\".", p.title())
	case len(items) > maxVIPAddresses:
		d.fail(p.where("address"), "Too many addresses", "One vip has at most %d addresses, this one has %d: all of them are in every advertisement. Make several vips with the same group.",
			maxVIPAddresses, len(items))
		items = items[:maxVIPAddresses]
	}
	seen := map[netip.Addr]bool{}
	for _, v := range items {
		if !p.want("address", &v, text, "a text such as \"203.0.113.10/24\", or a list of them") {
			continue
		}
		a, problem := vipAddress(v.text)
		switch s := own[a.Addr()]; {
		case problem != "":
			d.fail(v.at, "Not an address for a vip", "%s: %s.", v.show(), problem)
			continue
		case p.Version == 2 && a.Addr().Is6():
			d.fail(v.at, "IPv6 with version 2", "VRRP version 2 is for IPv4 only (RFC 3768). Write version = 3, or give %s a vip of its own.", v.show())
			continue
		case s != nil:
			d.fail(v.at, "Address of a server", "%s is the address of server %q (line %d). A vip's address is nobody's own: it moves between the nodes. If a pool shall use the vip, write the address there as a text.",
				v.show(), s.Name, d.names[s.Name].at.Start.Line)
			continue
		case seen[a.Addr()]:
			d.fail(v.at, "Listed twice", "%s is already in the list.", a.Addr())
			continue
		}
		seen[a.Addr()] = true
		p.Addresses, p.addressAt = append(p.Addresses, a), append(p.addressAt, v)
	}
	for _, four := range []bool{true, false} {
		n := 0
		for _, a := range p.Addresses {
			if a.Addr().Is4() == four {
				n++
			}
		}
		if n > vrrp.MaxAddresses {
			d.fail(p.where("address"), "Too many addresses", "One advertisement has room for %d addresses of a family, this vip has %d. Make several vips with the same group.", vrrp.MaxAddresses, n)
		}
	}
	p.RouterID = 255
	if len(p.Addresses) > 0 {
		if b := p.Addresses[0].Addr().AsSlice(); b[len(b)-1] != 0 {
			p.RouterID = int(b[len(b)-1])
		}
	}
	p.RouterID = p.count("router_id", p.RouterID, 1, 255)
}

// vipAddress reads "203.0.113.10/24".
func vipAddress(s string) (p netip.Prefix, problem string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aErr := netip.ParseAddr(s)
		switch {
		case aErr != nil && strings.Contains(s, "/"):
			return p, `write an IP address and the length of its network, as in "203.0.113.10/24"`
		case aErr != nil:
			return p, `this is not an IP address; write it as in "203.0.113.10/24", without a port`
		case a.Zone() != "":
			return p, "the interface does not stand in the address; write it as interface"
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	a := p.Addr()
	switch {
	case a.Is4In6():
		return p, "write an IPv4 address as such, " + a.Unmap().String()
	case a.IsUnspecified():
		return p, "this is no machine's address"
	case a.IsLoopback():
		return p, "this is a loopback address, which every machine has for itself"
	case a.IsMulticast():
		return p, "this is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return p, "this is the broadcast address"
	case p.Bits() == 0:
		return p, "a length of 0 is the whole Internet; write that of the network, as in /24"
	case p.Bits() >= a.BitLen()-1: // RFC 3021 and RFC 6164: two addresses, both of them hosts
		return p, ""
	case a == p.Masked().Addr() && a.Is4():
		return p, "this is the address of the network itself; write that of one machine in it, such as " + a.Next().String()
	case a == p.Masked().Addr():
		return p, "this is the address of all routers of the network (RFC 4291 section 2.6.1); write another one, such as " + a.Next().String()
	case a.Is4() && a == broadcast(p):
		return p, "this is the broadcast address of the network; write that of one machine in it, such as " + a.Prev().String()
	}
	return p, ""
}

func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// readWitnesses reads the addresses that a node pings to know that it is not alone.
func (d *decoder) readWitnesses(p *placedVIP, own map[netip.Addr]*Server) []netip.Addr {
	var out []netip.Addr
	items := p.texts("witness")
	if len(items) > maxWitnesses {
		d.fail(p.where("witness"), "Too many witnesses", "A vip has at most %d witnesses, as each is pinged in every interval; this one has %d.", maxWitnesses, len(items))
		items = items[:maxWitnesses]
	}
	for _, v := range items {
		a, err := netip.ParseAddr(v.text)
		a = a.Unmap()
		isOwn := func(q netip.Prefix) bool { return q.Addr() == a }
		isNode := func(n VIPNode) bool { return n.Addr == a }
		switch s := own[a]; {
		case err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
			d.fail(v.at, "Not an address", "%s: a witness is the IP address of another machine, best the gateway: \"203.0.113.1\".", v.show())
		case slices.ContainsFunc(p.Addresses, isOwn):
			d.fail(v.at, "Vip as its own witness", "%s is an address of this vip, which its owner always reaches. Name a machine that is always there, best the gateway.", v.show())
		case s != nil && slices.ContainsFunc(p.Nodes, isNode):
			d.fail(v.at, "Node as a witness", "%s is node %q of this vip, and each node always reaches itself. Name another machine that is always there, best the gateway.", v.show(), s.Name)
		case slices.Contains(out, a):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			out = append(out, a)
		}
	}
	return out
}
