package config

import (
	"net/netip"
	"strings"
)

// readHosts reads the host names of a block.
func (d *decoder) readHosts(b *block, p *placedHTTP) {
	items := b.list("hosts")
	if b.has("hosts") && b.value("hosts").kind == list && len(items) == 0 {
		d.fail(b.where("hosts"), "Empty list", "Leave hosts out to take every host.")
	}
	seen := map[string]bool{}
	for _, v := range items {
		if !b.want("hosts", &v, text, "a host name, or a list of them") {
			continue
		}
		name, problem := siteHost(v.text)
		if problem != "" {
			d.fail(v.at, "Not a host name", "%s: %s.", v.show(), problem)
			continue
		}
		if seen[name] {
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
			continue
		}
		seen[name] = true
		p.Hosts = append(p.Hosts, name)
		p.hostAt = append(p.hostAt, v)
	}
}

// siteHost returns the name in lower case without a final dot.
func siteHost(s string) (name, problem string) {
	name = strings.ToLower(strings.TrimSuffix(s, "."))
	if name == "*" {
		return "", "leave hosts out to take every host"
	}
	if a, err := netip.ParseAddr(name); err == nil && a.Is4() {
		return name, ""
	}
	if strings.Contains(name, "://") {
		return "", "a host is not a URL: leave out the scheme and the path"
	}
	if strings.ContainsRune(name, ':') {
		return "", "a host is written without its port, and IPv6 addresses are not taken"
	}
	rest, wild := strings.CutPrefix(name, "*.")
	switch {
	case strings.Contains(rest, "*"):
		return "", `a star stands only for everything before the first dot, as in "*.example.com"`
	case wild && !strings.Contains(rest, "."):
		// "*.com" is every site there is: a typing mistake, unless the name is an internal one.
		if problem = badHostName(rest); problem != "" {
			return "", problem
		}
		return name, ""
	}
	return name, badHostName(rest)
}
