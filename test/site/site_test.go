// Package site tests the promise that Skein is for: a website of several servers goes on while servers die, hang, are drained
// and come back, while its file is edited, and while skein itself is stopped. Visitors come all the time; what they see is
// what counts.
package site

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/test/harness"
)

// visitors is how many come at once.
const visitors = 6

// site is three origins, two nginx and one php -S, behind one skein. Each origin says its name in the first word.
type site struct {
	*harness.Skein

	addr    string
	access  string // the access log
	origins []*harness.Program
	names   []string
}

// pages are what visitors ask for. The large one is longer than a buffer; from here on bytes are moved by the kernel.
var pages = []string{"GET /", "GET /a?b=c", "GET /large", "HEAD /", "POST /form", "OPTIONS /", "GET /deep/er/path"}

// largeSize is the size of /large.
const largeSize = 300_000

func newSite(t *testing.T, opts ...harness.Option) *site {
	t.Helper()
	s := &site{addr: harness.FreeAddr(t), access: filepath.Join(t.TempDir(), "access.log"), names: []string{"one", "two", "php"}}
	large := strings.Repeat("0123456789", largeSize/10)
	for _, name := range s.names[:2] {
		o := harness.Nginx(t, fmt.Sprintf(`
location /large { try_files /large =404; }
location / { return 200 "%s $request_uri"; }`, name))
		if err := os.WriteFile(filepath.Join(o.Dir, "large"), []byte(large), 0o600); err != nil {
			t.Fatal(err)
		}
		s.origins = append(s.origins, o)
	}
	s.origins = append(s.origins, harness.PHP(t, fmt.Sprintf(`<?php
if ($_SERVER["REQUEST_URI"] == "/large") {
  header("Content-Length: %d");
  echo str_repeat("0123456789", %d);
} else {
  echo "php ", $_SERVER["REQUEST_URI"];
}`, largeSize, largeSize/10)))
	s.Skein = harness.Start(t, s.config(0), opts...)
	return s
}

// config is the file: its n-th version. A server, a pool and routes come and go from one to the next; the servers that stay
// and the pool "socket" are the same in all of them.
func (s *site) config(n int, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "log {\n  access_file = %q\n}\n", s.access)
	b.WriteString("servers = {\n")
	for i, o := range s.origins {
		fmt.Fprintf(&b, "  %s = %q\n", s.names[i], o.Addr)
	}
	b.WriteString("}\n")
	members := []string{"server.one", "server.two", "server.php"}
	if n%3 == 1 {
		members = members[:2]
	}
	fmt.Fprintf(&b, `
pool "web" {
  servers = [%s]
  check {
    http    = "/up"
    every   = "400ms"
    fast    = "50ms"
    timeout = "400ms"
  }
  eject {
    time = "1s"
  }
  timeouts {
    first_byte = "1s"
    keepalive  = "1s"
  }
}
http "site" {
  listen = %q
  pool   = pool.web
`, strings.Join(members, ", "), s.addr)
	for i := range n % 7 {
		fmt.Fprintf(&b, "  route \"/deep%d\" {\n    pool = pool.web\n  }\n", i)
	}
	if n%2 == 1 {
		fmt.Fprintf(&b, "  route \"/deep\" {\n    pool = pool.extra\n  }\n")
	}
	for _, m := range more {
		b.WriteString(m)
	}
	b.WriteString("}\n")
	if n%2 == 1 {
		fmt.Fprintf(&b, "pool \"extra\" {\n  servers = [server.php, server.two]\n  timeouts {\n    keepalive = \"1s\"\n  }\n}\n")
	}
	return b.String()
}

// good judges an answer: it must be a 200, whole, and of the request that was sent.
func good(method, target string, status int, body string) error {
	if status != http.StatusOK {
		return fmt.Errorf("status %d %q", status, body[:min(len(body), 100)])
	}
	switch {
	case method == http.MethodHead:
		if body != "" {
			return fmt.Errorf("HEAD has a body: %q", body)
		}
	case target == "/large":
		if len(body) != largeSize {
			return fmt.Errorf("%d bytes, want %d", len(body), largeSize)
		}
	default:
		if _, got, _ := strings.Cut(body, " "); got != target {
			return fmt.Errorf("answer %q is not of this request", body)
		}
	}
	return nil
}

// mayFail takes those failures out of a list that nobody can help: of answers that had begun, and of requests that must not be
// sent twice.
func mayFail(failures []string) (real []string) {
	for _, f := range failures {
		if !strings.Contains(f, "POST /form") && !strings.Contains(f, harness.ErrBegun.Error()) {
			real = append(real, f)
		}
	}
	return real
}

// survived fails the test if a request failed that had to succeed while an origin died.
func survived(t *testing.T, l *harness.Load, what string) {
	t.Helper()
	all := l.Failures()
	if real := mayFail(all); len(real) > 0 {
		t.Errorf("%s: %d requests failed, the first:\n%s", what, len(real), strings.Join(real[:min(10, len(real))], "\n"))
	}
	if n := len(all); n > 2*visitors {
		t.Errorf("%s: %d requests failed that may; at most one or two of each visitor were under way:\n%s", what, n, strings.Join(all[:10], "\n"))
	}
}

// state returns the state of a server in the pool "web".
func (s *site) state(name string) string { return memberState(s.Admin("/api/v1/status"), "web", name) }
