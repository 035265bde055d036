package web

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skein/config"
	"skein/web/http1"
)

// received parses a request as it came from a client at 10.0.0.9, for a site and a route.
func received(t testing.TB, raw string, h *config.HTTP, r *config.Route) *exchange {
	t.Helper()
	var req http1.Request
	raw = strings.ReplaceAll(raw, "\n", "\r\n")
	if n, err := req.Parse([]byte(raw), http1.Limits{}); err != nil || n != len(raw) {
		t.Fatalf("parse %q = %d, %v", raw, n, err)
	}
	x := &exchange{
		method: string(req.Method), scheme: "http", authority: req.Authority, path: req.Path, query: req.Query, fields: req.Fields,
		proto: "HTTP/1.1", trailers: req.Trailers, expect: req.Expect, upgrade: req.Upgrade,
		hops: &hops{}, client: &client{addr: netip.MustParseAddr("10.0.0.9"), ip: "10.0.0.9"},
		site: &site{cfg: h}, route: &route{cfg: r, request: newEdits(r.Request), response: newEdits(r.Response), strip: []byte(r.Strip)},
	}
	switch {
	case req.Chunked:
		x.length = -1
	case req.Length > 0:
		x.length = req.Length
	}
	if !x.hops.collect(x.fields) {
		t.Fatal("too many hops")
	}
	return x
}

