package traps

import (
	"testing"

	"skein/test/harness"
)

// A client that has said all it has to say may close its half at once (`printf ... | nc` does). It still wants the answer.
func TestFINBeforeAnswer(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		s := newSite(t, g.script, opts...)
		g.release(t)
		for name, send := range map[string]string{
			"GET":     slow,
			"POST":    "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
			"chunked": "POST /slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		} {
			t.Run(name+" while busy", func(t *testing.T) {
				c := harness.Raw(t, s.addr)
				c.Send(send)
				<-g.arrived
				c.CloseWrite()
				c.Finished()
				g.open <- struct{}{}
				good(t, c.Answer("GET"))
				c.Closed()
			})
			t.Run(name+" at once", func(t *testing.T) {
				c := harness.Raw(t, s.addr)
				c.Send(send)
				c.CloseWrite()
				<-g.arrived
				g.open <- struct{}{}
				good(t, c.Answer("GET"))
				c.Closed()
			})
		}
		harness.Eventually(t, harness.Patience, "no request is active", func() bool { return s.active(t) == 0 })
	})
}

// A FIN to a connection that waits ends it.
func TestFINWhileIdle(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, echo, opts...)
		harness.Fetch(t, s.addr, "/")
		before := s.Usage()
		for range 50 {
			c := harness.Raw(t, s.addr)
			c.Get("/")
			c.CloseWrite()
			c.Closed()
		}
		s.Settles(before)
	})
}
