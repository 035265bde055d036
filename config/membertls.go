package config

import (
	"net/netip"
	"strings"
)

// MemberTLS is how members are spoken to over TLS.
type MemberTLS struct {
	CA     []byte // PEM; nil is the system's roots
	Name   string // server name to send and to verify; "" is the member's host
	Cert   []byte // PEM of our own certificate, nil for none
	Key    Secret // PEM
	Verify bool
}

func memberTLSBlocks() []Block {
	return []Block{{Path: "pool.tls", Keys: []Key{
		{"ca", "path", "", "File with the certificates (PEM) that members are verified with; without it the system's."},
		{"name", "text", "", "Name that the members' certificates must have, and that is sent to them (SNI); without it the member's host."},
		{"cert", "path", "", "File with a certificate (PEM) to show to members that ask for one; needs `key`."},
		{"key", "path", "", "File with its private key (PEM)."},
		{"verify", "bool", "true", "`false` speaks to whoever answers: for tests only."},
	}}}
}

func (d *decoder) readMemberTLS(b *block) *MemberTLS {
	if b == nil {
		return nil
	}
	t := &MemberTLS{
		CA:     d.readCA(b.body, "ca"),
		Name:   strings.ToLower(strings.TrimSuffix(b.str("name", ""), ".")),
		Verify: b.flag("verify", true),
	}
	if v := b.value("name"); b.has("name") && v.kind == text && !v.secret {
		if _, err := netip.ParseAddr(t.Name); err != nil {
			if problem := badHostName(t.Name); problem != "" {
				d.fail(v.at, "Not a host name", "%s: %s.", v.show(), problem)
			}
		}
	}
	for _, pair := range [][2]string{{"cert", "key"}, {"key", "cert"}} {
		if b.has(pair[0]) && !b.has(pair[1]) {
			d.fail(b.nameAt(pair[0]), "Missing "+pair[1], "A certificate of our own needs both cert and key: cert = \"skein.pem\", key = \"skein.key\".")
		}
	}
	if b.has("cert") && b.has("key") {
		var key []byte
		if t.Cert, key = d.readPair(b.body); key != nil {
			t.Key = key
			d.include("file", b.value("cert").text, t.Cert)
			d.include("file", b.value("key").text, key)
		}
	}
	if !t.Verify {
		if b.has("ca") {
			d.fail(b.nameAt("ca"), "Key without effect", "verify is false, so nothing is compared with ca. Leave one of them out.")
		}
		d.warn(b.where("verify"), "Members not verified", "Whoever can answer in a member's place reads and changes what is sent. To trust a certificate of your own, write ca = \"its.pem\".")
	}
	return t
}

// readProtocol reads how members are spoken to, and what goes only with some ways of it.
func (d *decoder) readProtocol(b *block, p *Pool) {
	p.Protocol = b.choice("protocol", "http/1.1", "http/1.1", "h2", "fastcgi")
	p.SendProxy = b.flag("send_proxy", false)
	p.TLS = d.readMemberTLS(b.one("tls"))
	idle := 256
	if p.Protocol == "fastcgi" || p.SendProxy {
		idle = 0 // an idle FastCGI connection occupies a worker of php-fpm; a PROXY header speaks for one client
	}
	p.KeepAlive = b.count("keepalive", idle, 0, 100_000)
	if p.SendProxy {
		switch {
		case p.Protocol != "http/1.1":
			d.fail(b.nameAt("send_proxy"), "Settings contradict each other", "A PROXY header tells of one client, and %s. Leave send_proxy out, or write protocol = \"http/1.1\".",
				map[string]string{"h2": "a connection of HTTP/2 carries requests of many", "fastcgi": "FastCGI tells the client's address with each request"}[p.Protocol])
		case p.KeepAlive > 0:
			d.fail(b.where("keepalive"), "Settings contradict each other", "With send_proxy each connection belongs to one client, so none is kept for the next: leave keepalive out.")
		}
	}
	if p.TLS != nil && p.Protocol == "fastcgi" {
		d.fail(b.one("tls").labelAt, "Settings contradict each other", "FastCGI is not spoken over TLS. Leave the tls block out; use a unix socket, or a network that you trust.")
	}
	for _, m := range p.Members {
		if m.Server.Unix != "" && p.TLS != nil && p.TLS.Verify && p.TLS.Name == "" {
			d.fail(b.one("tls").labelAt, "Missing name", "%q has no host name that its certificate could have. Write name = \"origin.internal\" in the tls block.", m.Server.Name)
			break
		}
	}
	p.Check = d.readCheck(b.one("check"), p)
}

// checkFits says whether a check can work with members of a pool.
func (d *decoder) checkFits(b *block, c *Check, p *Pool) {
	if c.Kind != "tcp" && p.Protocol == "fastcgi" && !b.has("port") {
		d.fail(b.nameAt(c.Kind), "Check does not fit", "Members of a fastcgi pool do not speak HTTP. Write tcp = true, or the port of something beside them that does.")
	}
	if c.Kind == "http" && p.TLS != nil && !b.has("port") {
		d.warn(b.nameAt(c.Kind), "Check without TLS", "The members speak TLS, but the check does not. Write https = ... in its place.")
	}
	for _, m := range p.Members {
		if b.has("port") && m.Server.Unix != "" {
			d.fail(b.nameAt("port"), "Key without effect", "%q is a unix socket, which has no port.", m.Server.Name)
			break
		}
	}
	// Another port is another program's, which the pool's header is not for.
	c.SendProxy = p.SendProxy && !b.has("port")
	if c.Kind == "https" && p.TLS != nil { // what the pool says of its members is true for the check as well
		if !b.has("ca") {
			c.CA, c.Insecure = p.TLS.CA, !p.TLS.Verify
		}
		if !b.has("port") {
			c.Cert, c.Key = p.TLS.Cert, p.TLS.Key
		}
		if !b.has("host") {
			c.Host = p.TLS.Name
		}
	}
}
