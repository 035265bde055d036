package traps

import (
	"fmt"
	"strings"
	"testing"

	"skein/test/harness"
)

// echo answers with method, path and body.
func echo(p *harness.Peer) {
	for r := p.Next(); r != nil; r = p.Next() {
		body := r.Method + " " + r.URL.Path + " " + r.Content
		if !p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)) {
			return
		}
	}
}

// turns are four requests, and what echo says to each.
var (
	turns = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n" +
		"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n" +
		"GET /4 HTTP/1.1\r\nHost: h\r\n\r\n"
	echoes = []string{"GET /1 ", "POST /2 hello", "POST /3 abc", "GET /4 "}
)

func expectEchoes(t *testing.T, c *harness.Conn) {
	t.Helper()
	for _, want := range echoes {
		if a := c.Answer("GET"); a.Status != 200 || a.Body != want {
			t.Fatalf("answer = %d %q, want %q", a.Status, a.Body, want)
		}
	}
}

// Requests on one connection, with a pause at every place in and between them: skein has received the first part and waits when
// the second comes.
func TestPipeliningWithDelays(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, echo, opts...)
		for i := 1; i < len(turns); i++ {
			c := harness.Raw(t, s.addr)
			c.Send(turns[:i])
			c.Taken()
			c.Send(turns[i:])
			expectEchoes(t, c)
			c.Close()
		}
	})
}

func TestPipeliningByteByByte(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, echo, opts...)
		c := harness.Raw(t, s.addr)
		c.SetNoDelay(true)
		for round := range 2 {
			for i := range len(turns) {
				c.Send(turns[i : i+1])
				if round > 0 {
					c.Taken()
				}
			}
			expectEchoes(t, c)
		}
	})
}

// A request that comes while the one before it is being answered leaves no second readiness behind: the engine must look by
// itself.
func TestPipelinedWhileBusy(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		s := newSite(t, g.script, opts...)
		g.release(t)
		c := harness.Raw(t, s.addr)
		for range 50 {
			c.Send(slow)
			<-g.arrived
			c.Send(request + request)
			g.open <- struct{}{}
			for range 3 {
				good(t, c.Answer("GET"))
			}
		}
	})
}

// Many pipelined requests fill the buffer more than once, at every offset.
func TestPipelinedMoreThanABuffer(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, echo, opts...)
		c := harness.Raw(t, s.addr)
		const n = 3000
		go func() {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: h\r\nX: %s\r\n\r\n", i, strings.Repeat("a", i%97))
			}
			c.TrySend(b.String())
		}()
		for i := range n {
			if a := c.Answer("GET"); a.Body != fmt.Sprintf("GET /%d ", i) {
				t.Fatalf("answer %d = %d %q", i, a.Status, a.Body)
			}
		}
	})
}
