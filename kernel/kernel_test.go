package kernel

import "net/netip"

func prefixes(list ...string) []netip.Prefix {
	var p []netip.Prefix
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }
