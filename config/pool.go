package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Pool is servers that can do the same work.
type Pool struct {
	Name    string
	Pos     Pos
	Members []Member
	Policy  Policy

	MaxConns     int           // requests at once to one member; 0 is unlimited
	Queue        int           // requests that may wait for a member with room
	QueueTimeout time.Duration // how long each may wait
	SlowStart    time.Duration // weight and MaxConns rise over this time after a recovery; 0 is off
	Panic        float64       // 0 - 1: when a smaller share of the members that are not drained is healthy, health is ignored
	LocalFirst   bool          // prefer members of this node's region
	Spill        float64       // 0 - 1: other regions help when a smaller share of the own region's members is healthy
	Sticky       *Sticky       // nil is off
	Check        *Check        // nil is none
	Eject        Eject
	Retry        Retry
	Timeouts     PoolTimeouts
	KeepAlive    int        // idle connections kept to one member
	Protocol     string     // "http/1.1", "h2", "fastcgi"
	TLS          *MemberTLS // nil is plain text
	SendProxy    bool       // begin each connection with a PROXY protocol v2 header; KeepAlive is 0 then
}

// Member is one server in one pool.
type Member struct {
	Server *Server
	Port   int // 0 of a unix socket
	Weight int // 1 - 1000
	Backup bool
}

// Sticky sends a visitor back to the member that answered first.
type Sticky struct {
	Cookie string        // name
	MaxAge time.Duration // 0 is a session cookie
	Path   string
	Domain string // "" is the host of the request
}

// Eject is passive removal after real errors.
type Eject struct {
	Errors   int           // consecutive connect failures, timeouts and broken answers; 0 is off
	Gateway  int           // consecutive 502, 503 and 504 answers; 0 is off
	Time     time.Duration // of the first ejection; doubles each time
	MaxTime  time.Duration
	MaxShare float64 // 0 - 1: at most this share of the pool is ejected (one member may be, if the pool has two or more)
}

// Retry bounds second tries.
type Retry struct {
	Tries  int     // members tried for one request, the first included; 1 is no retry
	Budget float64 // 0 - 1: retries at most this share of the requests of the last 10 s
	Floor  int     // retries allowed in 10 s whatever the share says
}

// PoolTimeouts bound work with members.
type PoolTimeouts struct {
	Connect   time.Duration // TCP connect
	FirstByte time.Duration // from the request sent until the answer's head is complete
	Idle      time.Duration // no byte of the answer (or taken from the request) for so long
	KeepAlive time.Duration // an idle connection to a member is closed after this
}

