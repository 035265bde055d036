package matrix

import (
	"io"
	"strings"
	"time"
)

// limits are told to clients of every version by the same status. Go's clients of HTTP/2 do not send what is too large, so
// that one is asked by frames.
func limits(x *cell) {
	many := map[string]string{}
	for i := range 30 {
		many["X-F"+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = "1"
	}
	for _, v := range []struct {
		name   string
		path   string
		fields map[string]string
		status int
	}{
		{"nothing", "/echo", nil, 200},
		{"target", "/echo/" + strings.Repeat("x", 2000), nil, 414},
		{"head", "/echo", map[string]string{"X-Long": strings.Repeat("x", 5000)}, 431},
		{"fields", "/echo", many, 431},
		{"target that fits", "/echo/" + strings.Repeat("x", 900), nil, 200},
	} {
		status := 0
		if x.client.major == 2 {
			c := dial2(x)
			status = c.status(c.request("GET", v.path, v.fields, true))
		} else if a, err := x.try(request{path: v.path, header: v.fields}); err != nil {
			x.Errorf("%s: %v", v.name, err)
		} else {
			status = a.StatusCode
		}
		x.is("status for "+v.name, status, v.status)
	}
}

func maxBody(x *cell) {
	for _, known := range []bool{true, false} {
		id := x.id()
		r, length := body(200_000, known)
		a, err := x.try(request{method: "POST", path: "/echo?id=" + id, body: r, length: length})
		switch {
		case err != nil:
			x.Errorf("body that is too large, length known %v: %v", known, err)
		case a.StatusCode != 413:
			x.Errorf("body that is too large, length known %v: %d", known, a.StatusCode)
		}
		if x.isMarked(id, "whole") {
			x.Error("the member took a body for whole that was not")
		}
		if known {
			x.is("members asked", len(x.hits(id)), 0)
		}
		for _, k := range []bool{true, false} { // what fits goes through, and the connection goes on
			r, length := body(1000, k)
			x.is("length", x.echo(request{method: "POST", path: "/echo", body: r, length: length}).Length, 1000)
		}
	}
	if n := x.dials.Load(); x.client.major > 1 && n != 1 {
		x.Errorf("%d connections: a stream's fault has cost more than the stream", n)
	}
	x.logs("413 too_large", "200 done", "200 done", "413 too_large", "200 done", "200 done")
}

func errorPages(x *cell) {
	a := x.expect(502, request{path: "/echo"})
	x.is("page", a.body, "<p>502</p>")
	x.is("type", a.Header.Get("Content-Type"), "text/html; charset=utf-8")
	a = x.expect(502, request{method: "HEAD", path: "/echo"})
	x.is("page", a.body, "")
	x.is("length", a.ContentLength, len("<p>502</p>"))
	r, length := body(2000, true)
	a = x.expect(413, request{method: "POST", path: "/echo", body: r, length: length})
	x.is("page", a.body, "<p>4xx</p>")
	x.logs("502 connect_failed", "502 connect_failed", "413 too_large")
}

func timeoutFirstByte(x *cell) {
	id := x.id()
	defer x.release(id)
	x.expect(504, request{path: "/hold?id=" + id})
	r, length := body(1000, true)
	x.expect(504, request{method: "POST", path: "/hold?id=" + id, body: r, length: length})
	x.get("/echo")
	x.is("connections", x.dials.Load(), 1)
	x.logs("504 origin_timeout", "504 origin_timeout", "200 done")
}

func timeoutIdle(x *cell) {
	id := x.id()
	defer x.release(id)
	x.broken(request{path: "/stall?id=" + id}, 3)
	x.get("/echo")
	x.logs("200 origin_timeout", "200 done")
}

// broken expects an answer that everybody can see is not whole. A reset may overtake what was sent before it, even the head
// (RFC 9114 section 4.1.1).
func (x *cell) broken(q request, atMost int) {
	x.Helper()
	a, err := x.try(q)
	switch {
	case err != nil && x.client.major == 3:
	case err != nil:
		x.Errorf("%s: %v", q.path, err)
	case a.err == nil:
		x.Errorf("%s: %d bytes were taken for the whole answer", q.path, len(a.body))
	case a.StatusCode != 200 || len(a.body) > atMost:
		x.Errorf("%s: %d with %d bytes", q.path, a.StatusCode, len(a.body))
	}
}

// A client that stops in the middle of its body is told so, whatever the version, and the member does not take the body for
// whole.
func timeoutBody(x *cell) {
	id := x.id()
	r, w := io.Pipe()
	defer w.Close()
	go w.Write([]byte(text(100)))
	x.expect(408, request{method: "POST", path: "/echo?id=" + id, body: r, length: 1000})
	if x.isMarked(id, "whole") {
		x.Error("the member took a body for whole that was not")
	}
	x.get("/echo")
	x.logs("408 client_timeout", "200 done")
}

// The time for a head is not one for what follows it: neither a long answer nor what comes later on the connection is cut.
func timeoutHeader(x *cell) {
	id := x.id()
	time.AfterFunc(2*time.Second, func() { x.site.write(id+".go", "") })
	x.is("body", x.get("/hold?id="+id).body, "held")
	x.get("/echo")
	x.is("connections", x.dials.Load(), 1)
	x.logs("200 done", "200 done")
}

func timeoutCeiling(x *cell) {
	id := x.id()
	defer x.release(id)
	x.expect(504, request{path: "/hold?id=" + id})
	x.broken(request{path: "/stall?id=" + id}, 3)
	x.get("/echo")
	x.logs("504 ceiling", "200 ceiling", "200 done")
}
