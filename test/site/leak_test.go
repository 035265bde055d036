package site

import (
	"testing"

	"skein/test/harness"
)

// warm makes what a run keeps for the next one: goroutines that wait for work, pipes, pools of buffers.
func warm(t *testing.T, s *site) {
	t.Helper()
	var conns []*harness.Conn
	for range 4 * visitors {
		c := harness.Raw(t, s.addr)
		c.Send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
		conns = append(conns, c)
	}
	for _, c := range conns {
		if a := c.Answer("GET"); a.Status != 200 || len(a.Body) != largeSize {
			t.Fatalf("answer = %d, %d bytes", a.Status, len(a.Body))
		}
		c.Close()
	}
	// Connections to the origins rest for a second ("keepalive").
	harness.Eventually(t, harness.Patience, "the connections end", func() bool {
		return s.Metric("skein_http_connections") == 0
	})
}

// settles fails the test unless descriptors and goroutines come back to the level before. Pipes are kept for the next
// transfer, one for each visitor at most.
func settles(t *testing.T, s *site, before harness.Usage) {
	t.Helper()
	before.Descriptors += 2 * visitors
	s.Settles(before)
}
