package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, src string, o Options) *Config {
	t.Helper()
	c, err := Parse("skein.hcl", []byte(src), o)
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return c
}

func TestSmallest(t *testing.T) {
	c := parse(t, `
http "site" {
  listen  = ":8080"
  servers = ["10.0.0.11:8080", "web.example.com:81"]
}`, Options{})
	if len(c.HTTP) != 1 || len(c.Pools) != 1 || c.HTTP[0].Default.Pool != c.Pools[0] {
		t.Fatalf("blocks = %+v, pools = %+v, want one of each, tied", c.HTTP, c.Pools)
	}
	want := &Pool{
		Name: "site", Pos: Pos{"skein.hcl", 2},
		Members: []Member{
			{Server: &Server{Name: "10.0.0.11:8080", Host: "10.0.0.11", Port: 8080, Weight: 1}, Port: 8080, Weight: 1},
			{Server: &Server{Name: "web.example.com:81", Host: "web.example.com", Port: 81, Weight: 1}, Port: 81, Weight: 1},
		},
		Policy: Policy{Name: "round_robin", Key: HashKey{Kind: "client"}},
		Queue:  1000, QueueTimeout: 10 * time.Second, Panic: 0.1, LocalFirst: true, Spill: 0.5, KeepAlive: 256, Protocol: "http/1.1",
		Eject:    Eject{Errors: 5, Time: 10 * time.Second, MaxTime: 5 * time.Minute, MaxShare: 0.5},
		Retry:    Retry{Tries: 3, Budget: 0.2, Floor: 20},
		Timeouts: PoolTimeouts{Connect: 3 * time.Second, FirstByte: time.Minute, Idle: time.Minute, KeepAlive: 55 * time.Second},
	}
	if diff := cmp.Diff(want, c.Pools[0]); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
	wantHTTP := &HTTP{
		Name: "site", Pos: Pos{"skein.hcl", 2}, Listen: []string{":8080"}, Forward: "x", Upgrades: []string{"websocket"},
		Limits: Limits{Header: 16 << 10, Fields: 100, URI: 8 << 10, Streams: 128, Glitches: 100}, Protocols: []string{"http/1.1"},
		Timeouts: HTTPTimeouts{
			Header: 10 * time.Second, Idle: 75 * time.Second, Body: 30 * time.Second, MinRate: 240,
			Ceiling: 24 * time.Hour, TLS: 10 * time.Second, Tunnel: time.Hour, Drain: 30 * time.Second,
		},
		Default: Route{Pos: Pos{"skein.hcl", 2}, Path: "/", Pool: c.Pools[0]},
	}
	if diff := cmp.Diff(wantHTTP, c.HTTP[0]); diff != "" {
		t.Errorf("http (-want +got):\n%s", diff)
	}
	if len(c.Servers) != 2 || c.Servers[0] != c.Pools[0].Members[0].Server {
		t.Errorf("servers = %v, want those of the pool", c.Servers)
	}
}

