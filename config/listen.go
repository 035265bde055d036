package config

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// readListen reads the addresses of a block.
func (d *decoder) readListen(b *block, p *placedHTTP) {
	if !b.has("listen") {
		d.fail(b.labelAt, "Missing listen", "%s needs an address to listen on: listen = \":8080\".", b.title())
		return
	}
	p.Listen, p.listenAt = d.addresses(b, "listen")
}

// addresses reads a list of addresses to listen on, and returns where each stands beside it.
func (d *decoder) addresses(b *block, key string) (addrs []string, at []value) {
	items := b.list(key)
	if b.value(key).kind == list && len(items) == 0 && key == "listen" {
		d.fail(b.where(key), "Empty list", "%s needs an address to listen on: listen = \":8080\".", b.title())
	}
	for _, v := range items {
		if n, ok := v.whole(); ok {
			d.fail(v.at, "Not an address", "%s is an address in quotes: \":%d\" is port %d of every address.", key, n, n)
			continue
		}
		if !b.want(key, &v, text, "an address such as \":8080\"") {
			continue
		}
		addr, problem := listenAddress(v.text)
		if problem != "" {
			d.fail(v.at, "Not an address", "%s: %s.", v.show(), problem)
			continue
		}
		if slices.Contains(addrs, addr) {
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
			continue
		}
		addrs, at = append(addrs, addr), append(at, v)
	}
	return addrs, at
}

// listenAddress reads ":8080", "10.0.0.1:80" or "[::1]:80", and returns it in one form.
func listenAddress(s string) (addr, problem string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		if _, bad := parsePort(s); bad == "" {
			return "", "write \":" + s + "\" for port " + s + " of every address"
		}
		return "", "the port is missing, as in \":8080\""
	}
	host, port := s[:i], s[i+1:]
	if strings.HasSuffix(s, "]") {
		return "", "the port is missing, as in \"" + s + ":8080\""
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", "the port is missing; IPv6 with a port is written \"[" + s + "]:8080\""
	}
	if port != "0" {
		n, bad := parsePort(port)
		if bad != "" {
			return "", bad
		}
		port = strconv.Itoa(n)
	}
	if host == "" {
		return ":" + port, ""
	}
	if host == "*" {
		return "", "write \":" + port + "\" for every address"
	}
	inside, bracketed := strings.CutPrefix(host, "[")
	inside, closed := strings.CutSuffix(inside, "]")
	a, err := netip.ParseAddr(inside)
	switch {
	case err != nil && badHostName(host) == "":
		return "", "listen takes an IP address, not a name; \"127.0.0.1:" + port + "\" is this machine alone"
	case err != nil || bracketed != closed || bracketed && !a.Is6():
		return "", "the part before the port is not an IP address"
	case !bracketed && a.Is6():
		return "", "IPv6 with a port is written \"[" + host + "]:" + port + "\""
	}
	return net.JoinHostPort(a.Unmap().String(), port), ""
}

// listeners checks what blocks of this node say about the same address.
func (d *decoder) listeners(blocks []*placedHTTP, adminBlock *block, admin Admin) {
	type use struct {
		p        *placedHTTP
		v        value
		redirect bool
	}
	shared := map[string][]use{}
	var order []string
	byPort := map[string][]string{}
	add := func(addrs []string, at []value, p *placedHTTP, redirect bool) {
		for i, addr := range addrs {
			if shared[addr] == nil {
				order = append(order, addr)
				_, port := cutPort(addr)
				byPort[port] = append(byPort[port], addr)
			}
			shared[addr] = append(shared[addr], use{p, at[i], redirect})
		}
	}
	for _, p := range blocks {
		add(p.Listen, p.listenAt, p, false)
		add(p.Redirect, p.redirectAt, p, true)
	}
	for _, addr := range order {
		host, port := cutPort(addr)
		if port == "0" {
			continue
		}
		// An address that stands for all of them takes the port from every other.
		for _, other := range byPort[port] {
			if o, _ := cutPort(other); other == addr || !unspecified(o) || unspecified(host) && other > addr {
				continue
			}
			a, b := shared[addr][0], shared[other][0]
			if a.v.at.Start.Byte < b.v.at.Start.Byte {
				a, b = b, a
			}
			d.fail(a.v.at, "Address already in use", "%s and %s (%s, line %d) are the same port, and one is every address. Write the same address in both to share a listener.",
				a.v.show(), b.v.show(), b.p.title(), b.v.at.Start.Line)
			break
		}
	}
	for _, addr := range order {
		var on []*placedHTTP
		first := shared[addr][0]
		for _, u := range shared[addr] {
			if u.redirect != first.redirect {
				a, b := u, first
				if a.v.at.Start.Byte < b.v.at.Start.Byte {
					a, b = b, a
				}
				d.fail(a.v.at, "Address already in use", "%s is in %s of %s (line %d): an address that sends visitors on to https serves no site itself.",
					a.v.show(), map[bool]string{true: "redirect", false: "listen"}[b.redirect], b.p.title(), b.v.at.Start.Line)
				break
			}
			if !u.redirect {
				on = append(on, u.p)
			}
		}
		if len(on) > 0 {
			d.sharedListener(addr, on)
		}
	}
	if adminBlock == nil || admin.Listen == "" {
		return
	}
	host, port := cutPort(admin.Listen)
	for _, other := range byPort[port] {
		if o, _ := cutPort(other); port != "0" && (o == host || unspecified(o)) {
			u := shared[other][0]
			d.fail(adminBlock.where("listen"), "Address already in use", "%s listens on %s already (line %d).", u.p.title(), u.v.show(), u.v.at.Start.Line)
			return
		}
	}
}

