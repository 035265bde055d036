package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving asks as vip does.
func (s *service) serving(list ...string) error {
	s.t.Helper()
	s.begun()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return s.Serving(ctx, addresses(list...))
}

// begun waits until Run runs, or has ended.
func (s *service) begun() {
	for {
		s.mu.Lock()
		yes := s.running || s.draining.Load()
		s.mu.Unlock()
		if yes {
			return
		}
		pause()
	}
}

// wants asks until the proofs before are forgotten, and compares.
func (s *service) wants(name, want string, list ...string) {
	s.t.Helper()
	s.probes.proofs.mu.Lock()
	clear(s.probes.proofs.of)
	s.probes.proofs.mu.Unlock()
	got := ""
	if err := s.serving(list...); err != nil {
		got = err.Error()
	}
	if want == "" && got != "" || !strings.Contains(got, want) {
		s.t.Errorf("%s: Serving = %q, want %q", name, got, want)
	}
}

// nowhere is an address where nobody listens.
func nowhere(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const refusedCheck = "HTTP/1.1 500 Internal Server Error\nContent-Length: 4\n\nsick"

func TestServing(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		good, bad := origin(t, always(hello)), origin(t, always(refusedCheck))
		dead := nowhere(t)
		two := origin2(t, func(http.ResponseWriter, *http.Request) {}, 100)
		for _, tt := range []struct{ name, hcl, want string }{
			{"a member that is there", fmt.Sprintf(`
http "site" {
  listen  = "0.0.0.0:0"
  servers = [%q]
}`, good), ""},
			{"a member that is not", fmt.Sprintf(`
http "site" {
  listen  = "0.0.0.0:0"
  servers = [%q]
}`, dead), "connection refused"},
			{"one of two", fmt.Sprintf(`
http "site" {
  listen  = "0.0.0.0:0"
  servers = [%q, %q]
}`, dead, good), ""},
			{"its check's request is answered", fmt.Sprintf(`
pool "p" {
  servers = [%q]
  check {
    http = "/health?deep=1"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, good), ""},
			{"its check's request is refused", fmt.Sprintf(`
pool "p" {
  servers = [%q]
  check {
    http = "/health?deep=1"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, bad), `http "site" on 0.0.0.0:0: pool "p": member ` + bad + `: status 500 to /health?deep=1`},
			{"the check's request goes to another member", fmt.Sprintf(`
pool "p" {
  servers = [%q, %q]
  check {
    http = "/health"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, bad, good), ""},
			{"a check of another program", fmt.Sprintf(`
pool "p" {
  servers = [%q]
  check {
    http = "/health"
    port = 9
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, bad), ""},
			{"members that speak HTTP/2", fmt.Sprintf(`
pool "p" {
  servers  = [%q]
  protocol = "h2"
  check {
    http = "/health"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, two), ""},
			{"a connection to a member that speaks HTTP/2", fmt.Sprintf(`
pool "p" {
  servers  = [%q]
  protocol = "h2"
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, two), ""},
			{"a member that does not speak HTTP/2", fmt.Sprintf(`
pool "p" {
  servers  = [%q]
  protocol = "h2"
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, good), `pool "p": member ` + good},
			{"connections are not kept", fmt.Sprintf(`
pool "p" {
  servers    = [%q]
  keepalive = 0
  check {
    http = "/health"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, good), ""},
			{"the pool of a route", fmt.Sprintf(`
pool "api" {
  servers = [%q]
}
http "site" {
  listen  = "0.0.0.0:0"
  servers = [%q]
  route "/api" {
    pool = pool.api
  }
}`, dead, good), `http "site" on 0.0.0.0:0: pool "api": member ` + dead},
			{"another block of the listener", fmt.Sprintf(`
http "shop" {
  listen  = "0.0.0.0:0"
  hosts   = ["shop.example", "*.shop.example"]
  servers = [%q]
}
http "wild" {
  listen  = "0.0.0.0:0"
  hosts   = ["*.example.com"]
  servers = [%q]
}`, good, dead), `http "wild"`},
			{"files alone", `
http "site" {
  listen = "0.0.0.0:0"
  files {
    root = "` + t.TempDir() + `"
  }
}`, ""},
			{"a block that redirects", `
http "site" {
  listen = "0.0.0.0:0"
  route "/" {
    redirect = "https://elsewhere.example{uri}"
  }
}`, ""},
			{"h2c alone", fmt.Sprintf(`
http "site" {
  listen    = "0.0.0.0:0"
  protocols = ["h2c"]
  servers   = [%q]
}`, good), ""},
			{"h2c beside HTTP/1.1", fmt.Sprintf(`
http "site" {
  listen    = "0.0.0.0:0"
  protocols = ["http/1.1", "h2c"]
  servers   = [%q]
}`, good), ""},
			{"an address that is not here", fmt.Sprintf(`
http "site" {
  listen  = "192.0.2.1:0"
  servers = [%q]
}`, good), ""},
			{"an address that is not here, nor a member", fmt.Sprintf(`
http "site" {
  listen  = "192.0.2.1:0"
  servers = [%q]
}`, dead), "connection refused"},
			{"the address itself", fmt.Sprintf(`
http "site" {
  listen  = "127.0.0.7:0"
  servers = [%q]
}`, good), ""},
			{"another address", fmt.Sprintf(`
http "site" {
  listen  = "127.0.0.8:0"
  servers = [%q]
}`, dead), ""},
			{"no connection is free", fmt.Sprintf(`
http "site" {
  listen  = "0.0.0.0:0"
  servers = [%q]
  limits {
    conns = 1
    conns_per_client = 1
  }
}`, good), ""},
			{"a PROXY header is expected", fmt.Sprintf(`
http "site" {
  listen         = "0.0.0.0:0"
  servers        = [%q]
  proxy_protocol = ["127.0.0.0/8"]
}`, good), ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := serveFile(t, plain, tt.hcl)
				if tt.name == "no connection is free" {
					c, r := s.dialBy("127.0.0.1")
					ask(t, c, r, "GET", get)
					for s.Status().Sites[0].Answers[2] == 0 { // it is counted when it has been sent
						pause()
					}
				}
				s.begun()
				before := s.Status()
				s.wants("first", tt.want, "192.0.2.1", "127.0.0.7")
				s.wants("second", tt.want, "192.0.2.1", "127.0.0.7") // now connections rest at all members
				files := openFiles(t)
				for range 10 {
					s.wants("again", tt.want, "127.0.0.7", "192.0.2.1")
				}
				after := s.Status()
				if after.Requests != before.Requests || after.Accepted != before.Accepted || after.Refused != before.Refused {
					t.Errorf("probes were counted: %+v, before %+v", after, before)
				}
				for _, site := range after.Sites {
					if site.Answers[2]+site.Answers[5] > before.Sites[0].Answers[2] {
						t.Errorf("site %s has answered %v", site.Name, site.Answers)
					}
				}
				s.balanced()
				for n := 0; s.stats.Connections.Load() > before.Connections && n < 400; n++ {
					pause()
				}
				if n := s.stats.Connections.Load(); n != before.Connections {
					t.Errorf("%d connections, want %d", n, before.Connections)
				}
				if n := s.probes.open.Load(); n != 0 {
					t.Errorf("%d probes are open", n)
				}
				for n := 0; openFiles(t) > files+2 && n < 400; n++ { // of what is just being closed
					pause()
				}
				if n := openFiles(t); n > files+2 {
					t.Errorf("%d descriptors, %d before", n, files)
				}
			})
		}
	})
}

// A probe that does not even get in says something only if nobody else does.
func TestServingBusy(t *testing.T) {
	s := serveFile(t, false, siteAnywhere(origin(t, always(hello)), ""))
	// A socket that nobody accepts from stands for a process that has no time to.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ta := target{port: s.portAt(wildcard), site: s.portAt(wildcard).table.Load().any, to: netip.MustParseAddrPort(l.Addr().String()), here: true}
	question := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		return s.ask(ctx, ta)
	}
	if err := question(); !isTimeout(err) {
		t.Errorf("nobody is answered: %v, want a time-out", err)
	}
	done := make(chan error, 1)
	go func() { done <- question() }()
	for s.probes.open.Load() == 0 {
		pause()
	}
	c, r := s.dialBy("127.0.0.1")
	ask(t, c, r, "GET", get)
	if err := <-done; err != nil {
		t.Errorf("others are answered: %v", err)
	}
}

// portAt is the port of a configured address.
func (s *service) portAt(address string) *port {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports[address]
}

func TestReach(t *testing.T) {
	here := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.9") }
	for _, tt := range []struct {
		bound, addresses, want string
	}{
		{"0.0.0.0:80", "192.0.2.1", "127.0.0.1:80 true"},
		{"[::]:80", "192.0.2.1", "127.0.0.1:80 true"},
		{"[::]:80", "2001:db8::1", "[::1]:80 true"},
		{"0.0.0.0:80", "2001:db8::1", ""},
		{"192.0.2.1:80", "192.0.2.1", "192.0.2.1:80 false"},
		{"192.0.2.9:80", "192.0.2.1 192.0.2.9", "192.0.2.9:80 true"},
		{"192.0.2.2:80", "192.0.2.1", ""},
		{"[2001:db8::1]:80", "192.0.2.1 2001:db8::1", "[2001:db8::1]:80 false"},
		{"[2001:db8::1]:80", "192.0.2.1", ""},
		{"[::]:80", "", ""},
	} {
		got := ""
		to, local, ok := reach(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.bound)), addresses(strings.Fields(tt.addresses)...), here)
		if ok {
			got = fmt.Sprint(to, local)
		}
		if got != tt.want {
			t.Errorf("reach(%s, %s) = %s, want %s", tt.bound, tt.addresses, got, tt.want)
		}
	}
}

// One question costs this much, on this machine.
func BenchmarkServing(b *testing.B) {
	s := serveFile(b, false, siteAnywhere(origin(b, always(hello)), ""))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.serving("127.0.0.1"); err != nil {
			b.Fatal(err)
		}
	}
}

// A process without descriptors cannot even ask. It serves as long as those are answered who are in already.
func TestServingWithoutDescriptors(t *testing.T) {
	s := serveFile(t, false, siteAnywhere(origin(t, always(hello)), ""))
	s.begun()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(openFiles(t) + 50)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var all []*os.File
	t.Cleanup(func() {
		for _, f := range all {
			f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		all = append(all, f)
	}
	if err := s.serving("127.0.0.1"); !exhausted(err) {
		t.Errorf("nobody is answered: %v, want the cause", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.serving("127.0.0.1") }()
	for answered := false; ; {
		select {
		case err := <-done:
			if err != nil || !answered {
				t.Errorf("others are answered: %v", err)
			}
			return
		default:
			s.stats.Causes[causeDone].Add(1)
			answered = true
			pause()
		}
	}
}
