package traps

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

const parked = 200

// idlers are clients that have had an answer and wait, so skein waits for them.
func idlers(t *testing.T, addr string, n int) []*harness.Conn {
	t.Helper()
	var conns []*harness.Conn
	for range n {
		c := harness.Raw(t, addr)
		if a := c.Get("/"); a.Status != 200 {
			t.Fatalf("status = %d", a.Status)
		}
		conns = append(conns, c)
	}
	return conns
}

// Close against a parked reader: SIGTERM ends idle connections at once, waits for the busy one, and then the process ends.
func TestStopClosesParked(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		s := newSite(t, g.script, opts...)
		g.release(t)
		conns := idlers(t, s.addr, parked)
		fresh := harness.Raw(t, s.addr) // has never said anything
		busy := harness.Raw(t, s.addr)
		busy.Send(slow)
		<-g.arrived
		// The kernel shows a connection to skein when its client speaks, or after a second.
		harness.Eventually(t, harness.Patience, "all connections are accepted", func() bool {
			return s.Metric("skein_http_connections") == parked+2
		})
		start := time.Now()
		s.Signal(syscall.SIGTERM)
		for _, c := range conns {
			c.Closed()
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("idle connections were closed after %v", took)
		}
		fresh.Closed()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the connection that had said nothing was closed after %v", took)
		}
		harness.Eventually(t, harness.Patience, "the listener is closed", func() bool {
			c, err := net.Dial("tcp", s.addr)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		g.open <- struct{}{}
		good(t, busy.Answer("GET"))
		busy.Closed()
		s.Stopped(15 * time.Second)
	})
}

// A reload that removes a listener closes those who wait on it, lets the busy one finish, and touches nobody on the listener
// that stays.
func TestReloadClosesParked(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		origin := harness.Origin(t, g.script)
		g.release(t)
		stays, goes := harness.FreeAddr(t), harness.FreeAddr(t)
		hcl := func(listen string) string {
			return fmt.Sprintf("pool \"web\" {\n  servers = [%q]\n}\nhttp \"site\" {\n  listen = %s\n  pool = pool.web\n}\n", origin.Addr, listen)
		}
		s := harness.Start(t, hcl(fmt.Sprintf("[%q, %q]", stays, goes)), opts...)
		leaving, staying := idlers(t, goes, parked), idlers(t, stays, 20)
		busy := harness.Raw(t, goes)
		busy.Send(slow)
		<-g.arrived
		s.Reload(hcl(fmt.Sprintf("[%q]", stays)))
		for _, c := range leaving {
			c.Closed()
		}
		if c, err := net.Dial("tcp", goes); err == nil {
			c.Close()
			t.Error("the removed listener accepts")
		}
		g.open <- struct{}{}
		good(t, busy.Answer("GET"))
		busy.Closed()
		for range 3 {
			for _, c := range staying {
				if a := c.Get("/"); a.Status != 200 {
					t.Fatalf("status = %d", a.Status)
				}
			}
			s.Reload(hcl(fmt.Sprintf("[%q]", stays)))
		}
		// The address may come back.
		s.Reload(hcl(fmt.Sprintf("[%q, %q]", stays, goes)))
		for _, c := range idlers(t, goes, 5) {
			c.Get("/")
		}
	})
}

// A second SIGTERM does not wait for anybody.
func TestSecondStop(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		g := newGate()
		s := newSite(t, g.script, opts...)
		g.release(t)
		busy := harness.Raw(t, s.addr)
		busy.Send(slow)
		<-g.arrived
		idle := idlers(t, s.addr, 1)[0]
		s.Signal(syscall.SIGTERM)
		idle.Closed()
		s.Signal(syscall.SIGTERM)
		s.Exit(5 * time.Second)
		busy.Closed()
	})
}
