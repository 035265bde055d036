package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// HTTP is an http block: one website, or one part of it.
type HTTP struct {
	Name        string
	Pos         Pos
	Listen      []string // host:port; ":8080" is every address
	Hosts       []string // lower case; "*.example.com" is every name below; empty is every host that no other block takes
	Trusted     []string // prefixes of proxies whose X-Forwarded-* and Forwarded are believed
	Forward     string   // which fields are sent to members: x, rfc7239, both, off
	Limits      Limits
	Timeouts    HTTPTimeouts
	Default     Route   // what the block itself says, for requests that no route takes; its Pool may be nil
	Routes      []Route // in the order of the file
	Errors      map[int]ErrorPage
	Underscores bool     // pass on fields with an underscore in the name
	Upgrades    []string // protocols that may be upgraded to, lower case; default websocket
	TLS         *Front   // nil is plain text
	HSTS        HSTS
	Redirect    []string // addresses that answer with a redirect to https, and with HTTP-01 challenges
	Protocols   []string // of "http/1.1", "h2", "h3", "h2c"; h2 and h3 with TLS only, h2c without
	ProxyFrom   []string // prefixes of peers whose connections begin with a PROXY protocol header
}

// Limits bound what a client may ask of us.
type Limits struct {
	Header         int // bytes of a request head
	Fields         int // field lines of a request head
	URI            int // bytes of a request target
	Conns          int // client connections of this block's listeners; 0 is as many as the process has descriptors for
	ConnsPerClient int // of one client address; 0 is unlimited
	Streams        int // requests at once on one HTTP/2 or HTTP/3 connection
	Glitches       int // needless or wrong frames of one HTTP/2 connection until it is closed
}

// HTTPTimeouts bound what clients may take.
type HTTPTimeouts struct {
	Header  time.Duration // from the first byte of a request until its head is complete
	Idle    time.Duration // between two requests
	Body    time.Duration // no byte of a body moved for so long, in either direction
	MinRate int           // bytes a second that a body must reach on average after its first Body seconds; 0 is off
	Ceiling time.Duration // one whole request and its answer; 0 is off
	TLS     time.Duration // a TLS handshake, PROXY header included
	Tunnel  time.Duration // no byte in either direction of an upgraded connection
	Drain   time.Duration // how long a stop waits for running requests
}

