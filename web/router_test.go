package web

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skein/config"
	"skein/pool"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"/":                 "/",
		"/a/b":              "/a/b",
		"/a//b/":            "/a//b/",
		"/.":                "/",
		"/./":               "/",
		"/a/.":              "/a/",
		"/a/./b":            "/a/b",
		"/a/..":             "/",
		"/a/../":            "/",
		"/a/b/../c":         "/a/c",
		"/a/b/../../c":      "/c",
		"//..":              "/",
		"/a//../b":          "/a/b",
		"/...":              "/...",
		"/.a/..b/c..":       "/.a/..b/c..",
		"/%61%2D%2e%5f%7E":  "/a-._~",
		"/%2e%2e/a":         "",
		"/a/%2E%2e/b":       "/b",
		"/a/.%2e/b":         "/b",
		"/a%2fb":            "/a%2Fb",
		"/a%2f..%2fb":       "/a%2F..%2Fb",
		"/%2f%3a%c3%a9":     "/%2F%3A%C3%A9",
		"/%252e%252e/":      "/%252e%252e/",
		"/..":               "",
		"/a/../..":          "",
		"/a/../../b":        "",
		"/%5c..":            "/%5C..",
		"/a;x=/../b":        "/b",
		"/.well-known/acme": "/.well-known/acme",
	} {
		got, err := normalize([]byte(in))
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("normalize(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

// slowNormal is normalize, written to be read.
func slowNormal(path string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		var v byte
		fmt.Sscanf(path[i+1:i+3], "%02x", &v)
		if strings.IndexByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", v) >= 0 {
			b.WriteByte(v)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	segments := strings.Split(b.String(), "/")[1:]
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			if len(out) == 0 {
				return "", false
			}
			out = out[:len(out)-1]
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/"), true
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2E/", "//./..//a%2f", "/a/b/./../%7e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !validPath(path) {
			t.Skip()
		}
		got, err := normalize([]byte(path))
		want, ok := slowNormal(path)
		if (err == nil) != ok || string(got) != want {
			t.Fatalf("normalize(%q) = %q, %v, want %q, %v", path, got, err, want, ok)
		}
		if err != nil {
			return
		}
		again, err := normalize(slices.Clone(got))
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("normalize(%q) = %q, and of that %q, %v", path, got, again, err)
		}
		for s := range strings.SplitSeq(string(got), "/") {
			if s == "." || s == ".." {
				t.Errorf("normalize(%q) = %q", path, got)
			}
		}
	})
}