func TestPorts(t *testing.T) {
	c := parse(t, `
servers = {
  own  = "10.0.0.1:81"
  none = "10.0.0.2"
  six  = "[2001:db8::1]:82"
  bare = "2001:DB8::2"
}
pool "given" {
  servers = [server.own, server.none, "10.0.0.3:83", "10.0.0.4", server.bare]
  port    = 90
}
pool "own" {
  servers = [server.own, server.six]
}
http "a" {
  listen = ":80"
  pool   = pool.given
  route "/x" {
    pool = pool.own
  }
}`, Options{})
	var got []string
	for _, p := range c.Pools {
		for _, m := range p.Members {
			got = append(got, fmt.Sprintf("%s %s %d", p.Name, m.Server.Host, m.Port))
		}
	}
	want := []string{
		"given 10.0.0.1 90", "given 10.0.0.2 90", "given 10.0.0.3 83", "given 10.0.0.4 90", "given 2001:db8::2 90",
		"own 10.0.0.1 81", "own 2001:db8::1 82",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

func TestWeights(t *testing.T) {
	c := parse(t, `
servers = {
  a = "10.0.0.1:81"
  b = "10.0.0.2:81"
}
server "a" {
  weight = 5
}
pool "p" {
  servers = [server.a, server.b, "10.0.0.3:81"]
  weights = { b = 3, "10.0.0.3:81" = 7 }
}
pool "q" {
  servers = [server.a]
  weights = { a = 2 }
}
http "h" {
  listen = ":80"
  pool   = pool.p
  route "/q" {
    pool = pool.q
  }
}`, Options{})
	var got []int
	for _, p := range c.Pools {
		for _, m := range p.Members {
			got = append(got, m.Weight)
		}
	}
	if diff := cmp.Diff([]int{5, 3, 7, 2}, got); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

func TestRedirect(t *testing.T) {
	c := parse(t, `
http "a" {
  listen = ":80"
  route "/" {
    redirect = "https://{host}{uri}"
  }
}`, Options{})
	r := c.HTTP[0].Routes[0]
	if diff := cmp.Diff(&Redirect{To: "https://{host}{uri}", Status: 308}, r.Redirect); diff != "" || r.Pool != nil {
		t.Errorf("redirect (-want +got):\n%s\npool = %v", diff, r.Pool)
	}
}

func TestRoutesInherit(t *testing.T) {
	c := parse(t, `
http "a" {
  listen   = ":80"
  servers  = ["10.0.0.1:80"]
  max_body = "1MiB"
  request_headers {
    set    = { A = "1", B = "1" }
    add    = { C = "1", D = "1" }
    remove = ["E", "F"]
  }
  route "/x" {
    request_headers {
      set    = { a = "2", E = "2" }
      add    = { C = "2", B = "2" }
      remove = ["D"]
    }
  }
  route "/y" {
    max_body = 5
  }
}`, Options{})
	x, y := c.HTTP[0].Routes[0], c.HTTP[0].Routes[1]
	want := HeaderEdits{
		Set:    []HeaderValue{{Name: "B", Value: "1"}, {Name: "a", Value: "2"}, {Name: "E", Value: "2"}},
		Add:    []HeaderValue{{Name: "C", Value: "1"}, {Name: "C", Value: "2"}, {Name: "B", Value: "2"}},
		Remove: []string{"F", "D"},
	}
	if diff := cmp.Diff(want, x.Request); diff != "" {
		t.Errorf("edits of /x (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(c.HTTP[0].Default.Request, y.Request); diff != "" {
		t.Errorf("edits of /y (-block +route):\n%s", diff)
	}
	if x.MaxBody != 1<<20 || y.MaxBody != 5 || x.Pool != c.HTTP[0].Default.Pool {
		t.Errorf("max_body = %d and %d, want 1048576 and 5, and the block's pool", x.MaxBody, y.MaxBody)
	}
}

func TestErrorPages(t *testing.T) {
	o := Options{ReadFile: func(path string) ([]byte, error) { return []byte(path), nil }}
	c, err := Parse("dir/skein.hcl", []byte(`
http "a" {
  listen      = ":80"
  servers     = ["10.0.0.1:80"]
  error_pages = { "503" = "busy.json", "5xx" = "/srv/sorry.html" }
}`), o)
	if err != nil {
		t.Fatal(err)
	}
	e := c.HTTP[0].Errors
	if got := e[503]; string(got.Body) != "dir/busy.json" || got.Type != "application/json" {
		t.Errorf("page 503 = %q %s", got.Body, got.Type)
	}
	if got := e[502]; string(got.Body) != "/srv/sorry.html" || got.Type != "text/html; charset=utf-8" {
		t.Errorf("page 502 = %q %s", got.Body, got.Type)
	}
	if _, ok := e[404]; ok || len(e) != 100 {
		t.Errorf("%d pages, want 100 and none for 404", len(e))
	}
}

func TestPlacement(t *testing.T) {
	const src = `
region "beijing" {
  servers = { lb1 = "10.1.0.11", web1 = "10.1.0.21" }
}
region "hangzhou" {
  servers = { lb2 = "10.2.0.11", web2 = "2001:db8::21" }
}
pool "p" {
  servers = [server.web1, server.web2]
  port    = 80
}
pool "far" {
  servers = [server.web2]
  port    = 80
}
http "all" {
  listen = ":80"
  pool   = pool.p
}
http "one" {
  listen = ":81"
  nodes  = [server.lb1]
  pool   = pool.p
}
http "city" {
  listen = ":82"
  nodes  = [region.hangzhou, server.lb1]
  pool   = pool.p
}
http "far" {
  listen = ":83"
  nodes  = [region.hangzhou]
  pool   = pool.far
  request_headers {
    set = { X-Key = env("ONLY_THERE") }
  }
}
`
	env := func(string) (string, bool) { return "x", true }
	no := func(string) (string, bool) { return "", false }
	addr := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	tests := []struct {
		name   string
		o      Options
		node   string
		region string
		blocks string
		pools  string
	}{
		{"by --name", Options{Node: "lb1", Env: no}, "lb1", "beijing", "all one city", "p"},
		{"--name before the host name", Options{Node: "lb1", Hostname: "lb2", Env: no}, "lb1", "beijing", "all one city", "p"},
		{"by host name", Options{Hostname: "lb2", Env: env}, "lb2", "hangzhou", "all city far", "p far"},
		{"by host name with domain", Options{Hostname: "LB1.example.com", Env: no}, "lb1", "beijing", "all one city", "p"},
		{"by address", Options{Hostname: "laptop", Addrs: addr("127.0.0.1", "::1", "10.1.0.21"), Env: no}, "web1", "beijing", "all", "p"},
		{"by IPv6 address", Options{Addrs: addr("2001:db8::21"), Env: env}, "web2", "hangzhou", "all city far", "p far"},
		{"by mapped address", Options{Addrs: addr("::ffff:10.1.0.11"), Env: no}, "lb1", "beijing", "all one city", "p"},
		{"host name before address", Options{Hostname: "web1", Addrs: addr("10.1.0.11"), Env: no}, "web1", "beijing", "all", "p"},
		{"elsewhere", Options{Node: "lb2", Elsewhere: true, Env: no}, "lb2", "hangzhou", "all city far", "p far"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, src, tt.o)
			var blocks, pools []string
			for _, h := range c.HTTP {
				blocks = append(blocks, h.Name)
			}
			for _, p := range c.Pools {
				pools = append(pools, p.Name)
			}
			got := []string{c.Node, c.Region, strings.Join(blocks, " "), strings.Join(pools, " ")}
			if diff := cmp.Diff([]string{tt.node, tt.region, tt.blocks, tt.pools}, got); diff != "" {
				t.Errorf("node, region, blocks, pools (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoPlacement: without nodes a machine need not be a server of the file.
func TestNoPlacement(t *testing.T) {
	const src = `
servers = { a = "10.0.0.1:80", b = "10.0.0.2:80" }
http "x" {
  listen  = ":80"
  servers = [server.a, server.b]
}`
	for _, o := range []Options{
		{Hostname: "laptop"}, {}, {Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}},
	} {
		if c := parse(t, src, o); c.Node != "" || len(c.HTTP) != 1 {
			t.Errorf("node = %q, %d blocks; want none and 1", c.Node, len(c.HTTP))
		}
	}
	if c := parse(t, src, Options{Node: "me"}); c.Node != "me" {
		t.Errorf("node = %q, want the name of the command line", c.Node)
	}
}

func TestHash(t *testing.T) {
	secrets := t.TempDir()
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(secrets, "key"), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"busy.html": "busy", "h.txt": "h"}
	env := map[string]string{"E": "1"}
	src := `
http "a" {
  listen      = ":80"
  servers     = ["10.0.0.1:80"]
  error_pages = { "503" = "busy.html" }
  request_headers {
    set = { E = env("E"), F = file("h.txt"), G = secret("key") }
  }
}`
	o := Options{
		Env:        func(n string) (string, bool) { s, ok := env[n]; return s, ok },
		ReadFile:   func(p string) ([]byte, error) { return []byte(files[p]), nil },
		SecretDirs: []string{secrets},
	}
	write("one\n")
	first := parse(t, src, o).Hash
	if again := parse(t, src, o).Hash; again != first || len(first) != 64 {
		t.Errorf("hash = %s, then %s; want the same 64 digits", first, again)
	}
	seen := map[string]string{first: "the first"}
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"file", func() { files["busy.html"] = "busier" }},
		{"included text", func() { files["h.txt"] = "i" }},
		{"environment", func() { env["E"] = "2" }},
		{"secret", func() { write("two\n") }},
		{"source", func() { src += "\n" }},
	} {
		step.change()
		h := parse(t, src, o).Hash
		if other, ok := seen[h]; ok {
			t.Errorf("the hash after a change of the %s is that of %s", step.name, other)
		}
		seen[h] = step.name
	}
}

func TestSecretsHidden(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Env: func(n string) (string, bool) { return dir, n == "CREDENTIALS_DIRECTORY" }}
	c := parse(t, `
http "a" {
  listen  = ":80"
  servers = ["10.0.0.1:80"]
  request_headers {
    set = { Authorization = secret("key") }
  }
  route "/x" {
    request_headers {
      set = { X-Other = "plain" }
    }
  }
}`, o)
	got := c.HTTP[0].Routes[0].Request.Set[0]
	if got.Value != "hunter2" || !got.Secret {
		t.Errorf("field = %s %v, want the secret", got.Name, got.Secret)
	}
	dump, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprintf("%v", *c.HTTP[0]), fmt.Sprintf("%+v", *c.HTTP[0]), fmt.Sprintf("%#v", *c.HTTP[0]),
		fmt.Sprintf("%s %q %x", got, got, got), string(dump),
	} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74657232") {
			t.Errorf("a dump shows the secret: %s", s)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.hcl"), Options{})
	var d *Diagnostics
	if !errors.As(err, &d) || !strings.Contains(err.Error(), "none.hcl") {
		t.Errorf("Load of no file = %v, want *Diagnostics with its name", err)
	}
	if _, err := Load(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Load of a directory = %v", err)
	}
	if _, err := Parse("a.hcl", make([]byte, maxFile+1), Options{}); err == nil || !strings.Contains(err.Error(), "File too large") {
		t.Errorf("Parse of a large file = %v", err)
	}
}

func TestFormat(t *testing.T) {
	got, err := Format("a.hcl", []byte("http \"a\" {\nlisten=\":80\"\n    servers = [ \"a:1\",\"b:1\" ]\n}\n"))
	want := "http \"a\" {\n  listen  = \":80\"\n  servers = [\"a:1\", \"b:1\"]\n}\n"
	if err != nil || string(got) != want {
		t.Errorf("Format = %q, %v, want %q", got, err, want)
	}
	for name, src := range map[string]string{
		"broken": "http \"a\" {\n  listen = \n}\n", "deep": strings.Repeat("[", 100), "large": strings.Repeat(" ", maxFile+1),
	} {
		var d *Diagnostics
		if _, err := Format(name+".hcl", []byte(src)); !errors.As(err, &d) || len(d.Problems) == 0 {
			t.Errorf("Format of a %s file = %v, want *Diagnostics", name, err)
		}
	}
}

func TestSuggest(t *testing.T) {
	names := []string{"web", "db", "least_conn", "round_robin"}
	for given, want := range map[string]string{
		"wbe": "web", "wb": "web", "wen": "web", "xyz": "", "leastconn": "least_conn", "round_robbin": "round_robin", "web": "",
		"least": "least_conn", "bd": "db", "": "", strings.Repeat("w", 5000): "",
	} {
		if got := nearest(given, names); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", given, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	durations := map[string]time.Duration{
		"2s": 2 * time.Second, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour,
		"1d12h": 36 * time.Hour, "0s": 0, "0": -1, "5": -1, "": -1, "-5s": -1, "1d-1h": -1, "d": -1, "1dd": -1, "1.5s": 1500 * time.Millisecond,
		"99999999999h": -1, "1w": -1, "1d5": -1, "+5s": -1,
	}
	for in, want := range durations {
		got, err := parseDuration(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseDuration(%q) = %v, want %v", in, got, want)
		}
	}
	sizes := map[string]int64{
		"0": 0, "16KiB": 16384, "10MB": 10e6, "1.5KiB": 1536, "1.0001KiB": -1, "512": 512, "1 GiB": 1 << 30, "KiB": -1, "": -1,
		"-1": -1, "1e3": -1, "9999TiB": -1, "5 B": 5,
	}
	for in, want := range sizes {
		got, err := parseSize(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %v, want %v", in, got, want)
		}
	}
	for in, want := range map[string]float64{"20%": 0.2, "0%": 0, "100%": 1, "12.5 %": 0.125, "20": -1, "%": -1, "NaN%": -1, "Inf%": -1} {
		got, err := parseShare(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseShare(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestListenAddress(t *testing.T) {
	for in, want := range map[string]string{
		":8080": ":8080", "10.0.0.1:80": "10.0.0.1:80", "[::1]:80": "[::1]:80", "[2001:DB8:0::1]:080": "[2001:db8::1]:80", "127.0.0.1:0": "127.0.0.1:0",
		"[::ffff:10.0.0.1]:80": "10.0.0.1:80", "": "", "80": "", ":": "", "a:80": "", "[10.0.0.1]:80": "", "::1:80": "", ":http": "", ":-1": "", "[::1:80": "",
		"[fe80::1%eth0]:80": "[fe80::1%eth0]:80",
	} {
		got, problem := listenAddress(in)
		if got != want || (problem == "") != (want != "") {
			t.Errorf("listenAddress(%q) = %q, %q, want %q", in, got, problem, want)
		}
	}
}

func TestProblems(t *testing.T) {
	_, err := Parse("skein.hcl", []byte("http \"shop\" {\n  listen = \":80\"\n  route \"/api\" {\n    pool = pool.wbe\n  }\n}\npool \"web\" {\n  servers = [\"a:1\"]\n}\n"), Options{})
	var d *Diagnostics
	if !errors.As(err, &d) {
		t.Fatalf("Parse = %v, want *Diagnostics", err)
	}
	got, err := json.Marshal(d.Problems)
	want := `[{"severity":"error","summary":"No such pool","detail":"There is no pool named \"wbe\". Did you mean \"web\"?",` +
		`"file":"skein.hcl","line":4,"column":12,"block":"http \"shop\", route \"/api\""}]`
	if err != nil || string(got) != want {
		t.Errorf("problems = %s, %v\nwant %s", got, err, want)
	}
}