func poolBlocks() []Block {
	return []Block{
		{Path: "pool", Label: "name", Blocks: []string{"tls", "sticky", "check", "eject", "retry", "timeouts"}, Keys: []Key{
			{"servers", "list of servers", "", "Who does the work: references such as `server.web1`, and addresses such as `\"10.0.0.11:8080\"` and `\"unix:/run/app.sock\"`."},
			{"backup", "list of servers", "[]", "Who does it when none of `servers` can."},
			{"port", "number", "", "Port of every server that is not written as an address with its own port; without it the port of the server's address."},
			{"weights", "object of numbers", "{}", "Share of the work by server, 1 to 1000; the key is the server's name or its address as written. Others have the weight of their server."},
			{"policy", "text", "\"round_robin\"", "How the next member is picked."},
			{"key", "text", "\"client\"", "What the policies `hash` and `maglev` hash: `client`, `uri`, `host`, `header:NAME`, `cookie:NAME` or `query:NAME`."},
			{"bounded", "number", "", "Policy `hash` only: no member has more than this times the average load; above 1. Without it there is no bound."},
			{"max_conns", "number", "0", "Requests at once to one member; 0 is unlimited."},
			{"queue", "number", "1000", "Requests that may wait when every member has `max_conns`; 0 refuses at once."},
			{"queue_timeout", "time", "\"10s\"", "How long each of them waits."},
			{"slow_start", "time", "\"0s\"", "A member that recovered gets its full share only after this time; 0 is off."},
			{"panic", "share", "\"10%\"", "When a smaller share of the members that are not drained is healthy, health is ignored: so few cannot carry everything."},
			{"local_first", "bool", "true", "Prefer the members of this node's region."},
			{"spill", "share", "\"50%\"", "Other regions help when a smaller share of the own region's members is healthy."},
			{"keepalive", "number", "256", "Idle connections kept to one member; 0 opens one for each request. The default is 0 with `fastcgi`, as an idle connection occupies a worker of php-fpm, and with `send_proxy`."},
			{"protocol", "text", "\"http/1.1\"", "How members are spoken to: `http/1.1`, `h2` (HTTP/2; in plain text without `tls`) or `fastcgi` (php-fpm; every route to it needs `files`)."},
			{"send_proxy", "bool", "false", "Begin each connection with a PROXY protocol header (version 2) that tells the client's address. Only with `http/1.1`."},
		}},
		{Path: "pool.sticky", Keys: []Key{
			{"cookie", "text", "\"skein\"", "Name of the cookie that brings a visitor back to the same member."},
			{"max_age", "time", "\"0s\"", "How long the browser keeps it; 0 is until it is closed."},
			{"path", "text", "\"/\"", "Path of the cookie."},
			{"domain", "text", "", "Domain of the cookie; without it the host of the request."},
		}},
		checkBlock(),
		{Path: "pool.eject", Keys: []Key{
			{"errors", "number", "5", "Connect failures, timeouts and broken answers in a row after which a member is ejected; 0 is off."},
			{"gateway", "number", "0", "Answers 502, 503 and 504 in a row after which a member is ejected; 0 is off."},
			{"time", "time", "\"10s\"", "How long the first ejection lasts; each further one twice as long."},
			{"max_time", "time", "\"5m\"", "The longest ejection."},
			{"max_share", "share", "\"50%\"", "At most this share of the pool is ejected at once."},
		}},
		{Path: "pool.retry", Keys: []Key{
			{"tries", "number", "3", "Members tried for one request, the first included, 1 to 8; 1 never retries."},
			{"budget", "share", "\"20%\"", "Retries are at most this share of the requests of the last 10 seconds."},
			{"floor", "number", "20", "Retries allowed in 10 seconds whatever the share says."},
		}},
		{Path: "pool.timeouts", Keys: []Key{
			{"connect", "time", "\"3s\"", "Until the connection to a member stands."},
			{"first_byte", "time", "\"60s\"", "From the request sent until the head of the answer is complete."},
			{"idle", "time", "\"60s\"", "Without a byte of the answer, or of the request being taken."},
			{"keepalive", "time", "\"55s\"", "How long an idle connection to a member is kept. Keep it below the member's own limit."},
		}},
	}
}

// pooled is a pool while the file is read.
type pooled struct {
	*Pool
	at   hcl.Range
	used bool // by any block
	here bool // by a block that is placed on this node

	vague bool // its protocol is wrong, or only another node knows it
}

// namePools makes every named pool known, so that blocks can refer to it.
func (d *decoder) namePools(blocks []*block) {
	for _, b := range blocks {
		if problem := badName(b.label); problem != "" {
			d.fail(b.labelAt, "Not a name", "%q cannot name a pool: %s.", shorten(b.label), problem)
			continue
		}
		if first := d.pools[b.label]; first != nil {
			d.fail(b.labelAt, "Name already taken", "There is already a pool %q on line %d.", b.label, first.Pos.Line)
			continue
		}
		d.pools[b.label] = &pooled{Pool: &Pool{Name: b.label, Pos: b.pos()}, at: b.labelAt}
	}
}

// readPools fills the pools in. A pool that only blocks on other nodes use is judged like those blocks, and left out.
func (d *decoder) readPools(blocks []*block, c *Config) {
	for _, b := range blocks {
		p := d.pools[b.label]
		if p == nil || p.at != b.labelAt {
			p = &pooled{Pool: &Pool{Name: b.label, Pos: b.pos()}, used: true} // reported above; what is inside is still checked
		}
		if !p.used {
			d.warn(b.labelAt, "Pool not used", "No block uses pool %q.", b.label)
		}
		here := p.here || !p.used
		b.scope.elsewhere = !here || d.o.Elsewhere
		d.readPool(b, p.Pool)
		p.vague = b.has("protocol") && (b.value("protocol").kind != text || b.value("protocol").text != p.Protocol)
		if here {
			c.Pools = append(c.Pools, p.Pool)
		}
	}
}

