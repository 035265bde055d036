package distribution

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// line is what the tests look at of a line of the access log.
type line struct {
	Target  string  `json:"target"`
	Status  int     `json:"status"`
	Cause   string  `json:"cause"`
	Queue   float64 `json:"queue"`
	Retries int     `json:"retries"`
}

// logged waits for the line of the access log about this target.
func (s *site) logged(t *testing.T, target string) (found line) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "the access log tells of "+target, func() bool {
		for text := range strings.Lines(s.Log()) {
			var l line
			if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &l) == nil && l.Target == target {
				found = l
				return true
			}
		}
		return false
	})
	return found
}

// A member gets no more requests at once than its limit, the others wait in the order of their coming, and who waits in vain
// is told 503; the access log says why.
func TestQueue(t *testing.T) {
	t.Parallel()
	s := start(t, 2, "max_conns = 2\nqueue = 3\nqueue_timeout = \"500ms\"")
	for _, o := range s.origins {
		o.Delay.Store(int64(harness.Patience))
	}
	active := func() int64 { return s.origins[0].Active.Load() + s.origins[1].Active.Load() }
	for i := range 4 {
		s.hang(t, get(i))
		harness.Eventually(t, harness.Patience, "the request runs", func() bool { return active() == int64(i+1) })
	}
	began := time.Now()
	var waiting []*harness.Conn
	for i := range 3 {
		waiting = append(waiting, s.hang(t, fmt.Sprintf("GET /waits%d HTTP/1.1\r\nHost: h\r\n", i)))
	}
	s.queued(t, 3)
	if a := harness.Fetch(t, s.addr, "/full"); a.Status != 503 {
		t.Errorf("answer with a full queue = %d, want 503", a.Status)
	}
	if l := s.logged(t, "/full"); l.Cause != "queue_full" || l.Status != 503 {
		t.Errorf("log = %+v, want queue_full", l)
	}
	for i, c := range waiting {
		if a := c.Answer("GET"); a.Status != 503 {
			t.Errorf("answer after the queue time-out = %d, want 503", a.Status)
		}
		if l := s.logged(t, fmt.Sprintf("/waits%d", i)); l.Cause != "queue_timeout" || l.Queue < 0.5 {
			t.Errorf("log = %+v, want queue_timeout after half a second", l)
		}
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("they waited %v, want 500ms", took)
	}
	if n := active(); n != 4 {
		t.Errorf("%d requests run, want 4", n)
	}
}

// queued waits until so many requests wait.
func (s *site) queued(t *testing.T, n int) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "the requests are queued", func() bool { return s.status(t).Pools[0].Queued == n })
}

// What waits is served when there is room, all of it, however many come.
func TestQueueDrains(t *testing.T) {
	t.Parallel()
	s := start(t, 2, "max_conns = 1")
	for _, o := range s.origins {
		o.Delay.Store(int64(time.Millisecond))
	}
	most := int64(0)
	l := harness.Visit(t, s.addr, 20, nil, "GET /")
	from := l.Asked.Load()
	harness.Eventually(t, harness.Patience, "many are served", func() bool {
		for _, o := range s.origins {
			most = max(most, o.Active.Load())
		}
		return l.Asked.Load() > from+int64(harness.Count(200, 500, 50_000))
	})
	l.End()
	l.Good("with a queue")
	if most > 1 {
		t.Errorf("a member worked on %d requests at once, want 1", most)
	}
}

// A pool whose members all fail gets no more second tries than the budget says.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	s := &site{addr: harness.FreeAddr(t)}
	var list []string
	for range 3 {
		o := harness.Origin(t, func(p *harness.Peer) { p.Next() }) // takes the request and closes
		list = append(list, fmt.Sprintf("%q", o.Addr))
	}
	file := `
pool "web" {
  servers = [%s]
  eject {
    errors = 0
  }
  retry {
    budget = "10%%"
    floor  = 5
  }
}
http "site" {
  listen = %q
  pool   = pool.web
}
log {
  access = "json"
}
`
	s.Skein = harness.Start(t, fmt.Sprintf(file, strings.Join(list, ", "), s.addr))
	n := harness.Count(200, 400, 10_000)
	began := time.Now()
	c := harness.Raw(t, s.addr)
	for i := range n {
		if a := c.Get(fmt.Sprintf("/%d", i)); a.Status != 502 {
			t.Fatalf("answer = %d, want 502", a.Status)
		}
	}
	windows := 1 + time.Since(began).Seconds()/10
	retries := s.Metric("skein_http_retries_total")
	if most := max(5, 0.1*float64(n)) * windows; retries > most || retries < 5 {
		t.Errorf("%v retries of %d requests, want at most %.0f and at least the floor", retries, n, most)
	}
	if tries := s.Metric("skein_pool_member_requests_total"); tries != float64(n)+retries {
		t.Errorf("%v tries, want %d requests and %v retries", tries, n, retries)
	}
	if l := s.logged(t, "/0"); l.Cause != "origin_broken" || l.Retries != 2 {
		t.Errorf("log = %+v, want origin_broken after 2 retries", l)
	}
}

// A member that nobody listens on costs its requests another try, whatever the budget: no member did any work.
func TestConnectFailuresAreFree(t *testing.T) {
	t.Parallel()
	s := start(t, 3, "eject {\n errors = 0\n }\nretry {\n budget = \"0%\"\n floor = 0\n }")
	s.origins[0].Down()
	s.origins[2].Down()
	if got := counts(s.ask(t, 300, get)); got["b"] != 300 {
		t.Errorf("requests went to %v", got)
	}
}
