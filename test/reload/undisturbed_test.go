package reload

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// Connections that are opened while the file is read again are all served: an unchanged listener keeps its socket, and with it
// those who wait there.
func TestAcceptQueue(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a")
	s := harness.Start(t, f.String())
	stop, failed := make(chan struct{}), make(chan error, 4)
	asked := make(chan int, 4)
	for range 4 {
		go func() {
			n := 0
			defer func() { asked <- n }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := harness.TryFetch(f.addr, "/")
				if err == nil && a.Status != 200 {
					err = fmt.Errorf("status %d", a.Status)
				}
				if err != nil {
					failed <- err
					return
				}
				n++
			}
		}()
	}
	extra := harness.FreeAddr(t)
	for i := range harness.Count(30, 100, 5000) {
		next := f
		if i%2 == 0 { // another listener comes and goes
			next.more = fmt.Sprintf("http \"more\" {\n  listen = %q\n  pool = pool.web\n}\n", extra)
		}
		next.block = fmt.Sprintf("route \"/x%d\" {\n pool = pool.web\n }", i)
		s.Reload(next.String())
	}
	close(stop)
	total := 0
	for range 4 {
		total += <-asked
	}
	select {
	case err := <-failed:
		t.Errorf("a new connection during a reload: %v", err)
	default:
	}
	if total < 50 {
		t.Errorf("only %d connections were tried", total)
	}
}

// New routes count at once for those who are connected already.
func TestRoutesForOldConnections(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a", "b")
	f.servers = f.servers[:1]
	all := newFile(t, "b2")
	s := harness.Start(t, f.String())
	c := harness.Raw(t, f.addr)
	good(t, c.Get("/new"), "a")
	for range 20 {
		next := f
		next.more = fmt.Sprintf("pool \"new\" {\n servers = [%q]\n}\n", all.servers[0].Addr)
		next.block = "route \"/new\" {\n pool = pool.new\n }"
		s.Reload(next.String())
		good(t, c.Get("/new"), "b2")
		good(t, c.Get("/"), "a")
		next.block = "route \"/new\" {\n redirect = \"/other\"\n }"
		s.Reload(next.String())
		if a := c.Get("/new"); a.Status != 308 {
			t.Errorf("answer = %d, want 308", a.Status)
		}
		s.Reload(f.String())
		good(t, c.Get("/new"), "a")
	}
}

// A listener that leaves the file closes; the request that runs there is finished, and its connection ends then.
func TestListenerLeaves(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a")
	other := harness.FreeAddr(t)
	both := f
	both.more = fmt.Sprintf("http \"more\" {\n  listen = %q\n  pool = pool.web\n}\n", other)
	s := harness.Start(t, both.String())
	f.servers[0].Delay.Store(int64(500 * time.Millisecond))
	idle, busy := harness.Raw(t, other), harness.Raw(t, other)
	good(t, idle.Get("/"), "a")
	busy.Send("GET /busy HTTP/1.1\r\nHost: h\r\n\r\n")
	harness.Eventually(t, harness.Patience, "the request runs", func() bool { return f.servers[0].Active.Load() == 1 })
	s.Reload(f.String())
	if c, err := net.Dial("tcp", other); err == nil {
		c.Close()
		t.Error("the listener that has left the file still accepts")
	}
	idle.Closed()
	a := busy.Answer("GET")
	good(t, a, "a")
	if !a.Close {
		t.Error("the answer does not say that the connection ends")
	}
	busy.Closed()
	s.Reload(both.String())
	good(t, harness.Fetch(t, other, "/"), "a")
}

// Counters, connections and health of a member live on when the file changes around it, its own weight included.
func TestMembersLiveOn(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a", "b", "c")
	f.pool = "check {\n http = \"/up\"\n every = \"100ms\"\n fast = \"50ms\"\n timeout = \"50ms\"\n rise = 1\n fall = 1\n }"
	s := harness.Start(t, f.String())
	f.servers[1].Healthy.Store(false)
	harness.Eventually(t, harness.Patience, "b is down", func() bool { return members(t, s)["b"].State == "down" })
	c := harness.Raw(t, f.addr)
	for i := range 60 {
		if a := c.Get(fmt.Sprintf("/%d", i)); a.Status != 200 || a.Header.Get("X-Origin") == "b" {
			t.Fatalf("answer = %d of %s", a.Status, a.Header.Get("X-Origin"))
		}
	}
	before := members(t, s)
	for i := range 20 {
		next := f
		next.servers = f.servers[:2+i%2] // c comes and goes
		next.pool += fmt.Sprintf("\nweights = { a = %d }\nkeepalive = %d", 1+i, 100+i)
		s.Reload(next.String())
		m := members(t, s)
		if m["a"].Weight != 1+i {
			t.Fatalf("weight = %d, want %d", m["a"].Weight, 1+i)
		}
		if m["b"].State != "down" {
			t.Fatalf("b is %s after reload %d: its health is lost", m["b"].State, i)
		}
		if a := c.Get("/"); a.Status != 200 || a.Header.Get("X-Origin") == "b" {
			t.Fatalf("answer = %d of %s", a.Status, a.Header.Get("X-Origin"))
		}
	}
	now := members(t, s)
	if now["a"].Requests < before["a"].Requests+10 || now["a"].Connects != before["a"].Connects {
		t.Errorf("a is %+v, was %+v: its counters or connections are lost", now["a"], before["a"])
	}
	f.servers[1].Healthy.Store(true)
	harness.Eventually(t, harness.Patience, "b is up", func() bool { return members(t, s)["b"].State == "up" })
}

// A request that runs at a member which leaves the file is finished there.
func TestMemberLeaves(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a", "b")
	s := harness.Start(t, f.String())
	for _, o := range f.servers {
		o.Delay.Store(int64(500 * time.Millisecond))
	}
	one, two := harness.Raw(t, f.addr), harness.Raw(t, f.addr)
	one.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	two.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	harness.Eventually(t, harness.Patience, "the requests run", func() bool {
		return f.servers[0].Active.Load() == 1 && f.servers[1].Active.Load() == 1
	})
	next := f
	next.servers = f.servers[:1]
	s.Reload(next.String())
	got := one.Answer("GET").Header.Get("X-Origin") + two.Answer("GET").Header.Get("X-Origin")
	if got != "ab" && got != "ba" {
		t.Errorf("answers came of %q, want of a and b", got)
	}
	for range 5 {
		good(t, one.Get("/"), "a")
	}
	// What rested at the member that has left is closed.
	harness.Eventually(t, harness.Patience, "no connection to b is left", func() bool {
		return !strings.Contains(established(t), hexPort(f.servers[1].Addr))
	})
}
