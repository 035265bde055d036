package traps

import (
	"fmt"
	"strings"
	"testing"

	"skein/test/harness"
)

// An idle connection to an origin may have ended, or hold an answer that nobody asked for, when the next request is to be sent
// on it. Nothing was sent yet, so every request goes on another connection, a POST too.
func TestStaleOriginConnection(t *testing.T) {
	for _, trap := range []struct {
		name string
		end  func(p *harness.Peer)
	}{
		{"late 408", func(p *harness.Peer) {
			p.Send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			p.CloseWrite()
		}},
		{"late 408 without FIN", func(p *harness.Peer) {
			p.Send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
		}},
		{"late answer to somebody else", func(p *harness.Peer) {
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}},
		{"one stray byte", func(p *harness.Peer) { p.Send("\n") }},
		{"FIN", func(p *harness.Peer) { p.CloseWrite() }},
		{"RST", func(p *harness.Peer) { p.Reset() }},
	} {
		t.Run(trap.name, func(t *testing.T) {
			both(t, func(t *testing.T, opts ...harness.Option) { stale(t, trap.end, opts...) })
		})
	}
}

func stale(t *testing.T, end func(*harness.Peer), opts ...harness.Option) {
	s := newSite(t, echo, opts...)
	c := harness.Raw(t, s.addr)
	for i := range 20 {
		c.Get("/first")
		seen := s.origin.Requests()
		p := seen[len(seen)-1].Peer
		end(p)
		p.Arrived(t)
		body := fmt.Sprintf("%02d", i)
		send := "POST /second HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n" + body
		if i%2 == 0 {
			send, body = "GET /second HTTP/1.1\r\nHost: h\r\n\r\n", ""
		}
		c.Send(send)
		method, _, _ := strings.Cut(send, " ")
		if a := c.Answer("GET"); a.Status != 200 || a.Body != method+" /second "+body {
			t.Fatalf("round %d: answer = %d %q", i, a.Status, a.Body)
		}
		seen = s.origin.Requests()
		if last := seen[len(seen)-1]; last.Peer == p {
			t.Fatalf("round %d: the stale connection was used", i)
		}
	}
	if got := len(s.origin.Requests()); got != 40 {
		t.Errorf("origin got %d requests, want 40", got)
	}
}
