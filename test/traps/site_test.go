// Package traps tests what an engine that writes and then waits for the next readiness can get wrong, each trap by its name:
// bytes or a FIN that come at the wrong moment, sides that leave, sides that are slow, and closing somebody who waits. All of it
// against the real binary, on the fast path and on the plain path.
//
// It never sleeps to let something happen: [harness.Conn.Taken] and its like ask the kernel whether it has.
package traps

import (
	"encoding/json"
	"fmt"
	"testing"

	"skein/test/harness"
)

// site is one skein before one scripted origin.
type site struct {
	*harness.Skein

	addr   string
	origin *harness.Recorder
}

// both runs a test on both paths.
func both(t *testing.T, test func(t *testing.T, opts ...harness.Option)) {
	t.Parallel()
	t.Run("fast", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		test(t, harness.Plain())
	})
}

func newSite(t *testing.T, script func(*harness.Peer), opts ...harness.Option) *site {
	t.Helper()
	origin := harness.Origin(t, script)
	addr := harness.FreeAddr(t)
	return &site{harness.Start(t, config(addr, origin.Addr, ""), opts...), addr, origin}
}

// config is a site with one member; more goes into its pool.
func config(addr, origin, more string) string {
	return fmt.Sprintf(`
pool "web" {
  servers = [%q]
  %s
}
http "site" {
  listen = %q
  pool   = pool.web
}
`, origin, more, addr)
}

// active is the number of requests that the pool's members work on, as the status page says it.
func (s *site) active(t *testing.T) int {
	t.Helper()
	return count(t, s.Admin("/api/v1/status"), "active")
}

// count adds up all numbers of this name in the pools of a status.
func count(t *testing.T, status, name string) int {
	t.Helper()
	var v struct {
		Pools []struct {
			Members []map[string]any `json:"members"`
		} `json:"pools"`
	}
	if err := json.Unmarshal([]byte(status), &v); err != nil {
		t.Fatalf("status: %v: %s", err, status)
	}
	sum, found := 0, false
	for _, p := range v.Pools {
		for _, m := range p.Members {
			if n, ok := m[name].(float64); ok {
				sum += int(n)
				found = true
			}
		}
	}
	if !found {
		t.Fatalf("no member says %q: %s", name, status)
	}
	return sum
}

const (
	request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	slow    = "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"
	hello   = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
)

// gate is an origin that answers /slow only when it is let. It shows each arrival of such a request.
type gate struct {
	arrived chan *harness.Peer
	open    chan struct{} // one value for each answer
}

func newGate() *gate { return &gate{make(chan *harness.Peer, 1000), make(chan struct{}, 1000)} }

func (g *gate) script(p *harness.Peer) {
	for r := p.Next(); r != nil; r = p.Next() {
		if r.URL.Path == "/slow" {
			g.arrived <- p
			<-g.open
		}
		if !p.Send(hello) {
			return
		}
	}
}

// release lets everybody pass at the end of a test, so that no script is left waiting. It is called after the origin was
// made, to act before the origin waits for its scripts.
func (g *gate) release(t *testing.T) { t.Cleanup(func() { close(g.open) }) }

// good fails the test unless the answer is the origin's.
func good(t *testing.T, a *harness.Answer) {
	t.Helper()
	if a.Status != 200 || a.Body != "hello" || a.Err != nil {
		t.Fatalf("answer = %d %q (%v), want 200 hello", a.Status, a.Body, a.Err)
	}
}