func TestAppendRequest(t *testing.T) {
	const forwarded = "X-Forwarded-For: 10.0.0.9\nX-Forwarded-Proto: http\nX-Forwarded-Host: h\n"
	for name, c := range map[string]struct {
		raw     string
		site    config.HTTP
		route   config.Route
		trusted bool
		want    string
	}{
		"plain": {
			raw:  "GET /a?b HTTP/1.1\nHost: h\nAccept: */*\nX-Two: 1\nX-Two: 2\n\n",
			want: "GET /a?b HTTP/1.1\nHost: h\nAccept: */*\nX-Two: 1\nX-Two: 2\n" + forwarded + "\n",
		},
		"empty query": {
			raw:  "GET /? HTTP/1.1\nHost: h\n\n",
			want: "GET /? HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"hop-by-hop, two Connection lines": {
			raw: "GET / HTTP/1.1\nHost: h\nConnection: keep-alive, X-One\nX-One: 1\nX-Stay: 1\nConnection: x-two,,close\nx-TWO: 2\n" +
				"Keep-Alive: 5\nProxy-Connection: x\nProxy-Authorization: x\nProxy-Authenticate: x\nTrailer: x\nTE: gzip\nUpgrade: h2c\nHTTP2-Settings: x\n\n",
			want: "GET / HTTP/1.1\nHost: h\nX-Stay: 1\n" + forwarded + "\n",
		},
		"trailers are welcome": {
			raw:  "GET / HTTP/1.1\nHost: h\nConnection: TE\nTE: trailers, gzip\n\n",
			want: "GET / HTTP/1.1\nHost: h\n" + forwarded + "Connection: TE\nTE: trailers\n\n",
		},
		"upgrade": {
			raw:  "GET / HTTP/1.1\nHost: h\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k\n\n",
			want: "GET / HTTP/1.1\nHost: h\nSec-WebSocket-Key: k\n" + forwarded + "Connection: upgrade\nUpgrade: websocket\n\n",
		},
		"length": {
			raw:  "POST / HTTP/1.1\nHost: h\nContent-Length: 007\nContent-Type: t\n\n",
			want: "POST / HTTP/1.1\nHost: h\nContent-Type: t\n" + forwarded + "Content-Length: 7\n\n",
		},
		"no body says so": {
			raw:  "POST / HTTP/1.1\nHost: h\n\n",
			want: "POST / HTTP/1.1\nHost: h\n" + forwarded + "Content-Length: 0\n\n",
		},
		"no body where none is expected": {
			raw:  "DELETE / HTTP/1.1\nHost: h\nContent-Length: 0\n\n",
			want: "DELETE / HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"chunks and expectation": {
			raw:  "PUT / HTTP/1.1\nHost: h\nTransfer-Encoding: Chunked\nExpect: 100-Continue\n\n",
			want: "PUT / HTTP/1.1\nHost: h\n" + forwarded + "Transfer-Encoding: chunked\nExpect: 100-continue\n\n",
		},
		"underscores": {
			raw:  "GET / HTTP/1.1\nHost: h\nX_Forwarded_For: 1\nX-A_B: 1\n\n",
			want: "GET / HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"underscores allowed": {
			raw:  "GET / HTTP/1.1\nHost: h\nX-A_B: 1\n\n",
			site: config.HTTP{Underscores: true},
			want: "GET / HTTP/1.1\nHost: h\nX-A_B: 1\n" + forwarded + "\n",
		},
		"HTTP/1.0 without a host": {
			raw:  "GET / HTTP/1.0\n\n",
			want: "GET / HTTP/1.1\nHost: \nX-Forwarded-For: 10.0.0.9\nX-Forwarded-Proto: http\n\n",
		},
		"asterisk": {
			raw:  "OPTIONS * HTTP/1.1\nHost: h\n\n",
			want: "OPTIONS * HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"absolute form": {
			raw:  "GET http://Other:81/x HTTP/1.1\nHost: h\n\n",
			want: "GET /x HTTP/1.1\nHost: Other:81\nX-Forwarded-For: 10.0.0.9\nX-Forwarded-Proto: http\nX-Forwarded-Host: Other:81\n\n",
		},

		"a stranger's word about the client": {
			raw: "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\nX-Forwarded-Port: 1\n" +
				"X-Forwarded-Prefix: /\nX-Forwarded-Server: s\nX-Real-IP: 1.1.1.1\nForwarded: for=1.1.1.1\n\n",
			want: "GET / HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"a stranger names our fields away": {
			raw:  "GET / HTTP/1.1\nHost: h\nConnection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP\n\n",
			want: "GET / HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"a trusted peer's word": {
			raw: "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 2.2.2.2,3.3.3.3\nX-Forwarded-Proto: https\n" +
				"X-Forwarded-Host: out\nX-Real-IP: 1.1.1.1\nX-Forwarded-Port: 443\n\n",
			trusted: true,
			want: "GET / HTTP/1.1\nHost: h\nX-Forwarded-Proto: https\nX-Forwarded-Host: out\nX-Real-IP: 1.1.1.1\nX-Forwarded-Port: 443\n" +
				"X-Forwarded-For: 1.1.1.1, 2.2.2.2,3.3.3.3, 10.0.0.9\n\n",
		},
		"a trusted peer says nothing": {
			raw:     "GET / HTTP/1.1\nHost: h\n\n",
			trusted: true,
			want:    "GET / HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"a trusted peer names the fields away": {
			raw: "GET / HTTP/1.1\nHost: h\nConnection: x-forwarded-proto, X-Forwarded-For, X-Forwarded-Host\nX-Forwarded-For: 1.1.1.1\n" +
				"X-Forwarded-Proto: https\nX-Forwarded-Host: out\n\n",
			trusted: true,
			want:    "GET / HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"rfc7239": {
			raw:  "GET / HTTP/1.1\nHost: h:81\nForwarded: for=1.1.1.1\nX-Forwarded-For: 1.1.1.1\n\n",
			site: config.HTTP{Forward: "rfc7239"},
			want: "GET / HTTP/1.1\nHost: h:81\nForwarded: for=10.0.0.9;host=\"h:81\";proto=http\n\n",
		},
		"rfc7239, trusted": {
			raw:     "GET / HTTP/1.1\nHost: h\nForwarded: for=1.1.1.1\n\n",
			site:    config.HTTP{Forward: "rfc7239"},
			trusted: true,
			want:    "GET / HTTP/1.1\nHost: h\nForwarded: for=1.1.1.1, for=10.0.0.9;host=\"h\";proto=http\n\n",
		},
		"both": {
			raw:  "GET / HTTP/1.1\nHost: h\n\n",
			site: config.HTTP{Forward: "both"},
			want: "GET / HTTP/1.1\nHost: h\n" + forwarded + "Forwarded: for=10.0.0.9;host=\"h\";proto=http\n\n",
		},
		"off": {
			raw:  "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\nForwarded: x\n\n",
			site: config.HTTP{Forward: "off"},
			want: "GET / HTTP/1.1\nHost: h\n\n",
		},
		"off, trusted": {
			raw:     "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\n\n",
			site:    config.HTTP{Forward: "off"},
			trusted: true,
			want:    "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\n\n",
		},

		"edits": {
			raw: "GET / HTTP/1.1\nHost: h\nx-gone: 1\nX-SET: old\nX-Set: older\nX-Add: 1\n\n",
			route: config.Route{Request: config.HeaderEdits{
				Remove: []string{"X-Gone"},
				Set:    []config.HeaderValue{{Name: "X-Set", Value: "new"}, {Name: "host", Value: "inside"}},
				Add:    []config.HeaderValue{{Name: "X-Add", Value: "2"}},
			}},
			want: "GET / HTTP/1.1\nHost: inside\nX-Add: 1\n" + forwarded + "X-Set: new\nX-Add: 2\n\n",
		},
		"edits of what we write": {
			raw: "GET / HTTP/1.1\nHost: h\nX-Forwarded-Proto: ftp\n\n",
			route: config.Route{Request: config.HeaderEdits{
				Remove: []string{"X-Forwarded-Host"}, Set: []config.HeaderValue{{Name: "X-Forwarded-Proto", Value: "https"}},
			}},
			want: "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 10.0.0.9\nX-Forwarded-Proto: https\n\n",
		},
		"edits of Forwarded": {
			raw:   "GET / HTTP/1.1\nHost: h\n\n",
			site:  config.HTTP{Forward: "both"},
			route: config.Route{Request: config.HeaderEdits{Remove: []string{"forwarded", "x-forwarded-for"}}},
			want:  "GET / HTTP/1.1\nHost: h\nX-Forwarded-Proto: http\nX-Forwarded-Host: h\n\n",
		},
		"strip": {
			raw:   "GET /api/x HTTP/1.1\nHost: h\n\n",
			route: config.Route{Strip: "/api"},
			want:  "GET /x HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"strip with a slash": {
			raw:   "GET /api/x HTTP/1.1\nHost: h\n\n",
			route: config.Route{Strip: "/api/"},
			want:  "GET /x HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
		"strip all": {
			raw:   "GET /api?q HTTP/1.1\nHost: h\n\n",
			route: config.Route{Strip: "/api"},
			want:  "GET /?q HTTP/1.1\nHost: h\n" + forwarded + "\n",
		},
	} {
		if c.site.Forward == "" {
			c.site.Forward = "x"
		}
		x := received(t, c.raw, &c.site, &c.route)
		x.client.trusted = c.trusted
		got := strings.ReplaceAll(string(x.appendRequest(nil)), "\r\n", "\n")
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAppendRequestForIPv6(t *testing.T) {
	x := received(t, "GET / HTTP/1.1\nHost: [::1]:80\n\n", &config.HTTP{Forward: "both"}, &config.Route{})
	x.client.addr, x.client.ip = netip.MustParseAddr("2001:db8::9"), "2001:db8::9"
	want := "GET / HTTP/1.1\nHost: [::1]:80\nX-Forwarded-For: 2001:db8::9\nX-Forwarded-Proto: http\nX-Forwarded-Host: [::1]:80\n" +
		"Forwarded: for=\"[2001:db8::9]\";host=\"[::1]:80\";proto=http\n\n"
	if d := cmp.Diff(want, strings.ReplaceAll(string(x.appendRequest(nil)), "\r\n", "\n")); d != "" {
		t.Error(d)
	}
}

func TestHops(t *testing.T) {
	line := func(v string) Field { return Field{Name: []byte("Connection"), Value: []byte(v), ID: http1.Connection} }
	for name, c := range map[string]struct {
		fields []Field
		want   []string
		many   bool
	}{
		"none":                {},
		"known ones":          {fields: []Field{line("close"), line("Keep-Alive, TE , upgrade,HTTP2-Settings")}},
		"two lines":           {fields: []Field{line("a, close"), line("B,,c")}, want: []string{"a", "b", "c"}},
		"a known name":        {fields: []Field{line("cookie")}, want: []string{"Cookie"}},
		"as many as allowed":  {fields: []Field{line(strings.Repeat("x,", maxHops))}, want: []string{"X"}},
		"too many":            {fields: []Field{line(strings.Repeat("x,", maxHops+1))}, many: true},
		"too many, two lines": {fields: []Field{line(strings.Repeat("x,", maxHops)), line("y")}, many: true},
	} {
		var h hops
		if ok := h.collect(c.fields); ok == c.many {
			t.Errorf("%s: collect = %v", name, ok)
		}
		for _, n := range c.want {
			if !h.has([]byte(n)) {
				t.Errorf("%s: has(%q) = false", name, n)
			}
		}
		if len(c.want) == 0 && !c.many && h.n > 0 {
			t.Errorf("%s: %d names", name, h.n)
		}
		if h.has([]byte("close")) || h.has([]byte("keep-alive")) {
			t.Errorf("%s: has a connection option", name)
		}
	}
}

func TestVisitor(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for name, c := range map[string]struct {
		lines   []string
		trusted bool
		want    string
	}{
		"stranger":                   {[]string{"1.1.1.1"}, false, "10.0.0.9"},
		"no field":                   {nil, true, "10.0.0.9"},
		"one":                        {[]string{"1.1.1.1"}, true, "1.1.1.1"},
		"the left end is anything":   {[]string{"6.6.6.6, 1.1.1.1"}, true, "1.1.1.1"},
		"our proxies are skipped":    {[]string{"6.6.6.6, 1.1.1.1, 10.1.1.1,10.2.2.2"}, true, "1.1.1.1"},
		"several lines":              {[]string{"6.6.6.6", "1.1.1.1, 10.1.1.1", "10.2.2.2"}, true, "1.1.1.1"},
		"only our proxies":           {[]string{"10.1.1.1, 10.2.2.2"}, true, "10.1.1.1"},
		"IPv6":                       {[]string{"2606::1, 2001:db8::7"}, true, "2606::1"},
		"IPv4 in IPv6":               {[]string{"1.1.1.1, ::ffff:10.1.1.1"}, true, "1.1.1.1"},
		"garbage ends the belief":    {[]string{"1.1.1.1, unknown, 10.1.1.1"}, true, "10.1.1.1"},
		"garbage alone":              {[]string{"unknown"}, true, "10.0.0.9"},
		"a port is no address":       {[]string{"1.1.1.1:80"}, true, "10.0.0.9"},
		"empty":                      {[]string{""}, true, "10.0.0.9"},
		"empty element":              {[]string{"1.1.1.1, , 10.1.1.1"}, true, "10.1.1.1"},
		"ends with a comma":          {[]string{"1.1.1.1,"}, true, "10.0.0.9"},
		"another field between them": {[]string{"1.1.1.1", "\x00X-Other: 6.6.6.6", "10.1.1.1"}, true, "1.1.1.1"},
	} {
		x := &exchange{table: &table{trusted: trusted}, client: &client{addr: netip.MustParseAddr("10.0.0.9"), trusted: c.trusted}}
		for _, l := range c.lines {
			f := Field{Name: []byte("X-Forwarded-For"), Value: []byte(l), ID: http1.XForwardedFor}
			if strings.HasPrefix(l, "\x00") {
				f.ID = http1.Other
			}
			x.fields = append(x.fields, f)
		}
		if got := x.visitor().String(); got != c.want {
			t.Errorf("%s: visitor = %s, want %s", name, got, c.want)
		}
	}
}

func TestAppendAnswer(t *testing.T) {
	var resp http1.Response
	raw := strings.ReplaceAll("HTTP/1.1 200 Fine\nServer: s\nConnection: x-hop, close\nX-Hop: 1\nKeep-Alive: 1\nContent-Length: 3\n"+
		"Set-Cookie: a\nSet-Cookie: b\nX-Gone: 1\nProxy-Authenticate: x\n\n", "\n", "\r\n")
	if _, err := resp.Parse([]byte(raw), http1.Limits{}); err != nil {
		t.Fatal(err)
	}
	var h hops
	h.collect(resp.Fields)
	e := newEdits(config.HeaderEdits{
		Remove: []string{"x-gone"}, Set: []config.HeaderValue{{Name: "Server", Value: "skein"}},
		Add: []config.HeaderValue{{Name: "Set-Cookie", Value: "c"}},
	})
	got := appendAnswer(nil, &answer{status: 200, reason: resp.Reason, fields: resp.Fields, hops: &h, edits: &e, extra: []byte("X-Extra: 1\r\n")}, "X-Frame: 1\r\n")
	want := "HTTP/1.1 200 Fine\nSet-Cookie: a\nSet-Cookie: b\nServer: skein\nSet-Cookie: c\nX-Extra: 1\nX-Frame: 1\n"
	if d := cmp.Diff(want, strings.ReplaceAll(string(got), "\r\n", "\n")); d != "" {
		t.Error(d)
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	x := received(b, "GET /catalogue/item/17?page=3 HTTP/1.1\nHost: shop.example.com\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\n"+
		"Accept: text/html,application/xhtml+xml\nAccept-Encoding: gzip, br\nAccept-Language: en\nCookie: session=0123456789abcdef\nConnection: keep-alive\n\n",
		&config.HTTP{Forward: "x"}, &config.Route{})
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = x.appendRequest(buf[:0])
	}
}
