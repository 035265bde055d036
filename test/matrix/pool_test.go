package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"skein/test/harness"
)

func sticky(x *cell) {
	first := x.get("/echo")
	cookies := first.Cookies()
	if len(cookies) != 1 {
		x.Fatalf("%d cookies: %v", len(cookies), cookies)
	}
	c := cookies[0]
	x.is("cookie", c.Name, "skein")
	x.is("Max-Age", c.MaxAge, 3600)
	x.is("HttpOnly", c.HttpOnly, true)
	x.is("Secure", c.Secure, x.client.tls)
	for range 4 { // round_robin would take turns
		a := x.expect(200, request{path: "/echo", header: map[string]string{"Cookie": "other=1; skein=" + c.Value}})
		x.is("member", a.Header.Get("X-Server"), first.Header.Get("X-Server"))
		x.is("new cookies", len(a.Cookies()), 0)
	}
	other := x.get("/echo")
	for other.Header.Get("X-Server") == first.Header.Get("X-Server") {
		other = x.get("/echo")
	}
	x.is("cookies of who comes without", len(other.Cookies()), 1)
}

// hash tests that equal keys find one member. By the access log of all clients' cells it is the same one: see hashed.
func hash(kind string) func(*cell) {
	return func(x *cell) {
		var order []string
		for key := range 16 {
			q := request{path: "/echo"}
			switch kind {
			case "header":
				q.header = map[string]string{"X-Key": fmt.Sprint("key ", key)}
			case "cookie": // HTTP/2 and HTTP/3 send cookies in crumbs
				q.header = map[string]string{"Cookie": fmt.Sprintf("first=%d; key=%d; last=1", key%2, key)}
			case "uri":
				q.path = fmt.Sprintf("/echo/%d?x=%d", key, key)
			}
			s := x.echo(q)
			x.is("member the second time", x.echo(q).Server, s.Server)
			order = append(order, s.Server)
		}
		members := strings.Join(order, "")
		if !strings.Contains(members, "a") || !strings.Contains(members, "b") {
			x.Errorf("16 keys went to %s", members)
		}
		if first, loaded := x.site.hashed.LoadOrStore(x.f.name, members); loaded && first != members {
			x.Errorf("16 keys went to %s, and by another client to %s", members, first)
		}
	}
}

// Nobody notices a member that takes no connections: whatever was asked, none of it was sent.
func deadMember(x *cell) {
	for _, v := range []struct {
		method string
		known  bool
		n      int
	}{{"GET", true, 0}, {"POST", true, 100}, {"POST", false, 100}, {"POST", true, 200_000}, {"PUT", false, 200_000}} {
		for range 2 { // in turn one of them meets the dead member first
			q := request{method: v.method, path: "/echo"}
			if v.n > 0 {
				q.body, q.length = body(v.n, v.known)
			}
			s := x.echo(q)
			x.is("length", s.Length, v.n)
			x.is("sum", s.Sum, sum(v.n))
		}
	}
	x.logs(times(10, "200 done")...)
}

// A member that dies before its answer costs an idempotent request nothing, if its body is still whole. What may have had an
// effect is not sent twice.
func retry(x *cell) {
	id := x.id()
	x.echo(request{path: "/die?id=" + id})
	x.is("members of GET", len(x.hits(id)), 2)
	if h := x.hits(id); len(h) == 2 && h[0] == h[1] {
		x.Errorf("the member that died was tried again: %v", h)
	}

	id = x.id()
	r, length := body(1000, true)
	s := x.echo(request{method: "PUT", path: "/die?id=" + id, body: r, length: length})
	x.is("length of PUT", s.Length, 1000)
	x.is("members of PUT", len(x.hits(id)), 2)

	id = x.id()
	r, length = body(1000, true)
	x.expect(502, request{method: "POST", path: "/die?id=" + id, body: r, length: length})
	x.is("members of POST", len(x.hits(id)), 1)
	x.logs("200 done", "200 done", "502 origin_broken")
	if x.member.fastCGI() {
		return // a body of unknown length is taken in before a script runs
	}

	id = x.id()
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write([]byte(text(70_000)))
		_ = harness.Soon(harness.Patience, func() bool { return len(x.hits(id)) > 0 })
		pw.Close()
	}()
	x.expect(502, request{method: "PUT", path: "/die?id=" + id, body: pr, length: -1})
	x.is("members of a streamed PUT", len(x.hits(id)), 1)
	x.logs("502 origin_broken")
}

// asked is the outcome of a request that runs beside the test.
type asked struct {
	a   *answer
	err error
}

// beside sends a request from a goroutine of its own.
func (x *cell) beside(q request) <-chan asked {
	c := make(chan asked, 1)
	go func() {
		a, err := x.try(q)
		c <- asked{a, err}
	}()
	return c
}

func (x *cell) held(c <-chan asked) {
	x.Helper()
	if got := <-c; got.err != nil || got.a.body != "held" {
		x.Errorf("the request that was there first: %+v", got)
	}
}

// Of two that come when the member is full and the queue has one place, one is refused at once and one when its time is up.
func queue(x *cell) {
	id := x.id()
	first := x.beside(request{path: "/hold?id=" + id})
	x.marked(id, "on")
	second, third := x.beside(request{path: "/echo"}), x.beside(request{path: "/echo"})
	for _, c := range []<-chan asked{second, third} {
		got := <-c
		if got.err != nil || got.a.StatusCode != 503 {
			x.Errorf("while the member is full: %+v, want 503", got)
		}
	}
	x.release(id)
	x.held(first)
	x.get("/echo")
	x.logs("503 queue_full", "503 queue_timeout", "200 done", "200 done")
}

// Who goes away while it waits makes room in the queue.
func queueCancel(x *cell) {
	id := x.id()
	first := x.beside(request{path: "/hold?id=" + id})
	x.marked(id, "on")
	ctx, leave := context.WithCancel(x.Context())
	defer leave()
	waiting := x.beside(request{path: "/echo", ctx: ctx})
	x.queued(1)
	leave()
	if got := <-waiting; !errors.Is(got.err, context.Canceled) {
		x.Errorf("the client that left: %+v", got)
	}
	x.queued(0)
	next := x.beside(request{path: "/echo"})
	x.queued(1)
	x.release(id)
	x.held(first)
	if got := <-next; got.err != nil || got.a.StatusCode != 200 {
		x.Errorf("who came after it: %+v", got)
	}
	x.logs("499 client_gone", "200 done", "200 done")
}

// queued waits until so many requests of the cell wait for a member.
func (x *cell) queued(n int) {
	x.Helper()
	x.site.asking.Lock() // so many at once are refused
	defer x.site.asking.Unlock()
	harness.Eventually(x, harness.Patience, fmt.Sprint(n, " requests wait"), func() bool {
		return x.site.Metric("skein_pool_queued", fmt.Sprintf("pool=%q", x.name)) == float64(n)
	})
}

// A client that goes away ends the member's work.
func cancel(x *cell) {
	id := x.id()
	ctx, leave := context.WithCancel(x.Context())
	defer leave()
	c := x.beside(request{path: "/gone?id=" + id, ctx: ctx})
	x.marked(id, "on")
	leave()
	if got := <-c; !errors.Is(got.err, context.Canceled) {
		x.Errorf("the client that left: %+v", got)
	}
	x.marked(id, "gone")
	x.get("/echo")
	x.logs("499 client_gone", "200 done")
}
