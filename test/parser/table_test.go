// Package parser sends bytes to the real binary, from both sides: a table of requests that clients may send and one of
// answers that origins may give, each case with its RFC section, each run on the fast path and on the plain path.
//
// The request table starts at [TestRequests], the answer table at [TestAnswers]. A case says what bytes go in and what must
// come out; [invariants] says what must be true of everything that is ever forwarded.
package parser

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"skein/test/corpus"
	"skein/test/harness"
)

// paths are the two ways by which skein moves bytes.
var paths = []struct {
	name string
	opts []harness.Option
}{
	{"fast", nil},
	{"plain", []harness.Option{harness.Plain()}},
}

// echo answers each request with the bytes that arrived.
func echo(p *harness.Peer) {
	for r := p.Next(); r != nil; r = p.Next() {
		body := r.Raw
		if r.Method == "HEAD" {
			body = ""
		}
		if !p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Origin: echo\r\n\r\n%s", len(r.Raw), body)) {
			return
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	cases := corpus.Requests()
	if len(cases) < 200 {
		t.Errorf("%d cases, want at least 200", len(cases))
	}
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.Name] || c.Section == "" {
			t.Errorf("case %q is there twice, or has no section", c.Name)
		}
		seen[c.Name] = true
	}
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			t.Parallel()
			table := newTable(t, path.opts)
			for _, c := range cases {
				t.Run(c.Name, func(t *testing.T) { table.run(t, c) })
			}
			table.finish(t)
		})
	}
}

// table is one skein before one echoing origin, for all the cases of one path.
type table struct {
	skein    *harness.Skein
	origin   *harness.Recorder
	addr     string
	answered int // requests that were answered by the origin
}

func newTable(t *testing.T, opts []harness.Option) *table {
	origin := harness.Origin(t, echo)
	addr := harness.FreeAddr(t)
	s := harness.Start(t, fmt.Sprintf(`
pool "echo" {
  servers = [%q]
  eject {
    errors = 0
  }
}
http "table" {
  listen = %q
  pool   = pool.echo
}
`, origin.Addr, addr), opts...)
	return &table{skein: s, origin: origin, addr: addr}
}

func (tab *table) run(t *testing.T, c corpus.Request) {
	before := len(tab.origin.Requests())
	conn := harness.Raw(t, tab.addr)
	conn.TrySend(c.Send)
	words := strings.Fields(c.Want)
	answered := 0
	open := true // the connection must be usable at the end
	method := c.Method(0)
	for i := 0; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch w := words[i]; w {
		case "100?":
		case "fin":
			conn.CloseWrite()
			open = false
		case "keep":
			open = true
		case "close":
			conn.Closed()
			open = false
		case "none":
			conn.CloseWrite()
			if rest := conn.Rest(); rest != "" && !strings.HasPrefix(rest, "HTTP/1.1 400 ") && !strings.HasPrefix(rest, "HTTP/1.1 408 ") {
				t.Errorf("answer = %q, want none", rest)
			}
			open = false
		default:
			want, err := strconv.Atoi(w)
			if err != nil {
				t.Fatalf("case wants %q", w)
			}
			a := conn.Answer(method)
			for a.Status == 100 && i > 0 && words[i-1] == "100?" {
				a = conn.Answer(method)
			}
			if a.Status != want || a.Err != nil {
				t.Fatalf("%q: status = %d (%v), want %d (RFC %s); body %q", c.Send, a.Status, a.Err, want, c.Section, a.Body)
			}
			if fromOrigin := a.Header.Get("X-Origin") != ""; fromOrigin != (want == 200) {
				t.Errorf("answer from the origin = %v, status %d", fromOrigin, a.Status)
			}
			if want == 200 {
				answered++
				method = "GET"
			} else if next != "keep" {
				conn.Closed()
				open = false
			}
		}
	}
	if open {
		conn.Send(corpus.Probe)
		if a := conn.Answer("GET"); a.Status != 200 {
			t.Errorf("probe on the same connection = %d", a.Status)
		}
		answered++
	}
	if a := harness.Fetch(t, tab.addr, "/follow"); a.Status != 200 {
		t.Errorf("probe on a new connection = %d", a.Status)
	}
	answered++
	tab.answered += answered
	requests := tab.origin.Requests()[before:]
	if len(requests) != answered {
		t.Errorf("%q: origin got %d requests, %d were answered", c.Send, len(requests), answered)
	}
	for _, r := range requests {
		invariants(t, r)
	}
	checkSeen(t, c, requests)
}

// finish checks that nothing more has arrived in the meantime than what was answered.
func (tab *table) finish(t *testing.T) {
	tab.skein.Stop() // now nothing can arrive any more
	if got := len(tab.origin.Requests()); got != tab.answered {
		t.Errorf("origin got %d requests, %d were answered", got, tab.answered)
	}
}

func checkSeen(t *testing.T, c corpus.Request, requests []*harness.Request) {
	t.Helper()
	if c.Saw == "" {
		return
	}
	for i, saw := range strings.Split(c.Saw, "|next|") {
		if i >= len(requests) {
			t.Fatalf("origin saw %d requests, want %q", len(requests), saw)
		}
		r := requests[i]
		for _, wrong := range corpus.Differs(saw, r.Raw, r.Content, r.Trailer) {
			t.Errorf("%s (RFC %s)", wrong, c.Section)
		}
	}
}