func (d *decoder) readPool(b *block, p *Pool) {
	defaultPort := 0
	if b.has("port") {
		defaultPort = b.count("port", 1, 1, 65535)
	}
	if !b.has("servers") {
		d.fail(b.labelAt, "Missing servers", "Pool %q has no servers. Write servers = [server.NAME, \"10.0.0.11:8080\"].", b.label)
	} else if v := b.value("servers"); v.kind == list && len(v.items) == 0 {
		d.fail(v.at, "Empty pool", "Pool %q has no servers, so every request to it would fail.", b.label)
	}
	d.readMembers(b.body, p, defaultPort)
	p.Policy = d.readPolicy(b.body)
	p.MaxConns = b.count("max_conns", 0, 0, 1_000_000)
	p.Queue = b.count("queue", 1000, 0, 1_000_000)
	p.QueueTimeout = b.time("queue_timeout", 10*time.Second, 0, 10*time.Minute)
	p.SlowStart = b.time("slow_start", 0, 0, time.Hour)
	p.Panic = b.share("panic", 0.1)
	p.LocalFirst = b.flag("local_first", true)
	p.Spill = b.share("spill", 0.5)
	p.Sticky = d.readSticky(b.one("sticky"))
	d.readProtocol(b, p)
	d.readPoolBlocks(p, b.one("eject"), b.one("retry"), b.one("timeouts"))
}

// readPoolBlocks reads the blocks that every pool has, written or not.
func (d *decoder) readPoolBlocks(p *Pool, eject, retry, timeouts *block) {
	b := d.orEmpty(eject)
	p.Eject = Eject{
		Errors:   b.count("errors", 5, 0, 1000),
		Gateway:  b.count("gateway", 0, 0, 1000),
		Time:     b.time("time", 10*time.Second, 100*time.Millisecond, 24*time.Hour),
		MaxShare: b.share("max_share", 0.5),
	}
	p.Eject.MaxTime = b.time("max_time", max(5*time.Minute, p.Eject.Time), 100*time.Millisecond, 24*time.Hour)
	if p.Eject.MaxTime < p.Eject.Time {
		d.fail(b.where("max_time"), "Times contradict each other", "max_time is the longest ejection, so it is at least time, %s.", showDuration(p.Eject.Time))
	}
	b = d.orEmpty(retry)
	p.Retry = Retry{
		Tries:  b.count("tries", 3, 1, 8),
		Budget: b.share("budget", 0.2),
		Floor:  b.count("floor", 20, 0, 1_000_000),
	}
	b = d.orEmpty(timeouts)
	p.Timeouts = PoolTimeouts{
		Connect:   b.time("connect", 3*time.Second, time.Millisecond, 10*time.Minute),
		FirstByte: b.time("first_byte", time.Minute, time.Millisecond, 24*time.Hour),
		Idle:      b.time("idle", time.Minute, time.Millisecond, 24*time.Hour),
		KeepAlive: b.time("keepalive", 55*time.Second, time.Millisecond, 24*time.Hour),
	}
}

// orEmpty returns a block's body, or one without keys.
func (d *decoder) orEmpty(b *block) *body {
	if b == nil {
		return d.newBody("", hcl.Range{}, &scope{})
	}
	return b.body
}

const maxMembers = 100_000 // of all pools together

