package traps

import (
	"fmt"
	"strings"
	"testing"

	"skein/test/harness"
)

const early = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"

// An origin that refuses an upload before it has read it: the client gets the answer while it is still sending, and nobody
// hangs.
func TestEarlyAnswer(t *testing.T) {
	for _, c := range []struct {
		name, head string
		chunk      string
		then       func(p *harness.Peer)
	}{
		{"length, origin stops reading", "Content-Length: 104857600", strings.Repeat("a", 1<<20), (*harness.Peer).Drain},
		{"chunked, origin stops reading", "Transfer-Encoding: chunked", "100000\r\n" + strings.Repeat("a", 1<<20) + "\r\n", (*harness.Peer).Drain},
		{"length, origin closes", "Content-Length: 104857600", strings.Repeat("a", 1<<20), func(*harness.Peer) {}},
		{"length, origin resets", "Content-Length: 104857600", strings.Repeat("a", 1<<20), func(p *harness.Peer) { p.CloseWrite(); p.Drain() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, opts ...harness.Option) {
				s := newSite(t, func(p *harness.Peer) {
					if p.Head() != nil {
						p.Send(early)
						c.then(p)
					}
				}, opts...)
				for range 5 {
					conn := harness.Raw(t, s.addr)
					sent := make(chan int)
					conn.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", c.head))
					go func() {
						n := 0
						for n < 100 && conn.TrySend(c.chunk) == nil {
							n++
						}
						sent <- n
					}()
					if a := conn.Answer("POST"); a.Status != 413 || a.Body != "big" {
						t.Errorf("answer = %d %q, want 413 big", a.Status, a.Body)
					}
					conn.Rest() // the connection must end: what is left of the body is no request
					conn.Close()
					<-sent
				}
				harness.Eventually(t, harness.Patience, "no request is active", func() bool { return s.active(t) == 0 })
			})
		})
	}
}

// A client that waits for the answer with the rest of its body in hand gets it, too.
func TestEarlyAnswerToAPause(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, func(p *harness.Peer) {
			if p.Head() != nil {
				p.Send(early)
				p.Drain()
			}
		}, opts...)
		for range 10 {
			conn := harness.Raw(t, s.addr)
			conn.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhello")
			if a := conn.Answer("POST"); a.Status != 413 || a.Body != "big" {
				t.Errorf("answer = %d %q, want 413 big", a.Status, a.Body)
			}
			conn.Closed()
		}
		harness.Eventually(t, harness.Patience, "no request is active", func() bool { return s.active(t) == 0 })
	})
}

// The body of a refused upload must never be taken for requests.
func TestEarlyAnswerIsNoDoor(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, func(p *harness.Peer) {
			for r := p.Head(); r != nil; r = p.Head() {
				if r.URL.Path == "/evil" {
					t.Error("the body of another request arrived as a request")
				}
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				if r.Method == "POST" {
					p.Drain()
					return
				}
			}
		}, opts...)
		for range 20 {
			conn := harness.Raw(t, s.addr)
			conn.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
			conn.TrySend(strings.Repeat("GET /evil HTTP/1.1\r\nHost: h\r\n\r\n", 3000))
			if a := conn.Answer("POST"); a.Status != 200 {
				t.Errorf("answer = %d", a.Status)
			}
			conn.Closed()
		}
		if a := harness.Fetch(t, s.addr, "/"); a.Status != 200 {
			t.Errorf("answer afterwards = %d", a.Status)
		}
	})
}

// A large upload arrives whole, by length and in chunks.
func TestUpload(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := newSite(t, func(p *harness.Peer) {
			for r := p.Next(); r != nil; r = p.Next() {
				body := fmt.Sprint(len(r.Content), strings.Count(r.Content, "x"))
				p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			}
		}, opts...)
		c := harness.Raw(t, s.addr)
		block := strings.Repeat("y", 99999) + "x"
		for range 2 {
			c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n", strings.Repeat(block, 100))
			if a := c.Answer("POST"); a.Body != "10000000 100" {
				t.Errorf("origin read %q", a.Body)
			}
			c.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("186a0\r\n"+block+"\r\n", 100), "0\r\n\r\n")
			if a := c.Answer("POST"); a.Body != "10000000 100" {
				t.Errorf("origin read %q", a.Body)
			}
		}
	})
}