func httpBlocks() []Block {
	return []Block{
		{Path: "http", Label: "name", Blocks: []string{"https", "route", "files", "compress", "request_headers", "response_headers", "limits", "timeouts"}, Keys: []Key{
			{"listen", "text or list", "", "Needed. Addresses to listen on: `\":8080\"` is every address of the machine, `\"10.0.0.1:80\"` and `\"[::1]:80\"` are one. Port 0 is any free port."},
			{"tls", "text, reference or list", "", "Listen with TLS; where the certificates come from: `\"acme\"`, `tls.NAME` (several in a list, with `\"acme\"` if you like), or `\"self-signed\"`. Without it every `listen` is plain text."},
			{"redirect", "text or list", "[]", "With `tls` only: addresses, such as `\":80\"`, whose visitors are sent on to https, and where the CA's http-01 challenges are answered. Blocks may share them."},
			{"protocols", "text or list", "", "Of `http/1.1`, `h2`, `h3` (HTTP/3, with `tls`) and `h2c` (HTTP/2 in plain text). Without it `[\"http/1.1\", \"h2\"]` with `tls`, else `[\"http/1.1\"]`."},
			{"proxy_protocol", "text or list", "[]", "Addresses and networks of balancers in front of Skein whose connections begin with a PROXY protocol header (version 1 or 2), which is believed. Connections of others begin without."},
			{"hosts", "text or list", "[]", "Host names of the site; `*.example.com` is every name below. Without it every host that no other block of the same listener takes."},
			{"nodes", "list of references", "", "Servers and regions that run this block. Without it every node does."},
			{"pool", "reference", "", "The pool that requests go to, unless a route says otherwise."},
			{"servers", "list of servers", "", "Short form of `pool`: a pool with these servers and every default, named as the block."},
			{"trusted_proxies", "text or list", "[]", "Addresses and networks of proxies in front of Skein: what they say about the client is believed."},
			{"forwarded", "text", "\"x\"", "What members are told about the client: `x` (X-Forwarded-For, -Proto, -Host), `rfc7239` (Forwarded), `both` or `off`."},
			{"underscores", "bool", "false", "Pass fields with an underscore in the name on; without it they are dropped, as many programs take them for a dash."},
			{"upgrades", "text or list", "[\"websocket\"]", "Protocols that a connection may be upgraded to; `[]` is none."},
			{"max_body", "size", "\"0\"", "Largest body of a request; 0 is unlimited."},
			{"error_pages", "object of paths", "{}", "Files for answers of Skein's own: `{ \"503\" = \"busy.html\", \"5xx\" = \"sorry.html\" }`; at most 1 MiB each, read at load."},
		}},
		filesBlock("http.files"),
		compressBlock("http.compress"),
		headersBlock("http.request_headers", "the request before it is sent on"),
		headersBlock("http.response_headers", "the answer before it is sent back"),
		{Path: "http.limits", Keys: []Key{
			{"header", "size", "\"16KiB\"", "Bytes of a request's head, 4 KiB to 64 KiB."},
			{"fields", "number", "100", "Field lines of a request's head."},
			{"uri", "size", "\"8KiB\"", "Bytes of a request's target; at most `header`."},
			{"conns", "number", "0", "Client connections of the block's listeners; 0 is as many as the process has descriptors for."},
			{"conns_per_client", "number", "0", "Connections of one client address; 0 is unlimited."},
			{"streams", "number", "128", "Requests at once on one HTTP/2 or HTTP/3 connection, 1 to 1000."},
			{"glitches", "number", "100", "Needless or wrong frames after which an HTTP/2 connection is closed, 10 to 100000."},
		}},
		{Path: "http.timeouts", Keys: []Key{
			{"header", "time", "\"10s\"", "From the first byte of a request until its head is complete."},
			{"idle", "time", "\"75s\"", "Between two requests of a connection."},
			{"body", "time", "\"30s\"", "Without a byte of a body moving, in either direction."},
			{"min_rate", "size", "\"240\"", "Bytes a second that a body must reach on average; 0 is off."},
			{"ceiling", "time", "\"24h\"", "One whole request and its answer; 0 is off."},
			{"tls", "time", "\"10s\"", "A TLS handshake; a PROXY protocol header before it included."},
			{"tunnel", "time", "\"1h\"", "Without a byte in either direction of an upgraded connection."},
			{"drain", "time", "\"30s\"", "How long a stop waits for running requests."},
		}},
	}
}

// placedHTTP is an http block of this node, with what the checks across blocks need of the file.
type placedHTTP struct {
	*HTTP
	*block
	here       bool
	listenAt   []value // beside Listen
	redirectAt []value // beside Redirect
	hostAt     []value // beside Hosts
}

// readHTTP reads all http blocks and keeps those of this node in c.
func (d *decoder) readHTTP(blocks []*block, placed []bool, c *Config) []*placedHTTP {
	var here []*placedHTTP
	taken := map[string]*block{}
	for i, b := range blocks {
		if problem := badName(b.label); problem != "" {
			d.fail(b.labelAt, "Not a name", "%q cannot name an http block: %s.", shorten(b.label), problem)
		} else if first := taken[b.label]; first != nil {
			d.fail(b.labelAt, "Name already taken", "There is already an http block %q on line %d.", b.label, first.labelAt.Start.Line)
		} else {
			taken[b.label] = b
		}
		p := d.readSite(b, placed[i], c)
		if placed[i] {
			c.HTTP = append(c.HTTP, p.HTTP)
			here = append(here, p)
		}
	}
	return here
}

