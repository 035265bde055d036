package traps

import (
	"encoding/json"
	"testing"
	"time"

	"skein/test/harness"
)

// soon is how long skein may take to notice that a client has gone.
const soon = 2 * time.Second

// A client that leaves while the origin is slow: nobody wants the answer any more, so the origin is told by closing, and the
// member is free for others.
func TestClientLeaves(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		s := newSite(t, func(p *harness.Peer) {
			if r := p.Next(); r != nil {
				g.arrived <- p
				p.Drain() // ends when skein closes
			}
		}, opts...)
		for name, send := range map[string]string{
			"GET":           slow,
			"POST":          "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
			"and pipelines": slow + request + request,
		} {
			t.Run(name, func(t *testing.T) {
				c := harness.Raw(t, s.addr)
				c.Send(send)
				p := <-g.arrived
				if n := s.active(t); n != 1 {
					t.Errorf("active = %d, want 1", n)
				}
				c.Reset()
				select {
				case <-p.Gone():
				case <-time.After(soon):
					t.Fatalf("the origin's connection is open %v after the client's reset", soon)
				}
				harness.Eventually(t, soon, "the member is free", func() bool { return s.active(t) == 0 })
			})
		}
		before := s.Usage()
		for range 30 {
			c := harness.Raw(t, s.addr)
			c.Send(slow)
			<-g.arrived
			c.Reset()
		}
		s.Settles(before)
	})
}

// A client that leaves in the middle of its upload.
func TestClientLeavesInBody(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		arrived := make(chan *harness.Peer, 100)
		s := newSite(t, func(p *harness.Peer) {
			if r := p.Head(); r != nil {
				arrived <- p
				p.Body(r)
			}
		}, opts...)
		for _, reset := range []bool{true, false} {
			c := harness.Raw(t, s.addr)
			c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nhello")
			p := <-arrived
			if reset {
				c.Reset()
			} else {
				c.Close()
			}
			select {
			case <-p.Gone():
			case <-time.After(soon):
				t.Fatalf("the origin still waits for the body %v after its sender left", soon)
			}
		}
		harness.Eventually(t, soon, "the member is free", func() bool { return s.active(t) == 0 })
		if n := len(s.origin.Requests()); n != 0 {
			t.Errorf("origin got %d whole requests, want none", n)
		}
	})
}

// A client that leaves while it waits for a member with room is no longer in the queue: the origin never hears of it.
func TestClientLeavesQueue(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		origin := harness.Origin(t, g.script)
		g.release(t)
		addr := harness.FreeAddr(t)
		s := harness.Start(t, config(addr, origin.Addr, "max_conns = 1"), opts...)
		busy := harness.Raw(t, addr)
		busy.Send(slow)
		<-g.arrived
		for range 20 {
			c := harness.Raw(t, addr)
			c.Send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n")
			harness.Eventually(t, harness.Patience, "the request is queued", func() bool { return queued(t, s) == 1 })
			c.Reset()
			harness.Eventually(t, soon, "the request leaves the queue", func() bool { return queued(t, s) == 0 })
		}
		last := harness.Raw(t, addr)
		last.Send(request)
		harness.Eventually(t, harness.Patience, "the request is queued", func() bool { return queued(t, s) == 1 })
		g.open <- struct{}{}
		good(t, busy.Answer("GET"))
		good(t, last.Answer("GET"))
		for _, r := range origin.Requests() {
			if r.URL.Path == "/never" {
				t.Error("the request of a client that had left was sent")
				break
			}
		}
	})
}

// queued is the number of requests that wait for a member with room.
func queued(t *testing.T, s *harness.Skein) int {
	t.Helper()
	var v struct {
		Pools []struct {
			Queued int `json:"queued"`
		} `json:"pools"`
	}
	if err := json.Unmarshal([]byte(s.Admin("/api/v1/status")), &v); err != nil || len(v.Pools) != 1 {
		t.Fatalf("status: %+v, %v", v, err)
	}
	return v.Pools[0].Queued
}
