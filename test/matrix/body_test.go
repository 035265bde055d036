package matrix

import (
	"bytes"
	"io"
	"net/http"
	"slices"
)

func bodies(x *cell) {
	for _, n := range []int{0, 1, 5000, 70_000, 1 << 20} {
		for _, known := range []bool{true, false} {
			r, length := body(n, known)
			s := x.echo(request{method: "POST", path: "/echo", body: r, length: length})
			x.is("length", s.Length, n)
			x.is("sum", s.Sum, sum(n))
		}
		a := x.get("/text?n=" + itoa(n))
		x.is("length", a.ContentLength, n)
		if a.body != text(n) {
			x.Errorf("%d bytes came as %d", n, len(a.body))
		}
		id := x.id()
		x.release(id)
		if a := x.get("/stream?id=" + id + "&n=" + itoa(n)); a.body != text(n)+text(n) {
			x.Errorf("twice %d bytes came as %d", n, len(a.body))
		}
	}
	x.is("connections", x.dials.Load(), 1)
	x.logs(times(20, "200 done")...)
}

// The member has the beginning of a body before the client has sent its end.
func streamingUp(x *cell) {
	id := x.id()
	r, w := io.Pipe()
	c := x.beside(request{method: "POST", path: "/first?id=" + id, body: r, length: -1})
	_, _ = w.Write([]byte(text(1000)))
	x.marked(id, "on")
	_, _ = w.Write([]byte(text(1000)))
	w.Close()
	if got := <-c; got.err != nil || got.a.body != "2000 <nil>" {
		x.Errorf("the member had %+v", got)
	}
	x.logs("200 done")
}

// The client has the beginning of an answer before the member has sent its end.
func streamingDown(x *cell) {
	id := x.id()
	resp := x.start(request{path: "/stream?n=1000&id=" + id})
	b := make([]byte, 1000)
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != text(1000) {
		x.Fatalf("the first half is %q, %v", b, err)
	}
	x.is("length", resp.ContentLength, -1)
	x.release(id)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != text(1000) {
		x.Errorf("the second half is %q, %v", b, err)
	}
	x.got.Add(2000)
	x.logs("200 done")
}

// A client that waits for 100 Continue gets one when the member wants the body, and none when it does not.
func expect(x *cell) {
	continues := map[string]string{"Expect": "100-continue"}
	for _, known := range []bool{true, false} {
		r, length := body(100_000, known)
		g := newGate(r)
		a := x.expect(200, request{method: "POST", path: "/echo", header: continues, body: g, length: length})
		// A member that is silent for a second is not waited for, and may say it too, a little later.
		x.is("interim answers", slices.Compact(a.interims), []string{"100"})
		if !bytes.Contains([]byte(a.body), []byte(sum(100_000))) {
			x.Errorf("the member had %s", a.body)
		}
	}
	x.logs("200 done", "200 done")
	if x.member.fastCGI() {
		return // a script cannot say that it wants no body
	}
	g := newGate(bytes.NewReader([]byte(text(100_000))))
	x.Cleanup(g.open) // a client of HTTP/3 waits for its body even if it need not
	a := x.expect(403, request{method: "POST", path: "/refuse", header: continues, body: g, length: 100_000})
	x.is("interim answers", len(a.interims), 0)
	x.is("the body was asked for", g.read.Load(), false)
	x.get("/echo")
	x.logs("403 done", "200 done")
}

func earlyHints(x *cell) {
	a := x.get("/hints")
	x.is("interim answers", a.interims, []string{"103 </a.css>; rel=preload"})
	x.is("body", a.body, "after hints")
	x.logs("200 done")
}

func trailers(x *cell) {
	a := x.expect(200, request{path: "/trailers", header: map[string]string{"TE": "trailers"}})
	x.is("body", a.body, "body")
	x.is("trailer", a.Trailer.Get("X-Sum"), "42")

	trailer := http.Header{"X-Sum": nil}
	r := &atEnd{bytes.NewReader([]byte(text(5000))), func() { trailer.Set("X-Sum", "99") }}
	s := x.echo(request{method: "POST", path: "/echo", body: r, length: -1, trailer: trailer})
	x.is("length", s.Length, 5000)
	x.is("trailer", s.Trailer, "99")
	x.logs("200 done", "200 done")
}

// atEnd calls f when the body has been read.
type atEnd struct {
	io.Reader
	f func()
}

// Read implements [io.Reader].
func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err == io.EOF {
		a.f()
	}
	return n, err
}

func noContent(x *cell) {
	for _, v := range []struct {
		method string
		status int
		body   string
		length int64
	}{{"GET", 200, "content", 7}, {"HEAD", 200, "", 7}, {"GET", 204, "", 0}, {"HEAD", 204, "", 0}, {"GET", 304, "", 7}, {"HEAD", 304, "", 7}, {"GET", 404, "content", 7}, {"HEAD", 404, "", 7}} {
		a := x.do(request{method: v.method, path: "/status?n=" + itoa(v.status)})
		// Go's client of HTTP/2 waits in vain for the content of a 304 that says how long it would be (RFC 9113 section 8.1.1 allows
		// that).
		if a.err != nil && (v.status != 304 || x.client.major != 2) {
			x.Errorf("%s %d: %v", v.method, v.status, a.err)
		}
		x.is("status", a.StatusCode, v.status)
		x.is("body", a.body, v.body)
		x.is("ETag", a.Header.Get("ETag"), `"tag"`)
		if v.status == 304 { // Go's servers of HTTP/2 leave the length out (RFC 9110 section 8.6 allows it)
			if l := a.Header.Get("Content-Length"); l != "" && l != "7" {
				x.Errorf("%s %d with Content-Length %q", v.method, v.status, l)
			}
			continue
		}
		if v.status != 204 {
			x.is("Content-Length", a.Header.Get("Content-Length"), "7")
		} else {
			x.is("Content-Length", a.Header.Values("Content-Length"), []string{})
		}
	}
	x.is("connections", x.dials.Load(), 1)
}

// An answer that comes before the body has ended is received, and the client can go on.
func earlyAnswer(x *cell) {
	for range 2 {
		r, w := io.Pipe()
		go func() { _, _ = w.Write([]byte(text(300_000))) }()
		a := x.do(request{method: "POST", path: "/refuse", body: r, length: -1})
		if a.StatusCode != 403 || a.body != "no" {
			x.Errorf("early answer = %d %q, %v", a.StatusCode, a.body, a.err)
		}
		w.Close()
		r.Close()
	}
	x.get("/echo")
	if n := x.dials.Load(); x.client.major > 1 && n != 1 {
		x.Errorf("%d connections: an early answer has cost more than its stream", n)
	}
	x.logs("403 done", "403 done", "200 done")
}

// What a member has broken off is never taken for whole.
func cut(x *cell) {
	for _, query := range []string{"?length", ""} {
		x.broken(request{path: "/cut" + query}, 20_000)
	}
	x.get("/echo")
	// quic-go's client opens another connection when the reset of a stream has overtaken the head of its answer.
	if n := x.dials.Load(); x.client.major == 2 && n != 1 {
		x.Errorf("%d connections: a cut answer has cost more than its stream", n)
	}
	x.logs("200 origin_cut", "200 origin_cut", "200 done")
}
