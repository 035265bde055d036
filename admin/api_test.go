package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skein/config"
)

func TestAPI(t *testing.T) {
	f := newFake(t)
	// In this order: each request meets what the ones before have left.
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string // in the answer
	}{
		{"health", "GET", "/healthz", "", 200, "ok"},
		{"drain", "POST", "/api/v1/drain", `{"name":"web1","owner":"ann","reason":"kernel"}`, 200, `"web1"`},
		{"the last of a pool", "POST", "/api/v1/drain", `{"name":"web2"}`, 409, "--force"},
		{"the last of a pool, forced", "POST", "/api/v1/drain", `{"name":"web2","force":true,"for":"1h"}`, 200, `"expires"`},
		{"ready of another owner's", "POST", "/api/v1/ready", `{"name":"web1"}`, 409, `\"ann\"`},
		{"ready", "POST", "/api/v1/ready", `{"name":"web1","owner":"ann"}`, 200, `"drains": []`},
		{"ready of what is ready", "POST", "/api/v1/ready", `{"name":"web1","owner":"ann"}`, 200, `"drains": []`},
		{"ready of all owners'", "POST", "/api/v1/ready", `{"name":"beijing","all":true}`, 200, `"drains": []`},
		{"owner and all", "POST", "/api/v1/ready", `{"name":"web1","owner":"ann","all":true}`, 400, "not both"},
		{"a region", "POST", "/api/v1/drain", `{"name":"beijing","force":true}`, 200, `"web2"`},
		{"no name", "POST", "/api/v1/drain", ``, 400, "name a server"},
		{"unknown name", "POST", "/api/v1/drain", `{"name":"wbe1"}`, 404, `did you mean \"web1\"`},
		{"unknown field", "POST", "/api/v1/drain", `{"name":"web1","forse":true}`, 400, "forse"},
		{"no JSON", "POST", "/api/v1/drain", `name=web1`, 400, "read body"},
		{"two values", "POST", "/api/v1/drain", `{"name":"web1"}{}`, 400, "follows"},
		{"too much", "POST", "/api/v1/drain", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 400, "too large"},
		{"bad duration", "POST", "/api/v1/drain", `{"name":"web1","for":"soon"}`, 400, "soon"},
		{"negative duration", "POST", "/api/v1/drain", `{"name":"web1","for":"-1s"}`, 400, "-1s"},
		{"endless duration", "POST", "/api/v1/drain", `{"name":"web1","for":"99999h"}`, 400, "a year"},
		{"long reason", "POST", "/api/v1/drain", `{"name":"web1","reason":"` + strings.Repeat("x", 201) + `"}`, 400, "200 bytes"},
		{"reload", "POST", "/api/v1/reload", ``, 200, `"ok": true`},
		{"get what changes", "GET", "/api/v1/reload", ``, 404, "no such path"},
		{"profiles", "GET", "/debug/pprof/", "", 404, "profiles are off"},
		{"elsewhere", "GET", "/nothing", "", 404, "/nothing"},
	} {
		if status, body := ask(f.socket.Handler, c.method, c.path, c.body, nil); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, status, body, c.status, c.want)
		}
	}
	f.reloaded = errFile
	if status, body := ask(f.socket.Handler, "POST", "/api/v1/reload", "", nil); status != 422 || !strings.Contains(body, "skein.hcl:3") {
		t.Errorf("reload of a wrong file: %d %s", status, body)
	}
	f.serving = errors.New("stopping")
	if status, body := ask(f.socket.Handler, "GET", "/healthz", "", nil); status != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("health while stopping: %d %s", status, body)
	}
}

