package config

import (
	"net/netip"
	"slices"
	"strconv"
)

// loops warns of a block that sends requests to its own listener: each of them would come back, and be sent on again, until
// there are no descriptors left. Which addresses are this machine's is only known there.
func (d *decoder) loops(blocks []*placedHTTP, vips []*VIP) {
	for _, p := range blocks {
		if !p.here || d.o.Elsewhere {
			continue
		}
		var seen []string
		pools := []*Pool{p.Default.Pool}
		for i := range p.Routes {
			pools = append(pools, p.Routes[i].Pool)
		}
		for _, pool := range pools {
			if pool == nil || slices.Contains(seen, pool.Name) {
				continue
			}
			seen = append(seen, pool.Name)
			for _, m := range pool.Members {
				if v, ok := d.listensAt(p, m, vips); ok {
					d.warn(v.at, "Listener among its own servers", "%s listens on %s and sends requests to %s:%d, which is the same: they would go round until nothing is left. Let the server's program listen on another port, and write that one.",
						p.title(), v.show(), m.Server.Host, m.Port)
					break
				}
			}
		}
	}
}

// listensAt finds the address of p that a member is.
func (d *decoder) listensAt(p *placedHTTP, m Member, vips []*VIP) (value, bool) {
	a, err := netip.ParseAddr(m.Server.Host)
	if err != nil {
		return value{}, false
	}
	for i, addr := range p.Listen {
		host, port := cutPort(addr)
		if port != strconv.Itoa(m.Port) {
			continue
		}
		moving := slices.ContainsFunc(vips, func(v *VIP) bool {
			return slices.ContainsFunc(v.Addresses, func(q netip.Prefix) bool { return q.Addr() == a })
		})
		own := moving || a.IsLoopback() || slices.ContainsFunc(d.o.Addrs, func(o netip.Addr) bool { return o.Unmap().WithZone("") == a })
		if l, err := netip.ParseAddr(host); err == nil && l == a || unspecified(host) && own {
			return p.listenAt[i], true
		}
	}
	return value{}, false
}
