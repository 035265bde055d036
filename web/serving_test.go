package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving asks as vip does.
func (s *service) serving(list ...string) error {
	s.t.Helper()
	s.begun()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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
}`, bad), `http "site" on 0.0.0.0:0: pool "p": member ` + bad + ` (` + bad + `): status 500 to /health?deep=1`},
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

// Over TLS, too, also where a certificate of the client is required, and on a backup that does not have the address.
func TestServingTLS(t *testing.T) {
	good := origin(t, always(hello))
	crt := testCertificate(t)
	leaf, err := x509.ParseCertificate(crt.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(leaf)
	inner := func(c *tls.Config) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c, nil }}
	}
	byName := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName != "h" {
			return nil, errors.New("no certificate for it")
		}
		return &crt, nil
	}
	for _, tt := range []struct {
		name, listen, more string
		front              *tls.Config
		want               string
	}{
		{"TLS", wildcard, "", &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}}, ""},
		{"HTTP/2 alone", wildcard, `protocols = ["h2"]`, &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"h2"}}, ""},
		{"a certificate of the client", wildcard, "", inner(&tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}), ""},
		{"not here", "192.0.2.1:0", "", &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}}, ""},
		{"not here, HTTP/2 alone", "192.0.2.1:0", `protocols = ["h2"]`, &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"h2"}}, ""},
		{"by the block's name", wildcard, `hosts = ["*.h", "h"]`, &tls.Config{GetCertificate: byName, NextProtos: []string{"http/1.1"}}, ""},
		{"no certificate for its name", wildcard, `hosts = ["g"]`, &tls.Config{GetCertificate: byName, NextProtos: []string{"http/1.1"}}, `http "site" on 0.0.0.0:0: tls: `},
		{"names that nobody knows before", wildcard, `hosts = ["*.h"]`, &tls.Config{GetCertificate: byName, NextProtos: []string{"http/1.1"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serveTLS(t, tt.front, fmt.Sprintf("http \"site\" {\n listen = %q\n servers = [%q]\n tls = \"self-signed\"\n %s\n}\n", tt.listen, good, tt.more))
			s.wants("it", tt.want, "192.0.2.1")
			if n := s.stats.HandshakeErrors.Load() + s.stats.Handshakes.Load(); n != 0 {
				t.Errorf("%d handshakes were counted", n)
			}
			if tt.name == "a certificate of the client" { // others still need one
				_, port, _ := net.SplitHostPort(s.addr(wildcard))
				c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{InsecureSkipVerify: true})
				if err == nil {
					_ = c.SetDeadline(time.Now().Add(10 * time.Second))
					_, err = c.Read(make([]byte, 1)) // TLS 1.3 says it behind the handshake
					c.Close()
				}
				if !isAlert(err) {
					t.Errorf("a visitor without a certificate: %v, want an alert", err)
				}
			}
		})
	}
	t.Run("redirect", func(t *testing.T) {
		s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}},
			fmt.Sprintf("http \"site\" {\n listen = %q\n redirect = \"127.0.0.7:0\"\n servers = [%q]\n tls = \"self-signed\"\n}\n", wildcard, good))
		s.wants("both listeners", "", "127.0.0.7")
	})
}

// A probe takes no place in the log, and nobody else can send one.
func TestProbesAreSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	s := serveFile(t, false, "")
	hcl := siteAnywhere(origin(t, always(hello)), "") + fmt.Sprintf("log {\n access = \"combined\"\n access_file = %q\n}\n", file)
	if err := s.reloadWhole(hcl); err != nil {
		t.Fatal(err)
	}
	if err := s.serving("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	c, r := s.dialBy("127.0.0.1")
	right := string(s.probes.path)
	for _, path := range []string{right[:len(right)-1] + "!", right[:len(right)-1], right + "0", right + "?x=1", "/.well-known/skein/serving/"} {
		a, body, err := ask(t, c, r, "GET", "GET "+path+" HTTP/1.1\nHost: h\n\n")
		if path == right+"?x=1" { // who knows the path may ask
			if err != nil || a.StatusCode != 204 {
				t.Errorf("the secret: %v, %v", a, err)
			}
			continue
		}
		if err != nil || a.StatusCode != 200 || body != "hello" || a.Header.Get(servingField) != "" {
			t.Errorf("%s: %v, %q, %v; want the site's answer", path, a, body, err)
		}
	}
	s.stop()
	<-s.ended
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n != 4 || strings.Contains(string(b), right+" ") || strings.Contains(string(b), "skein/check") {
		t.Errorf("the access log has %d lines, want 4:\n%s", n, b)
	}
	if err := s.serving("127.0.0.1"); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("after the stop: %v", err)
	}
}

// What is full is busy, and not dead.
func TestFullPoolServes(t *testing.T) {
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	slow := origin(t, func(c net.Conn, r *bufio.Reader) {
		if _, _, err := head(r); err == nil {
			arrived <- struct{}{}
			<-goOn
		}
	})
	for name, more := range map[string]string{"no queue": "queue = 0", "a queue": "queue_timeout = \"1m\""} {
		t.Run(name, func(t *testing.T) {
			s := serveFile(t, false, fmt.Sprintf(`
pool "p" {
  servers   = [%q]
  max_conns = 1
  %s
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, slow, more))
			c, _ := s.dialBy("127.0.0.1")
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			<-arrived
			s.wants("full", "", "127.0.0.1")
			goOn <- struct{}{}
		})
	}
	close(goOn)
}

// A member that accepts and never answers is no member; but that visitors' members answer meanwhile is proof enough. Nobody is
// blamed for our impatience.
func TestServingHungMember(t *testing.T) {
	silent := origin(t, func(_ net.Conn, r *bufio.Reader) {
		for {
			line, _, err := head(r)
			if err != nil || strings.Contains(line, "/health") {
				break
			}
		}
		_, _ = io.Copy(io.Discard, r)
	})
	s := serveFile(t, false, fmt.Sprintf(`
pool "p" {
  servers = [%q]
  check {
    http = "/health"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, silent))
	began := time.Now()
	s.wants("hung", `pool "p": member `+silent+` (`+silent+`): no answer in time`, "127.0.0.1")
	if took := time.Since(began); took > 3*proofTime {
		t.Errorf("it took %v", took)
	}
	if n := s.reports.failure.Load(); n != 0 {
		t.Errorf("the member was blamed %d times", n)
	}
	s.balanced()

	// A short question gets a verdict all the same.
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	s.probes.proofs.mu.Lock()
	clear(s.probes.proofs.of)
	s.probes.proofs.mu.Unlock()
	if err := s.Serving(ctx, addresses("127.0.0.1")); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("asked in a hurry: %v", err)
	}

	// Visitors are answered while the proof waits.
	done := make(chan error, 1)
	s.probes.proofs.mu.Lock()
	clear(s.probes.proofs.of)
	s.probes.proofs.mu.Unlock()
	go func() { done <- s.serving("127.0.0.1") }()
	for s.set.Pools()[0].Members()[0].Active() == 0 {
		pause()
	}
	s.set.Pools()[0].Members()[0].Stats.Answers[2].Add(1)
	if err := <-done; err != nil {
		t.Errorf("busy: %v", err)
	}
	s.balanced()
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
