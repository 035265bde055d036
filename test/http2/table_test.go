package http2

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"skein/test/corpus"
	"skein/test/harness"
)

// site is skein over TLS, with HTTP/2, before an origin; more is put into its http block.
func site(t testing.TB, origin, more string) (*harness.Skein, string) {
	t.Helper()
	addr := harness.FreeAddr(t)
	s := harness.Start(t, fmt.Sprintf(`
pool "web" {
  servers = [%q]
  timeouts {
    keepalive = "300ms"
  }
}
http "h" {
  listen = %q
  tls    = "self-signed"
  pool   = pool.web
%s
}
`, origin, addr, more))
	return s, addr
}

// whole answers every whole request.
func whole(p *harness.Peer) {
	for r := p.Next(); r != nil; r = p.Next() {
		if !p.Send("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 2\r\n\r\nok") {
			return
		}
	}
}

// TestStreams sends each request of the table on a connection of its own, and again with others before and behind it.
func TestStreams(t *testing.T) {
	origin := harness.Origin(t, whole)
	s, addr := site(t, origin.Addr, "")
	for _, tc := range corpus.Streams() {
		t.Run(tc.Name, func(t *testing.T) {
			before := len(origin.Requests())
			c := dial(t, addr)
			c.must(c.get("/probe"), "200")
			id := send(c, tc)
			a, err := c.wait(id)
			refused := a.reset || strings.HasPrefix(a.status, "4") || strings.HasPrefix(a.status, "5") || err != nil
			if (tc.Want == "refuse") != refused {
				t.Fatalf("status %q, reset %v (%v), %v; want %s (RFC 9113 section %s)", a.status, a.reset, a.code, err, tc.Want, tc.Section)
			}
			if err == nil {
				c.must(c.get("/probe"), "200") // one bad request is not the connection's fault
			}
			var seen []*harness.Request
			for _, r := range origin.Requests()[before:] {
				if r.URL.Path != "/probe" {
					seen = append(seen, r)
				}
			}
			switch {
			case tc.Want == "refuse" && len(seen) > 0:
				t.Errorf("origin saw %q", seen[0].Raw)
			case tc.Want == "pass" && len(seen) != 1:
				t.Errorf("origin saw %d requests, want 1", len(seen))
			case tc.Want == "pass":
				for _, wrong := range corpus.Differs(tc.Saw, seen[0].Raw, seen[0].Content, seen[0].Trailer) {
					t.Errorf("%s (RFC 9113 section %s)", wrong, tc.Section)
				}
			}
		})
	}
	s.Stop()
}

// send sends a request of the table.
func send(c *client, tc corpus.Stream) uint32 {
	id := c.request(tc.Fields, tc.Body == "" && tc.Trailers == nil)
	if tc.Body != "" {
		c.data(id, tc.Body, tc.Trailers == nil)
	}
	if tc.Trailers != nil {
		_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(tc.Trailers), EndHeaders: true, EndStream: true})
	}
	return id
}