func (d *decoder) readSite(b *block, here bool, c *Config) *placedHTTP {
	p := &placedHTTP{block: b, here: here, HTTP: &HTTP{
		Name:        b.label,
		Pos:         b.pos(),
		Trusted:     d.prefixes(b.body, "trusted_proxies"),
		Forward:     b.choice("forwarded", "x", "x", "rfc7239", "both", "off"),
		Underscores: b.flag("underscores", false),
		Upgrades:    d.upgrades(b.body),
		Limits:      d.readLimits(d.orEmpty(b.one("limits"))),
		Timeouts:    d.readTimeouts(d.orEmpty(b.one("timeouts"))),
		Errors:      d.readErrorPages(b.body),
		Protocols:   d.readProtocols(b),
		ProxyFrom:   d.prefixes(b.body, "proxy_protocol"),
	}}
	d.readListen(b, p)
	d.readHosts(b, p)
	d.readFront(b, p)
	p.Default = Route{
		Pos:      b.pos(),
		Path:     "/",
		Pool:     d.sitePool(b, here, c),
		MaxBody:  b.size("max_body", 0, 0, 1<<50),
		Request:  d.readHeaders(b.one("request_headers"), true),
		Response: d.readHeaders(b.one("response_headers"), false),
		Files:    d.readFiles(b.one("files")),
		Compress: d.readCompress(b.one("compress"), nil),
	}
	d.sends = append(d.sends, sender{p.Default.Pool, p.Default.Files, b.one("files"), b.title(), b.labelAt})
	p.Routes = d.readRoutes(b, p.HTTP, here)
	routes := b.all("route")
	switch named := b.has("pool") || b.has("servers") || p.Default.Files != nil; {
	case !named && len(routes) == 0:
		d.fail(b.labelAt, "Nowhere to send requests", "%s has no pool. Write pool = pool.NAME, or servers = [\"10.0.0.11:8080\"], or routes that have a pool, or files.", b.title())
	case !named && !slices.ContainsFunc(routes, func(r *block) bool { return r.has("pool") || r.has("redirect") || r.one("files") != nil }):
		d.fail(b.labelAt, "Nowhere to send requests", "Neither %s nor any of its routes has a pool.", b.title())
	}
	return p
}

// sitePool reads `pool` or its short form.
func (d *decoder) sitePool(b *block, here bool, c *Config) *Pool {
	if !b.has("servers") {
		return d.poolOf(b.body, here)
	}
	if b.has("pool") {
		d.fail(b.nameAt("servers"), "Pool and servers", "pool = ... is already given. servers = [...] is its short form: write one of them.")
		d.poolOf(b.body, here)
	}
	if v := b.value("servers"); v.kind == list && len(v.items) == 0 {
		d.fail(v.at, "Empty pool", "%s has no servers, so every request to it would fail.", b.title())
	}
	if clash := d.pools[b.label]; clash != nil {
		d.fail(b.nameAt("servers"), "Name already taken", "The pool that servers = [...] makes is named as its block, and there is already a pool %q on line %d. Use pool = pool.%s, or rename one.",
			b.label, clash.Pos.Line, b.label)
	}
	pool := d.anonymous(b)
	if here {
		c.Pools = append(c.Pools, pool)
	}
	return pool
}

// poolOf resolves `pool = pool.web`.
func (d *decoder) poolOf(b *body, here bool) *Pool {
	v := b.value("pool")
	switch {
	case !b.has("pool") || v.kind == bad || v.kind == unjudged:
		return nil
	case v.kind == text && !v.secret:
		d.fail(v.at, "Reference needed", "pool takes a reference: write %s. To name servers here, use servers.", d.written(reference{"pool", wordOr(strings.TrimPrefix(v.text, "pool."), "web")}))
		return nil
	case v.kind != ref:
		d.fail(v.at, "Wrong kind of value", "pool is a reference such as pool.web, not %s.", v.show())
		return nil
	case v.ref.root != "pool":
		d.fail(v.at, "Wrong reference", "pool takes a pool, not %s.", v.ref)
		return nil
	}
	p := d.pools[v.ref.name]
	if p == nil {
		names := func() []string { return slices.Sorted(maps.Keys(d.pools)) }
		d.fail(v.at, "No such pool", "There is no pool named %q.%s", v.ref.name, d.suggest(v.ref.name, names))
		return nil
	}
	p.used, p.here = true, p.here || here
	return p.Pool
}