// validPath is what the parser lets through.
func validPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	hex := func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
	for i := range len(p) {
		switch c := p[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>{}`?#", c) >= 0:
			return false
		case c == '%' && (i+2 >= len(p) || !hex(p[i+1]) || !hex(p[i+2])):
			return false
		}
	}
	return true
}

func TestRoute(t *testing.T) {
	p := &config.Pool{}
	s := newSite(&config.HTTP{
		Default: config.Route{Path: "default", Pool: p},
		Routes: []config.Route{
			{Path: "/api", Pool: p},
			{Path: "/api/", Pool: p, Strip: "below"},
			{Path: "/api/v1", Pool: p},
			{Path: "/api/v1", Pool: p, Exact: true},
			{Path: "/only", Pool: p, Exact: true},
			{Path: "/m", Pool: p},
			{Path: "/m", Pool: p, Methods: []string{"POST", "PUT"}},
			{Path: "/w/x", Pool: p, Methods: []string{"POST"}},
			{Path: "/w", Pool: p, Methods: []string{"GET"}},
		},
	}, pool.NewSet(), nil)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/", "default"},
		{"GET", "/api", "/api"},
		{"GET", "/api/", "/api/ below"},
		{"GET", "/api/x", "/api/ below"},
		{"GET", "/apix", "default"},
		{"GET", "/api/v1", "/api/v1 exact"},
		{"GET", "/api/v1/", "/api/v1"},
		{"GET", "/api/v1/x/y", "/api/v1"},
		{"GET", "/api/v10", "/api/ below"},
		{"GET", "/only", "/only exact"},
		{"GET", "/only/", "default"},
		{"GET", "/m", "/m"},
		{"POST", "/m", "/m POST,PUT"},
		{"PUT", "/m/x", "/m POST,PUT"},
		{"POST", "/w/x/y", "/w/x POST"},
		{"GET", "/w/x/y", "/w GET"},
		{"PUT", "/w/x", "default"},
		{"OPTIONS", "*", "default"},
	} {
		r, allow := s.route(c.method, []byte(c.path))
		got := r.cfg.Path
		if len(r.strip) > 0 {
			got += " " + string(r.strip)
		}
		if r.cfg.Exact {
			got += " exact"
		}
		if len(r.methods) > 0 {
			got += " " + strings.Join(r.methods, ",")
		}
		if got != c.want || allow != nil {
			t.Errorf("route(%s %s) = %q, %v, want %q", c.method, c.path, got, allow, c.want)
		}
	}
}

func TestRouteAllow(t *testing.T) {
	p := &config.Pool{}
	s := newSite(&config.HTTP{Routes: []config.Route{
		{Path: "/a", Pool: p, Methods: []string{"POST", "GET"}},
		{Path: "/a", Pool: p, Methods: []string{"GET", "PUT"}, Exact: true},
		{Path: "/", Pool: p, Methods: []string{"DELETE"}, Exact: true},
	}}, pool.NewSet(), nil)
	for path, want := range map[string][]string{"/a": {"GET", "POST", "PUT"}, "/a/b": {"GET", "POST"}, "/": {"DELETE"}, "/b": nil} {
		if r, allow := s.route("PATCH", []byte(path)); r != nil || !slices.Equal(allow, want) {
			t.Errorf("route(PATCH %s) = %v, %v, want %v", path, r, allow, want)
		}
	}
	if r, _ := s.route("GET", []byte("/a/b")); r == nil {
		t.Error("GET /a/b goes nowhere")
	}
}

func TestSite(t *testing.T) {
	c := &config.Config{}
	for _, hosts := range [][]string{{"example.com", "[2001:db8::1]", "192.0.2.1"}, {"*.example.com"}, {"*.deep.example.com", "a.example.com"}, nil} {
		c.HTTP = append(c.HTTP, &config.HTTP{Name: fmt.Sprint(hosts), Listen: []string{":1"}, Hosts: hosts, Trusted: []string{"10.1.2.3/8", "::1"}})
	}
	tb := newTables(c, pool.NewSet(), nil, func(string) *SiteStats { return &SiteStats{} })[":1"]
	first, wild, deep, any := c.HTTP[0].Name, c.HTTP[1].Name, c.HTTP[2].Name, c.HTTP[3].Name
	for in, want := range map[string]string{
		"example.com": first, "EXAMPLE.com:8080": first, "example.com.": first, "example.com.:80": first,
		"[2001:db8::1]": first, "[2001:DB8::1]:80": first, "192.0.2.1:80": first,
		"www.example.com": wild, "a.b.c.example.com": wild, "deep.example.com": wild,
		"x.deep.example.com": deep, "a.example.com": deep, "b.a.example.com": wild,
		"notexample.com": any, "com": any, "": any, "[::1]": any, strings.Repeat("a.", 200) + "example.com": any,
	} {
		if got := tb.site([]byte(in)); got.cfg.Name != want {
			t.Errorf("site(%q) = %s, want %s", in, got.cfg.Name, want)
		}
	}
	for in, want := range map[string]bool{"10.9.9.9": true, "11.0.0.1": false, "::1": true, "::2": false} {
		if got := tb.trusts(netip.MustParseAddr(in)); got != want {
			t.Errorf("trusts(%s) = %v", in, got)
		}
	}
}

func TestTablesShareAListener(t *testing.T) {
	a := &config.HTTP{Name: "a", Listen: []string{":1", ":2"}, Hosts: []string{"a"}}
	b := &config.HTTP{Name: "b", Listen: []string{":2"}, Hosts: []string{"b"}}
	tables := newTables(&config.Config{HTTP: []*config.HTTP{a, b}}, pool.NewSet(), nil, func(string) *SiteStats { return &SiteStats{} })
	if len(tables) != 2 || len(tables[":1"].sites) != 1 || len(tables[":2"].sites) != 2 {
		t.Fatalf("tables = %v", tables)
	}
	if tables[":1"].site([]byte("b")) != nil || tables[":2"].site([]byte("b")).cfg != b {
		t.Error("a block is where it does not listen, or not where it does")
	}
	if tables[":1"].exact["a"] != tables[":2"].exact["a"] {
		t.Error("one block is two sites")
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{"h": "h", "h:80": "h", "[::1]": "[::1]", "[::1]:80": "[::1]", "": ""} {
		if got := string(hostOf([]byte(in))); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", in, got, want)
		}
	}
}

// manyRoutes is a table with n hosts and n routes in one of them.
func manyRoutes(n int) *table {
	c := &config.Config{}
	p := &config.Pool{}
	big := &config.HTTP{Name: "big", Listen: []string{":1"}, Hosts: []string{"big.example.com"}, Default: config.Route{Pool: p}}
	for i := range n {
		big.Routes = append(big.Routes, config.Route{Path: fmt.Sprintf("/section%d/part", i), Pool: p})
		c.HTTP = append(c.HTTP, &config.HTTP{Name: fmt.Sprint(i), Listen: []string{":1"}, Hosts: []string{fmt.Sprintf("h%d.example.com", i)}})
	}
	c.HTTP = append(c.HTTP, big)
	return newTables(c, pool.NewSet(), nil, func(string) *SiteStats { return nil })[":1"]
}

func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		tb := manyRoutes(n)
		host, path := []byte("BIG.example.com:443"), []byte(fmt.Sprintf("/section%d/part/item/17", n/2))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r, _ := tb.site(host).route("GET", path); r == nil || r.cfg.Path == "" {
					b.Fatal("wrong route")
				}
			}
		})
	}
}

func TestKey(t *testing.T) {
	x := &exchange{
		authority: []byte("Shop.Example:80"), path: []byte("/p"), query: []byte("a=1&id=42&id=43"),
		fields: received(t, "GET / HTTP/1.1\nHost: h\nX-User: u1\nX-User: u2\nCookie: a=b; sid=abc ;x=y\nCookie: sid=other\n\n", &config.HTTP{}, &config.Route{}).fields,
	}
	x.line.visitor = netip.MustParseAddr("192.0.2.1")
	key := func(kind, name string) pool.Key {
		return x.key(config.Policy{Name: "hash", Key: config.HashKey{Kind: kind, Name: name}})
	}
	a := netip.MustParseAddr("192.0.2.1").As16()
	for _, c := range []struct {
		kind, name string
		want       pool.Key
	}{
		{"header", "x-user", pool.Hash([]byte("u1"))},
		{"header", "none", pool.Hash([]byte(nil))},
		{"cookie", "sid", pool.Hash([]byte("abc"))},
		{"cookie", "x", pool.Hash([]byte("y"))},
		{"cookie", "si", pool.Hash([]byte(nil))},
		{"query", "id", pool.Hash([]byte("42"))},
		{"query", "i", pool.Hash([]byte(nil))},
		{"host", "", pool.Hash([]byte("shop.example"))},
		{"client", "", pool.Hash(a[:])},
	} {
		if got := key(c.kind, c.name); got != c.want {
			t.Errorf("key(%s:%s) = %x, want %x", c.kind, c.name, got, c.want)
		}
	}
	with := key("uri", "")
	x.query = nil
	without := key("uri", "")
	x.query = []byte{}
	if with == without || without != pool.Hash([]byte("/p")) || key("uri", "") == without {
		t.Error("the query is not a part of the uri")
	}
	if got := x.key(config.Policy{Name: "round_robin"}); got != 0 {
		t.Errorf("key of a policy without = %x", got)
	}
	if x.key(config.Policy{Name: "ip_hash"}) != pool.Hash(a[:]) {
		t.Error("ip_hash is not by client")
	}
}

func TestStickyCookie(t *testing.T) {
	m := &pool.Member{Hash: 0xab}
	for name, c := range map[string]struct {
		s      config.Sticky
		scheme string
		want   string
	}{
		"plain": {config.Sticky{Cookie: "skein", Path: "/"}, "http", "Set-Cookie: skein=00000000000000ab; Path=/; HttpOnly; SameSite=Lax\r\n"},
		"all":   {config.Sticky{Cookie: "c", Path: "/x", Domain: "d", MaxAge: 90e9}, "https", "Set-Cookie: c=00000000000000ab; Path=/x; Domain=d; Max-Age=90; HttpOnly; SameSite=Lax; Secure\r\n"},
	} {
		if d := cmp.Diff(c.want, string(stickyCookie(&c.s, m, c.scheme))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