func cutPort(addr string) (host, port string) {
	i := strings.LastIndexByte(addr, ':')
	return strings.Trim(addr[:i], "[]"), addr[i+1:]
}

func unspecified(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// sharedListener checks that the blocks of one listener have different hosts and agree on what the listener does before
// it knows the host.
func (d *decoder) sharedListener(addr string, on []*placedHTTP) {
	hosts := map[string]*placedHTTP{}
	first := on[0]
	for _, p := range on {
		if len(p.Hosts) == 0 && !p.has("hosts") {
			if other := hosts[""]; other != nil {
				d.fail(p.labelAt, "Same listener without hosts", "%s and %s (line %d) both listen on %q and neither has hosts, so nothing tells their requests apart. Give hosts to one of them.",
					p.title(), other.title(), other.line(), addr)
			} else {
				hosts[""] = p
			}
		}
		for i, h := range p.Hosts {
			if other := hosts[h]; other != nil && other != p {
				d.fail(p.hostAt[i].at, "Host already taken", "%s (line %d) already has %q on %q.", other.title(), other.line(), h, addr)
				continue
			}
			hosts[h] = p
		}
		if p == first {
			continue
		}
		if (p.TLS == nil) != (first.TLS == nil) {
			with, without := first, p
			if p.TLS != nil {
				with, without = p, first
			}
			d.fail(p.nameAt("tls"), "Listener settings differ", "%s and %s (line %d) share the listener %q, which speaks TLS for all of them or for none. Write tls in %s as well, or take it out of %s.",
				p.title(), first.title(), first.line(), addr, without.title(), with.title())
			continue
		}
		setting, key := p.differs(first)
		if setting == "" {
			continue
		}
		at := p.labelAt
		if b := p.one(key); b != nil {
			at = b.labelAt
		} else if p.has(setting) {
			at = p.nameAt(setting)
		}
		d.fail(at, "Listener settings differ", "%s and %s (line %d) share the listener %q, which needs %s before it knows the host. Write the same in both.",
			p.title(), first.title(), first.line(), addr, setting)
	}
}

// differs returns the first setting that two blocks of one listener must agree about and do not, and the kind of the block
// that it stands in; "" is none.
func (p *placedHTTP) differs(q *placedHTTP) (setting, block string) {
	unsorted := func(a, b []string) bool {
		return !slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	switch {
	case p.Limits != q.Limits:
		return "limits", "limits"
	case p.Timeouts.Header != q.Timeouts.Header:
		return "timeouts header", "timeouts"
	case p.Timeouts.Idle != q.Timeouts.Idle:
		return "timeouts idle", "timeouts"
	case unsorted(p.Trusted, q.Trusted):
		return "trusted_proxies", ""
	case unsorted(p.ProxyFrom, q.ProxyFrom):
		return "proxy_protocol", ""
	case unsorted(p.Protocols, q.Protocols):
		return "protocols", ""
	case p.Timeouts.TLS != q.Timeouts.TLS:
		return "timeouts tls", "timeouts"
	case p.TLS == nil:
		return "", ""
	case p.TLS.MinVersion != q.TLS.MinVersion:
		return "https min_version", "https"
	case !slices.EqualFunc(p.TLS.Tickets, q.TLS.Tickets, bytes.Equal):
		return "https tickets", "https"
	case !bytes.Equal(p.TLS.ClientCA, q.TLS.ClientCA):
		return "https client_ca", "https"
	case p.TLS.ClientAuth != q.TLS.ClientAuth:
		return "https client_auth", "https"
	}
	return "", ""
}