// The loopback listener reads, and answers only to this machine's own user.
func TestLoopback(t *testing.T) {
	f := newFake(t)
	field := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, c := range []struct {
		name, method, path string
		change             func(*http.Request)
		status             int
	}{
		{"read", "GET", "/api/v1/status", nil, 200},
		{"metrics", "GET", "/metrics", nil, 200},
		{"by name", "GET", "/healthz", host("localhost:9180"), 200},
		{"by a name below localhost", "GET", "/healthz", host("skein.localhost:9180"), 200},
		{"by name, without a port", "GET", "/healthz", host("LocalHost"), 200},
		{"by IPv6", "GET", "/healthz", host("[::1]:9180"), 200},
		{"by IPv6, without a port", "GET", "/healthz", host("[::1]"), 200},
		{"typed into a browser", "GET", "/healthz", field("Sec-Fetch-Site", "none"), 200},
		{"its own page", "GET", "/healthz", field("Origin", "http://127.0.0.1:9180"), 200},
		{"a rebound name", "GET", "/api/v1/status", host("evil.example:9180"), 403},
		{"a name that begins well", "GET", "/api/v1/status", host("127.0.0.1.evil.example"), 403},
		{"this machine's outer address", "GET", "/api/v1/status", host("10.0.0.1:9180"), 403},
		{"no host", "GET", "/api/v1/status", host(""), 403},
		{"another site", "GET", "/metrics", field("Sec-Fetch-Site", "cross-site"), 403},
		{"another port of this machine", "GET", "/metrics", field("Sec-Fetch-Site", "same-site"), 403},
		{"another origin", "GET", "/metrics", field("Origin", "https://evil.example"), 403},
		{"an opaque origin", "GET", "/metrics", field("Origin", "null"), 403},
		{"drain", "POST", "/api/v1/drain", nil, 403},
		{"ready", "POST", "/api/v1/ready", nil, 403},
		{"reload", "POST", "/api/v1/reload", nil, 403},
	} {
		if status, body := ask(f.reader.Handler, c.method, c.path, `{"name":"web1"}`, c.change); status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, status, body, c.status)
		}
	}
	if n := f.reloads.Load(); n > 0 || len(f.sources.Drains.List()) > 0 {
		t.Errorf("the loopback listener has changed something: %d reloads, drains %v", n, f.sources.Drains.List())
	}
}

func TestStatus(t *testing.T) {
	f := newFake(t)
	_, _ = ask(f.socket.Handler, "POST", "/api/v1/drain", `{"name":"web1","owner":"ann"}`, nil)
	_, body := ask(f.socket.Handler, "GET", "/api/v1/status", "", nil)
	var s Status
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.Pools {
		for _, m := range p.Members {
			got = append(got, strings.Join([]string{p.Name, m.Server, m.Address, m.Region, m.State, strings.Join(m.Reasons, "+")}, " "))
		}
	}
	want := []string{
		"web web1 10.0.0.11:8080 beijing drained drained",
		"web web2 10.0.0.12:8080 beijing up ",
		"api web3 10.0.0.13:9000 hangzhou up ",
		"api 10.0.0.21:9000 10.0.0.21:9000  up ",
		"api 10.0.0.21:9001 10.0.0.21:9001  up ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s.Node != "web1" || s.Region != "beijing" || s.State != "serving" || s.Config.Hash == "" || len(s.Drains) != 1 || !s.Drains[0].Known {
		t.Errorf("status = %+v", s)
	}
}

func TestResolve(t *testing.T) {
	f := newFake(t)
	for name, want := range map[string]string{
		"web1":           "web1",
		"beijing":        "web1 web2",
		"10.0.0.12":      "web2",
		"10.0.0.12:8080": "web2",
		"10.0.0.21:9000": "10.0.0.21:9000",
		"10.0.0.21":      "10.0.0.21:9000 10.0.0.21:9001",
		"10.0.0.12:81":   "",
		"empty":          "",
		"web":            "", // a pool is no server
		"":               "",
	} {
		got, err := resolve(f.config, name)
		if (err == nil) != (want != "") || !slices.Equal(got, strings.Fields(want)) && want != "" {
			t.Errorf("resolve(%q) = %v, %v, want %s", name, got, err, want)
		}
	}
	c := &config.Config{Servers: []*config.Server{{Name: "fpm", Unix: "/run/fpm.sock"}, {Name: "web1", Host: "10.0.0.11"}}}
	for _, name := range []string{"fpm", "/run/fpm.sock", "unix:/run/fpm.sock"} {
		if got, err := resolve(c, name); err != nil || !slices.Equal(got, []string{"fpm"}) {
			t.Errorf("resolve(%q) = %v, %v, want fpm", name, got, err)
		}
	}
}