// readMembers reads servers, backup and weights.
func (d *decoder) readMembers(b *body, p *Pool, defaultPort int) {
	type place struct{ at hcl.Range }
	seen := map[string]place{}
	names := map[string]int{} // index in p.Members by the server's name
	for _, key := range []string{"servers", "backup"} {
		for _, v := range b.list(key) {
			s := d.server(v, key)
			if s == nil {
				continue
			}
			m := Member{Server: s, Port: s.Port, Weight: s.Weight, Backup: key == "backup"}
			if s.Unix != "" {
				m.Port = 0
			} else if defaultPort != 0 && (v.kind == ref || m.Port == 0) {
				m.Port = defaultPort
			}
			if m.Port == 0 && s.Unix == "" {
				d.fail(v.at, "Port missing", "%s has no port. %s", serverTitle(s, v), d.portHint(b, s))
				continue
			}
			address := net.JoinHostPort(s.Host, strconv.Itoa(m.Port))
			if s.Unix != "" {
				address = unixPrefix + s.Unix
			}
			if first, ok := seen[address]; ok {
				d.fail(v.at, "Server listed twice", "%s is already in this pool, on line %d. To give a server more work, use weights.", address, first.at.Start.Line)
				continue
			}
			seen[address] = place{v.at}
			if d.members++; d.members == maxMembers+1 {
				d.fail(v.at, "Too many members", "All pools together have at most %d members.", maxMembers)
			}
			if _, twice := names[s.Name]; !twice {
				names[s.Name] = len(p.Members)
			}
			p.Members = append(p.Members, m)
		}
	}
	for _, e := range b.object("weights", "an object such as { web1 = 3 }") {
		i, ok := names[e.key]
		if !ok {
			known := func() []string { return slices.Sorted(maps.Keys(names)) }
			d.fail(e.at, "No such server in the pool", "weights names %q, which is not one of this pool's servers.%s", shorten(e.key), d.suggest(e.key, known))
			continue
		}
		if !b.want("the weight of "+e.key, &e.value, number, "a number") {
			continue
		}
		n, ok := e.whole()
		if !ok || n < 1 || n > 1000 {
			d.fail(e.value.at, "Value out of range", "A weight is a whole number from 1 to 1000, not %s. To send no work to a server, drain it.", e.show())
			continue
		}
		for j := i; j < len(p.Members); j++ {
			if p.Members[j].Server == p.Members[i].Server {
				p.Members[j].Weight = n
			}
		}
	}
}

func serverTitle(s *Server, v value) string {
	if v.kind == ref {
		return "Server " + s.Name
	}
	return fmt.Sprintf("%q", s.Name)
}

func (d *decoder) portHint(b *body, s *Server) string {
	if b.path == "pool" {
		return "Write port = 8080 in the pool, or the port behind the server's address."
	}
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("Write the port behind the server's address, as in \"%s:8080\", or make a pool block with port = 8080.", host)
}

// anonymous makes the pool of a block that names its servers itself: every setting has its default.
func (d *decoder) anonymous(b *block) *Pool {
	p := &Pool{
		Name: b.label, Pos: b.pos(), Queue: 1000, QueueTimeout: 10 * time.Second, Panic: 0.1, LocalFirst: true, Spill: 0.5,
		KeepAlive: 256, Protocol: "http/1.1", Policy: Policy{Name: defaultPolicy, Key: HashKey{Kind: "client"}},
	}
	d.readPoolBlocks(p, nil, nil, nil)
	d.readMembers(b.body, p, 0)
	return p
}

func (d *decoder) readSticky(b *block) *Sticky {
	if b == nil {
		return nil
	}
	s := &Sticky{
		Cookie: b.str("cookie", "skein"),
		MaxAge: b.time("max_age", 0, 0, 400*24*time.Hour), // RFC 6265bis, section 5.5: browsers cut at 400 days
		Path:   b.str("path", "/"),
		Domain: b.str("domain", ""),
	}
	if s.MaxAge%time.Second != 0 {
		d.fail(b.where("max_age"), "Not a time", "max_age of a cookie is in whole seconds.")
	}
	if !isToken(s.Cookie) {
		d.fail(b.where("cookie"), "Not a cookie name", "%q: a cookie's name has letters, digits and !#$%%&'*+-.^_`|~ only.", shorten(s.Cookie))
	}
	if !strings.HasPrefix(s.Path, "/") || strings.ContainsAny(s.Path, "; ") || !isPrintable(s.Path) {
		d.fail(b.where("path"), "Not a path", "%q: the path of a cookie begins with / and has no spaces or semicolons.", shorten(s.Path))
	}
	if s.Domain != "" {
		name := strings.ToLower(strings.TrimPrefix(s.Domain, "."))
		if problem := badHostName(name); problem != "" {
			d.fail(b.where("domain"), "Not a host name", "%q: %s.", shorten(s.Domain), problem)
		}
		s.Domain = name
	}
	return s
}
