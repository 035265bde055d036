package hostile

import (
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// once is an origin that says this to each request and then closes; "hello" to those for "/".
func once(t *testing.T, text string, reset bool) string {
	t.Helper()
	return harness.Origin(t, func(p *harness.Peer) {
		r := p.Next()
		if r == nil {
			return
		}
		if r.URL.Path == "/" {
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
			return
		}
		p.Send(text)
		if reset {
			p.Reset()
		}
	}).Addr
}

// An origin that vanishes in the middle of an answer: the client must see that something is missing.
func TestOriginVanishes(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		half := strings.Repeat("a", 100_000)
		for name, text := range map[string]string{
			"length":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
			"long length": "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + half,
			"chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
			"in a chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello",
			"bad chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				s := start(t, once(t, text, false), "", "", opts...)
				c := harness.Raw(t, s.addr)
				c.Send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
				if a := c.Answer("GET"); a.Status != 200 || a.Err == nil {
					t.Errorf("answer = %d %d bytes, error %v; want a truncated one", a.Status, len(a.Body), a.Err)
				}
				c.Closed()
				s.endedBy(t, "origin_cut", 1)
				if !strings.Contains(text, "chunked") {
					s.fine(t)
					return
				}
				// HTTP/1.0 knows no chunks: only a reset tells the end of the connection from the end of the answer.
				old := harness.Raw(t, s.addr)
				old.Send("GET /half HTTP/1.0\r\nHost: h\r\n\r\n")
				old.SetReadDeadline(time.Now().Add(harness.Patience))
				b := make([]byte, 64<<10)
				for {
					_, err := old.TCPConn.Read(b)
					if err != nil {
						if !strings.Contains(err.Error(), "reset") {
							t.Errorf("HTTP/1.0 client: %v, want a reset", err)
						}
						break
					}
				}
				s.fine(t)
			})
		}
	})
}

// An origin that says what is no answer, or nothing.
func TestOriginGarbage(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		for name, text := range map[string]string{
			"garbage":       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
			"ssh":           "SSH-2.0-OpenSSH_9.2p1\r\n",
			"no status":     "HTTP/1.1 abc OK\r\n\r\n",
			"half a head":   "HTTP/1.1 200 OK\r\nContent-Le",
			"two lengths":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
			"huge head":     "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 100_000) + "\r\n\r\n",
			"nothing":       "",
			"wrong upgrade": "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				s := start(t, once(t, text, name == "nothing"), "", "", opts...)
				c := harness.Raw(t, s.addr)
				c.Send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
				if a := c.Answer("GET"); a.Status != 502 || a.Err != nil {
					t.Errorf("answer = %d (%v), want 502", a.Status, a.Err)
				}
				s.endedBy(t, "origin_broken", 1)
				s.free(t)
				s.fine(t)
			})
		}
	})
}

// An origin that accepts and never answers: 504 when first_byte is over; one that trickles is fine as long as it moves, and cut
// when it does not.
func TestOriginHangs(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		origin := harness.Origin(t, func(p *harness.Peer) {
			r := p.Next()
			if r == nil {
				return
			}
			switch r.URL.Path {
			case "/never":
			case "/trickle":
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n")
				tick := time.NewTicker(150 * time.Millisecond)
				defer tick.Stop()
				for range 20 {
					<-tick.C
					p.Send("a")
				}
				return
			case "/head":
				p.Send("HTTP/1.1 200 OK\r\n")
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if !p.Send("X-A: b\r\n") {
						return
					}
				}
			case "/stops":
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhello")
			default:
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
				return
			}
			p.Drain()
		})
		s := start(t, origin.Addr, "timeouts {\n first_byte = \"1s\"\n idle = \"1s\"\n }\neject {\n errors = 0\n }", "", opts...)
		for _, test := range []struct {
			target string
			status int
			cause  string
		}{
			{"/never", 504, "origin_timeout"},
			{"/head", 504, "origin_timeout"}, // the head must be complete, however lively its beginning is
			{"/stops", 200, "origin_timeout"},
			{"/trickle", 200, "done"},
		} {
			t.Run(test.target, func(t *testing.T) {
				n := s.ended(test.cause)
				began := time.Now()
				c := harness.Raw(t, s.addr)
				c.Send("GET " + test.target + " HTTP/1.1\r\nHost: h\r\n\r\n")
				a := c.Answer("GET")
				if a.Status != test.status || (a.Err == nil) != (test.target != "/stops") {
					t.Errorf("answer = %d %q (%v), want %d", a.Status, a.Body, a.Err, test.status)
				}
				if took := time.Since(began); took < time.Second || took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				s.endedBy(t, test.cause, n+1)
				s.free(t)
				s.fine(t)
			})
		}
	})
}

// A check that hangs is a bad one; it holds up no other member's and is given up at once when its member goes.
func TestCheckHangs(t *testing.T) {
	t.Parallel()
	hung := harness.Origin(t, func(p *harness.Peer) { p.Drain() })
	good := harness.Name(t, "good")
	pool := "servers = [\"" + hung.Addr + "\", \"" + good.Addr + "\"]\n check {\n http = \"/up\"\n every = \"200ms\"\n timeout = \"200ms\"\n fast = \"100ms\"\n }\n"
	file := func(addr, pool string) string {
		return "pool \"web\" {\n" + pool + "}\nhttp \"site\" {\n listen = \"" + addr + "\"\n pool = pool.web\n}\n"
	}
	addr := harness.FreeAddr(t)
	s := harness.Start(t, file(addr, pool))
	harness.Eventually(t, harness.Patience, "the member that hangs is down", func() bool {
		return s.Metric("skein_pool_member_in_use") == 1
	})
	n := good.Checks.Load()
	harness.Eventually(t, 5*time.Second, "the other is checked", func() bool { return good.Checks.Load() > n+5 })
	for range 20 {
		if a := harness.Fetch(t, addr, "/"); a.Header.Get("X-Origin") != "good" {
			t.Errorf("answer = %d", a.Status)
		}
	}
	s.Reload(file(addr, "servers = [\""+good.Addr+"\"]\n"))
	harness.Eventually(t, harness.Patience, "its checks have ended", func() bool {
		for _, p := range hung.Peers() {
			select {
			case <-p.Gone():
			default:
				return false
			}
		}
		return true
	})
}