func (d *decoder) readLimits(b *body) Limits {
	l := Limits{
		Header:         int(b.size("header", 16<<10, 4<<10, 64<<10)),
		Fields:         b.count("fields", 100, 1, 1000),
		Conns:          b.count("conns", 0, 0, 10_000_000),
		Streams:        b.count("streams", 128, 1, 1000),
		Glitches:       b.count("glitches", 100, 10, 100_000),
		ConnsPerClient: b.count("conns_per_client", 0, 0, 10_000_000),
	}
	l.URI = int(b.size("uri", int64(min(8<<10, l.Header)), 256, 64<<10))
	if l.URI > l.Header {
		d.fail(b.where("uri"), "Sizes contradict each other", "The target is a part of the head, so uri is at most header, %s.", showSize(int64(l.Header)))
	}
	return l
}

func (d *decoder) readTimeouts(b *body) HTTPTimeouts {
	const day = 24 * time.Hour
	return HTTPTimeouts{
		Header:  b.time("header", 10*time.Second, 10*time.Millisecond, time.Hour),
		Idle:    b.time("idle", 75*time.Second, 10*time.Millisecond, day),
		Body:    b.time("body", 30*time.Second, 10*time.Millisecond, day),
		MinRate: int(b.size("min_rate", 240, 0, 1<<30)),
		Ceiling: b.time("ceiling", day, 0, 365*day),
		TLS:     b.time("tls", 10*time.Second, 10*time.Millisecond, 10*time.Minute),
		Tunnel:  b.time("tunnel", time.Hour, 10*time.Millisecond, 365*day),
		Drain:   b.time("drain", 30*time.Second, 0, day),
	}
}

// upgrades reads the protocols that a connection may become.
func (d *decoder) upgrades(b *body) []string {
	if !b.has("upgrades") {
		return []string{"websocket"}
	}
	var out []string
	for _, v := range b.texts("upgrades") {
		name := strings.ToLower(v.text)
		switch {
		case name == "h2c":
			d.fail(v.at, "Upgrade not allowed", "h2c would carry requests past every check of this block: RFC 9113 has removed that upgrade, and Skein refuses it.")
		case !isToken(strings.ReplaceAll(name, "/", "-")):
			d.fail(v.at, "Not a protocol", "%s is not the name of a protocol, such as \"websocket\".", v.show())
		case slices.Contains(out, name):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			out = append(out, name)
		}
	}
	return out
}

// prefixes reads addresses and networks.
func (d *decoder) prefixes(b *body, key string) []string {
	var out []string
	for _, v := range b.texts(key) {
		if p, ok := d.prefix(v, key); ok {
			out = append(out, p)
		}
	}
	return out
}

func (d *decoder) prefix(v value, key string) (string, bool) {
	if a, err := netip.ParseAddr(v.text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()).String(), true
	}
	p, err := netip.ParsePrefix(v.text)
	if err != nil {
		d.fail(v.at, "Not an address or network", "%s: %s takes IP addresses and networks such as \"10.0.0.0/8\".", v.show(), key)
		return "", false
	}
	if p != p.Masked() {
		d.fail(v.at, "Not a network", "%s has bits behind its length. Did you mean %q?", v.show(), p.Masked().String())
		return "", false
	}
	return p.String(), true
}

// line is where the block begins, for errors that name two blocks.
func (p *placedHTTP) line() int { return p.labelAt.Start.Line }
