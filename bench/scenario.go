package main

import (
	"fmt"
	"time"
)

// scenario is one question: this load, on these contenders, compared by the first of these figures.
type scenario struct {
	name    string
	title   string
	load    func(Settings) Load
	field   func([]proxy) []contender
	columns []column
	alone   bool // each measurement starts a proxy of its own, and no other runs meanwhile
}

// contender is a row of a table: a proxy in one of its variants.
type contender struct {
	name  string
	proxy proxy
	setup setup // the variant; where it listens is filled in when it starts
	paths int   // of Load, when the path contains %d
	warm  int64 // requests before counting
}

// column is one figure of a row. The first of a scenario is the one that is compared: smaller is better.
type column struct {
	title string
	unit  string
	of    func(Result) float64
}

var (
	cpuPerRequest = column{"CPU per request", "µs", Result.CPUPerRequest}
	rate          = column{"requests", "/s", Result.Rate}
	busy          = column{"cores used", "", Result.Busy}
	median        = column{"p50", "µs", func(r Result) float64 { return micro(r.P50) }}
	p99           = column{"p99", "µs", func(r Result) float64 { return micro(r.P99) }}
	p999          = column{"p99.9", "µs", func(r Result) float64 { return micro(r.P999) }}
	cpuPerGiB     = column{"CPU per GiB", "ms", func(r Result) float64 { return r.CPUPerGiB(largeSize) }}
	throughput    = column{"throughput", "MiB/s", func(r Result) float64 { return r.Rate() * largeSize / (1 << 20) }}
	rssPerClient  = column{"RSS per client", "KiB", Result.RSSPerClient}
	pssPerClient  = column{"PSS per client", "KiB", Result.PSSPerClient}
	rssBefore     = column{"RSS before", "MiB", func(r Result) float64 { return float64(r.Before.RSS) / (1 << 20) }}
)

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// warmup is long enough for connections to the origin, for the tables of the kernel and for a Go program's first
// collections.
const warmup = 400 * time.Millisecond

// scenarios is THE list of what is measured.
func scenarios() []scenario {
	small := func(s Settings) Load {
		return Load{Mode: Closed, Path: "/", Length: smallSize, Conns: s.Conns, Warmup: warmup, Time: s.Time}
	}
	requests := []column{cpuPerRequest, rate, busy, median, p99}
	return []scenario{
		{
			name: "keepalive", title: "small GET, connections kept alive, closed loop",
			load: small, field: everyone, columns: requests,
		},
		{
			name: "newconn", title: "small GET, a new client connection for each request, closed loop",
			load: func(s Settings) Load {
				l := small(s)
				l.Mode = Fresh
				return l
			},
			field: everyone, columns: requests,
		},
		{
			name: "large", title: "1 MiB answers, 4 connections kept alive, closed loop",
			load: func(s Settings) Load {
				return Load{Mode: Closed, Path: largePath, Length: largeSize, Conns: 4, Warmup: warmup, Time: s.Time}
			},
			field: everyoneAndSplice, columns: []column{cpuPerGiB, throughput, busy},
		},
		{
			name: "latency", title: "small GET, 64 connections kept alive, open loop at a fixed rate",
			load: func(s Settings) Load {
				l := small(s)
				l.Mode, l.Conns, l.Rate = Open, 64, s.Rate
				return l
			},
			field: everyone, columns: []column{p99, median, p999, cpuPerRequest, busy},
		},
		{
			name: "idle", title: "clients that made one request each and stay connected",
			load: func(s Settings) Load {
				return Load{Mode: Idle, Path: "/", Length: smallSize, Conns: s.Clients, Time: max(s.Time, time.Second)}
			},
			field: everyone, columns: []column{rssPerClient, pssPerClient, rssBefore}, alone: true,
		},
		{
			name: "log", title: "as keepalive, with an access log line per request in a file",
			load: small, field: everyoneWithLog, columns: requests,
		},
		{
			name: "routes", title: "as keepalive, one member behind many routes, all of them used in turn (skein only)",
			load: func(s Settings) Load {
				l := small(s)
				l.Path = "/r%d/"
				return l
			},
			field: manyRoutes, columns: requests, alone: true,
		},
		{
			name: "members", title: "as keepalive, one pool of many members, all of them used in turn",
			load: small, field: manyMembers, columns: requests, alone: true,
		},
		{
			name: "tls", title: "small GET over TLS 1.3, connections kept alive, closed loop",
			load: func(s Settings) Load {
				l := small(s)
				l.Mode = Secure
				return l
			},
			field: everyoneSecure, columns: requests,
		},
		{
			name: "handshake", title: "small GET after a full TLS 1.3 handshake each (ECDSA P-256), closed loop",
			load: func(s Settings) Load {
				l := small(s)
				l.Mode, l.Conns = Handshake, 4
				return l
			},
			field: everyoneSecure, columns: requests,
		},
		{
			name: "h2", title: "small GET over HTTP/2 and TLS 1.3, 4 connections with 10 streams each, by h2load",
			load: func(s Settings) Load {
				l := small(s)
				l.Mode, l.Conns, l.Streams = H2, 4, 10
				return l
			},
			field: everyoneSecure, columns: []column{cpuPerRequest, rate, busy},
		},
		{
			name: "h3", title: "small GET over HTTP/3, 4 connections with 10 streams each (nginx and HAProxy of Debian have none)",
			load: func(s Settings) Load {
				l := small(s)
				l.Mode, l.Conns, l.Streams = H3, 4, 10
				return l
			},
			field: overQUIC, columns: requests,
		},
		{
			name: "fastcgi", title: "small GET answered by FastCGI, a connection for each request, closed loop",
			load: small, field: scripts(false), columns: requests,
		},
		{
			name: "fastcgi-keep", title: "as fastcgi, connections to the origin kept",
			load: small, field: scripts(true), columns: requests,
		},
	}
}

