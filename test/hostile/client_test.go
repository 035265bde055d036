package hostile

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// Who sends a head a byte at a time is told 408 when his time is up, however lively he is.
func TestSlowHead(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := start(t, hello(t), "", "timeouts {\n header = \"1s\"\n }", opts...)
		began := time.Now()
		c := harness.Raw(t, s.addr)
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := 0; c.TrySend("GET / HTTP/1.1\r\nHost: h\r\nX-A: "+strings.Repeat("a", 10_000)[i:i+1]) == nil; i++ {
				<-tick.C
				break
			}
			for range tick.C {
				if c.TrySend("a") != nil {
					return
				}
			}
		}()
		a := c.Answer("GET")
		took := time.Since(began)
		if a.Status != 408 || !a.Close {
			t.Errorf("answer = %d, close %v; want 408 and the end", a.Status, a.Close)
		}
		// Deadlines go by a coarse clock, which an overloaded machine may leave behind by more than its tick.
		if took < 800*time.Millisecond || took > harness.Patience {
			t.Errorf("it took %v, want 1s", took)
		}
		c.Rest()
		s.endedBy(t, "client_timeout", 1)
		s.fine(t)
	})
}

// Who stops in the middle of a body is told 408, and so is one whose body trickles below the minimum rate; the member is free.
func TestSlowBody(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := start(t, hello(t), "", "timeouts {\n body = \"1s\"\n min_rate = \"1KB\"\n }", opts...)
		for _, frame := range []string{"Content-Length: 1000000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\nfffff\r\nhello"} {
			c := harness.Raw(t, s.addr)
			c.Send("POST / HTTP/1.1\r\nHost: h\r\n" + frame)
			if a := c.Answer("POST"); a.Status != 408 || !a.Close {
				t.Errorf("stopped: answer = %d, close %v; want 408 and the end", a.Status, a.Close)
			}
			c.Rest()

			c = harness.Raw(t, s.addr)
			c.Send("POST / HTTP/1.1\r\nHost: h\r\n" + frame)
			stop := make(chan struct{})
			go func() {
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						c.TrySend("a")
					}
				}
			}()
			if a := c.Answer("POST"); a.Status != 408 || !a.Close {
				t.Errorf("trickles: answer = %d, close %v; want 408 and the end", a.Status, a.Close)
			}
			close(stop)
			c.Rest()
		}
		s.endedBy(t, "client_timeout", 2)
		s.endedBy(t, "client_slow", 2)
		s.free(t)
		s.fine(t)
	})
}

// Too many fields and too many bytes are refused with 431 as soon as that is known; a head without an end costs no memory.
func TestHeadFlood(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := start(t, hello(t), "", "", opts...)
		s.fine(t)
		before := s.Memory()
		for name, line := range map[string]string{
			"many fields": "X-A: b\r\n",
			"many bytes":  "X-A: " + strings.Repeat("b", 1000) + "\r\n",
			"one field":   "",
		} {
			t.Run(name, func(t *testing.T) {
				for range 5 {
					c := harness.Raw(t, s.addr)
					c.TrySend("GET / HTTP/1.1\r\nHost: h\r\nX-First: ")
					if line == "" {
						line = strings.Repeat("b", 1000)
					} else {
						c.TrySend("a\r\n")
					}
					go func() {
						for range 100_000 { // until skein closes
							if c.TrySend(line) != nil {
								return
							}
						}
					}()
					a, err := c.TryAnswer("GET")
					if err != nil || a.Status != 431 || !a.Close {
						t.Fatalf("answer = %+v (%v), want 431 and the end", a, err)
					}
					c.Reset()
				}
			})
		}
		if grown := s.Memory() - before; grown > 32<<20 {
			t.Errorf("memory grew by %d bytes", grown)
		}
		s.fine(t)
	})
}

// A thousand requests in one packet, or as near as it goes, are answered in their order.
func TestPipelineFlood(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := start(t, harness.Name(t, "n").Addr, "", "", opts...)
		c := harness.Raw(t, s.addr)
		const n = 1000
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
		}
		c.Send(b.String())
		for i := range n {
			if a := c.Answer("GET"); a.Status != 200 || a.Body != fmt.Sprintf("n /%d", i) {
				t.Fatalf("answer %d = %d %q", i, a.Status, a.Body)
			}
		}
	})
}

// More connections than the limits allow are turned away, those within them go on, and room that is left is given again.
func TestConnectionFlood(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		for _, limit := range []string{"conns", "conns_per_client"} {
			t.Run(limit, func(t *testing.T) {
				s := start(t, hello(t), "", fmt.Sprintf("limits {\n %s = 20\n }", limit), opts...)
				var in []*harness.Conn
				for range 20 {
					c := harness.Raw(t, s.addr)
					if a := c.Get("/"); a.Status != 200 {
						t.Fatalf("answer = %d", a.Status)
					}
					in = append(in, c)
				}
				for range 50 {
					if a, err := harness.TryFetch(s.addr, "/"); err == nil {
						t.Fatalf("a connection over the limit got %d", a.Status)
					}
				}
				if n := s.Metric("skein_http_connections_refused_total"); n != 50 {
					t.Errorf("%v connections were refused, want 50", n)
				}
				if limit == "conns_per_client" {
					d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
					other, err := d.Dial("tcp", s.addr)
					if err != nil {
						t.Fatal(err)
					}
					defer other.Close()
					io.WriteString(other, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
					if b, _ := io.ReadAll(other); !strings.HasPrefix(string(b), "HTTP/1.1 200") {
						t.Errorf("another client got %q", b)
					}
				}
				for _, c := range in {
					if a := c.Get("/"); a.Status != 200 {
						t.Fatalf("a client within the limit got %d", a.Status)
					}
				}
				in[0].Close()
				harness.Eventually(t, harness.Patience, "there is room again", func() bool {
					a, err := harness.TryFetch(s.addr, "/")
					return err == nil && a.Status == 200
				})
			})
		}
	})
}

// A body over the limit is refused by what its head says, and in the middle if that says nothing; the origin gets no whole
// request.
func TestHugeBody(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		origin := harness.Origin(t, func(p *harness.Peer) {
			for r := p.Next(); r != nil; r = p.Next() {
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
			}
		})
		s := start(t, origin.Addr, "", "max_body = \"100KiB\"", opts...)
		c := harness.Raw(t, s.addr)
		c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 102400\r\n\r\n" + strings.Repeat("a", 102400))
		if a := c.Answer("POST"); a.Status != 200 {
			t.Errorf("answer to as much as is allowed = %d", a.Status)
		}
		for name, send := range map[string]func(c *harness.Conn){
			"by length": func(c *harness.Conn) {
				c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 102401\r\n\r\n")
			},
			"by chunks": func(c *harness.Conn) {
				c.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range 110 {
					if c.TrySend("400\r\n"+strings.Repeat("a", 1024)+"\r\n") != nil {
						return
					}
				}
			},
			"expected": func(c *harness.Conn) {
				c.Send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n")
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := harness.Raw(t, s.addr)
				send(c)
				if a := c.Answer("POST"); a.Status != 413 || !a.Close {
					t.Errorf("answer = %d, close %v; want 413 and the end", a.Status, a.Close)
				}
				c.Reset()
			})
		}
		s.endedBy(t, "too_large", 3)
		s.free(t)
		if n := len(origin.Requests()); n != 1 {
			t.Errorf("the origin got %d whole requests, want 1", n)
		}
		s.fine(t)
	})
}
