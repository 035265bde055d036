package vip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"skein/config"
	"skein/kernel"
)

// links are the network interfaces of this machine, as they are while a configuration is prepared.
type links struct {
	all []kernel.Link
	// ours are addresses of vips: one that lies on an interface at this moment is neither a network that was there before
	// nor a source.
	ours map[netip.Addr]bool
}

// maxListed bounds how many interfaces an error lists: a container host has hundreds.
const maxListed = 20

// find returns the interface of a vip: the one that the file names, or the one whose network holds the first address.
func (l *links) find(c *config.VIP) (*kernel.Link, error) {
	if c.Interface != "" {
		for i := range l.all {
			if l.all[i].Name == c.Interface {
				return &l.all[i], nil
			}
		}
		return nil, fault(c.InterfacePos, c, "there is no interface %s on this machine%s\nhint: there are %s",
			c.Interface, l.suggest(c.Interface), l.list())
	}
	first := c.Addresses[0].Addr()
	var best *kernel.Link
	bits := -1
	for i := range l.all {
		for _, p := range l.all[i].Prefixes {
			// A host route holds nobody else, and a vip's own length is no proof of a network.
			if p.Addr().IsLoopback() || p.IsSingleIP() || l.ours[p.Addr()] || !p.Contains(first) || p.Bits() <= bits {
				continue
			}
			best, bits = &l.all[i], p.Bits()
		}
	}
	if best == nil {
		return nil, fault(c.InterfacePos, c, "no interface has a network that holds %s\nhint: say interface = \"NAME\" in the block; there are %s", first, l.list())
	}
	return best, nil
}

// source returns the own address that advertisements of one family come from.
//
// Over unicast it must be the address that the other nodes have for this one: they take advertisements from those alone. Over
// IPv6 multicast it is link-local (RFC 9568 section 5.1.2.2).
func (l *links) source(c *config.VIP, node string, link *kernel.Link, family int, unicast bool) (netip.Addr, error) {
	var own netip.Addr
	for _, n := range c.Nodes {
		if n.Name == node && familyOf(n.Addr) == family {
			own = n.Addr
		}
	}
	if unicast {
		for _, k := range l.all {
			if hasAddress(k, own) {
				return own, nil
			}
		}
		return netip.Addr{}, fault(c.Pos, c, "server %s has the address %s in the file, which no interface of this machine has: the other nodes would not know where our advertisements come from"+
			"\nhint: correct the address, or say unicast = false; there are %s", node, own, l.list())
	}
	if family == 4 && own.IsValid() && hasAddress(*link, own) {
		return own, nil
	}
	for _, p := range link.Prefixes {
		a := p.Addr()
		if familyOf(a) != family || l.ours[a] || a.IsLoopback() {
			continue
		}
		if family == 4 || a.IsLinkLocalUnicast() {
			return a, nil
		}
	}
	if family == 4 {
		return netip.Addr{}, fault(c.Pos, c, "interface %s has no IPv4 address that advertisements could come from\nhint: give it one beside the virtual ones", link.Name)
	}
	return netip.Addr{}, errNoLinkLocal{fault(c.Pos, c, "interface %s has no link-local IPv6 address, which advertisements come from"+
		"\nhint: switch IPv6 on there (sysctl net.ipv6.conf.%s.disable_ipv6=0)", link.Name, link.Name)}
}

// errNoLinkLocal is an error that may be over in a second: while the machine starts, the kernel first makes sure that nobody
// else has the address (RFC 4862 section 5.4).
type errNoLinkLocal struct{ error }

func hasAddress(k kernel.Link, a netip.Addr) bool {
	return slices.ContainsFunc(k.Prefixes, func(p netip.Prefix) bool { return p.Addr() == a })
}

// far reports whether routers are between this node and one of its peers, so that their packets arrive with a lower TTL.
func (l *links) far(link *kernel.Link, source netip.Addr, peers []netip.Addr) bool {
	near := func(a netip.Addr) bool {
		for _, k := range l.all {
			if k.Name != link.Name && !hasAddress(k, source) {
				continue
			}
			for _, p := range k.Prefixes {
				if !l.ours[p.Addr()] && p.Contains(a) {
					return true
				}
			}
		}
		return false
	}
	return slices.ContainsFunc(peers, func(a netip.Addr) bool { return !near(a) })
}

// list is the interfaces with their addresses, for people.
func (l *links) list() string {
	var all []string
	for _, k := range l.all {
		var on []string
		for _, p := range k.Prefixes {
			if !l.ours[p.Addr()] && !p.Addr().IsLinkLocalUnicast() {
				on = append(on, p.String())
			}
		}
		s := k.Name
		if len(on) > 0 {
			s += " (" + strings.Join(on[:min(len(on), 4)], ", ") + ")"
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return "none"
	}
	if len(all) > maxListed {
		return strings.Join(all[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(all)-maxListed)
	}
	return strings.Join(all, ", ")
}

// suggest returns ` (did you mean eth0?)` for the interface that differs the least, if it is near.
func (l *links) suggest(given string) string {
	best, at := "", 3
	for _, k := range l.all {
		if d := distance(given, k.Name); d < at {
			best, at = k.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is the Levenshtein distance of two names of interfaces, which have 15 bytes at most.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, row[j]+1, left+1)
		}
	}
	return row[len(b)]
}

// familyOf is 4 or 6; 0 of no address.
func familyOf(a netip.Addr) int {
	switch {
	case a.Is4():
		return 4
	case a.Is6():
		return 6
	}
	return 0
}

// fault is an error about a vip block, with its place.
func fault(at config.Pos, c *config.VIP, format string, args ...any) error {
	return &Fault{File: at.File, Line: at.Line, VIP: c.Name, Text: fmt.Sprintf(format, args...)}
}

// Fault is why this machine cannot own a vip. Its Text may have a second line with a hint.
type Fault struct {
	File string
	Line int
	VIP  string
	Text string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s:%d: vip %q: %s", f.File, f.Line, f.VIP, f.Text)
}