func everyoneSecure(present []proxy) []contender {
	field := everyone(present)
	for i := range field {
		field[i].setup.TLS = true
	}
	return field
}

func overQUIC(present []proxy) []contender {
	var field []contender
	for _, p := range present {
		if p.name == "skein" || p.name == "caddy" {
			field = append(field, contender{name: p.name, proxy: p, setup: setup{TLS: true, H3: true}})
		}
	}
	return field
}

func scripts(keep bool) func([]proxy) []contender {
	return func(present []proxy) []contender {
		var field []contender
		for _, p := range present {
			if p.name == "skein" || p.name == "nginx" {
				field = append(field, contender{name: p.name, proxy: p, setup: setup{FastCGI: true, Keep: keep}})
			}
		}
		return field
	}
}

func everyone(present []proxy) []contender {
	var field []contender
	for _, p := range present {
		field = append(field, contender{name: p.name, proxy: p})
	}
	return field
}

func everyoneWithLog(present []proxy) []contender {
	field := everyone(present)
	for i := range field {
		field[i].setup.Log = "access.log"
	}
	return field
}

func everyoneAndSplice(present []proxy) []contender {
	field := everyone(present)
	for _, p := range present {
		if p.name == "haproxy" {
			field = append(field, contender{name: "haproxy splice", proxy: p, setup: setup{Splice: true}})
		}
	}
	return field
}

var many = []int{10, 1000, 10000}

func manyRoutes(present []proxy) []contender {
	var field []contender
	for _, p := range present {
		for _, n := range many {
			if p.name == "skein" {
				field = append(field, contender{
					name: fmt.Sprintf("%s, %d routes", p.name, n), proxy: p, setup: setup{Routes: n}, paths: n, warm: int64(n),
				})
			}
		}
	}
	return field
}

// manyMembers warms up with two requests for each member, so that connecting to them is over before counting. HAProxy is
// the yardstick: it pays for many sockets too. Nginx is not in it, for its cache of connections is searched one by one.
func manyMembers(present []proxy) []contender {
	var field []contender
	for _, p := range present {
		for _, n := range many {
			if p.name == "skein" || p.name == "haproxy" {
				field = append(field, contender{
					name: fmt.Sprintf("%s, %d members", p.name, n), proxy: p, setup: setup{Members: n}, warm: 2 * int64(n),
				})
			}
		}
	}
	return field
}
