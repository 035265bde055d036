package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echo answers each request with its method, framing, trailers and body.
func echo(c net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		body := fmt.Sprintf("%s %s %v %v %q", req.Method, req.URL.Path, req.TransferEncoding, req.Trailer, b)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
}

// A chunked body may be cut anywhere, and what follows it is the next request.
func TestChunksCutAnywhere(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, echo), ""))
		raw := strings.ReplaceAll("POST /a HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n5;x=y\nhello\n6\n world\n0\nX-T: 1\n\n"+
			"PUT /b HTTP/1.1\nHost: h\nContent-Length: 3\n\nabcGET /c HTTP/1.1\nHost: h\n\n", "\n", "\r\n")
		want := []string{`POST /a [chunked] map[] "hello world"`, `PUT /b [] map[] "abc"`, `GET /c [] map[] ""`}
		c, r := s.dial(here)
		for cut := 1; cut < len(raw); cut++ {
			for _, part := range []string{raw[:cut], raw[cut:]} {
				if _, err := io.WriteString(c, part); err != nil {
					t.Fatal(err)
				}
			}
			for _, w := range want {
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				b, err := io.ReadAll(a.Body)
				got := strings.Replace(string(b), "map[X-T:[1]]", "map[]", 1)
				if err != nil || got != w {
					t.Fatalf("cut at %d: answer %q, %v, want %q", cut, b, err, w)
				}
			}
		}
		s.balanced()
	})
}

func TestLargeBodies(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				n, err := io.Copy(io.Discard, req.Body)
				if err != nil {
					return
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("x", int(n)))
			}
		}), ""))
		c, r := s.dial(here)
		for _, n := range []int{1, bufferSize - 1, bufferSize, bodySize, bodySize + 1, 1 << 20} {
			for _, chunked := range []bool{false, true} {
				body := strings.Repeat("b", n)
				go func() {
					if chunked {
						fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, body)
					} else {
						fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, body)
					}
				}()
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("%d bytes, chunked %v: %v", n, chunked, err)
				}
				if got, err := io.Copy(io.Discard, a.Body); int(got) != n || err != nil || a.Close {
					t.Fatalf("%d bytes, chunked %v: %d came back, %v, close %v", n, chunked, got, err, a.Close)
				}
			}
		}
		s.balanced()
	})
}

func TestLocalAnswers(t *testing.T) {
	addr := origin(t, func(c net.Conn, r *bufio.Reader) {
		if b, _ := r.Peek(4); string(b) == "POST" { // an answer that comes before the body would be the member's
			_, _ = io.Copy(io.Discard, r)
			return
		}
		always(hello)(c, r)
	})
	s := serveFile(t, false, site1(addr, `
  hosts = ["h", "*.h"]
  max_body = 10
  response_headers {
    set = { X-Site = "s" }
  }
  route "/r" {
    redirect = "https://{host}/new{path}?{query}"
  }
  route "/s" {
    redirect = "{scheme}://x{uri}"
    status = 302
  }
  route "/get" {
    exact = true
    methods = ["GET", "HEAD"]
    pool = pool.other
  }`)+"pool \"other\" {\n servers = [\"127.0.0.1:1\"]\n}\n")
	for name, c := range map[string]struct {
		raw    string
		method string
		status int
		fields map[string]string
		body   string
		close  bool
	}{
		"redirect":          {raw: "GET /r/a%2Fb?q=1 HTTP/1.1\nHost: h:81\n\n", status: 308, fields: map[string]string{"Location": "https://h/new/r/a%2Fb?q=1", "X-Site": "s"}},
		"redirect, uri":     {raw: "GET /s?{path} HTTP/1.1\nHost: h\n\n", status: 302, fields: map[string]string{"Location": "http://x/s?{path}"}},
		"no member":         {raw: "GET /get HTTP/1.1\nHost: h\n\n", status: 502, body: "Bad Gateway\n"},
		"no member, HEAD":   {raw: "HEAD /get HTTP/1.1\nHost: h\n\n", method: "HEAD", status: 502, fields: map[string]string{"Content-Length": "12"}},
		"misdirected":       {raw: "GET / HTTP/1.1\nHost: other\n\n", status: 421, body: "Misdirected Request: no site of this name is served here\n"},
		"too large":         {raw: "POST / HTTP/1.1\nHost: h\nContent-Length: 11\n\n", status: 413, body: "Request Entity Too Large: the body is larger than this site takes\n", close: true},
		"outside the root":  {raw: "GET /.. HTTP/1.1\nHost: h\n\n", status: 400, body: "Bad Request: the path leaves the root\n"},
		"CONNECT":           {raw: "CONNECT h:443 HTTP/1.1\nHost: h:443\n\n", method: "CONNECT", status: 405, close: true},
		"not HTTP":          {raw: "GET / HTTP/1.1\nHost : h\n\n", status: 400, body: "Bad Request: white space in a field name or before its colon\n", close: true},
		"HTTP/1.0":          {raw: "GET /.. HTTP/1.0\nHost: h\n\n", status: 400, body: "Bad Request: the path leaves the root\n", close: true},
		"chunked too large": {raw: "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\nb\n12345678901\n0\n\n", status: 413, body: "Request Entity Too Large\n", close: true},
	} {
		conn, r := s.dial(here)
		a, body, err := ask(t, conn, r, c.method, c.raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a.StatusCode != c.status || body != c.body && c.method != "CONNECT" || a.Close != c.close {
			t.Errorf("%s: %d, %q, close %v, want %d, %q, close %v", name, a.StatusCode, body, a.Close, c.status, c.body, c.close)
		}
		for k, v := range c.fields {
			if got := a.Header.Get(k); got != v {
				t.Errorf("%s: %s = %q, want %q", name, k, got, v)
			}
		}
		conn.Close()
	}
	s.balanced()
}

func TestMethodsOfAPath(t *testing.T) {
	s := serveFile(t, false, `
pool "p" {
  servers = ["127.0.0.1:1"]
}
http "site" {
  listen = "127.0.0.1:0"
  route "/a" {
    methods = ["PUT", "GET"]
    pool = pool.p
  }
}`)
	c, r := s.dial(here)
	a, _, err := ask(t, c, r, "POST", "POST /a HTTP/1.1\nHost: h\n\n")
	if err != nil || a.StatusCode != 405 || a.Header.Get("Allow") != "GET, PUT" {
		t.Errorf("POST /a = %v, %v", a, err)
	}
	if a, _, err := ask(t, c, r, "GET", "GET /b HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 404 {
		t.Errorf("GET /b = %v, %v", a, err)
	}
}

// An answer whose end is the end of the connection is reset when it is cut: HTTP/1.0 has no other way to say so.
func TestCutAnswerIsSeen(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
			if _, _, err := head(r); err == nil {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			}
		}), ""))
		for _, version := range []string{"1.0", "1.1"} {
			c, r := s.dial(here)
			if _, _, err := ask(t, c, r, "GET", "GET / HTTP/"+version+"\nHost: h\n\n"); err == nil {
				t.Errorf("HTTP/%s: a cut answer looks whole", version)
			}
		}
	})
}

func TestPace(t *testing.T) {
	p := newPace(10*time.Second, 100)
	for i, c := range []struct {
		n    int
		took time.Duration
		want bool
	}{
		{0, 9 * time.Second, true},    // within the grace
		{1000, time.Second, true},     // exactly 100 a second
		{0, time.Millisecond, false},  // now below
		{10_000, time.Second, true},   // and above again
		{0, 100 * time.Second, false}, // a long wait
		{1 << 20, 0, true},            // bytes that were there already
		{0, -1 * time.Nanosecond, true},
	} {
		if got := p.moved(c.n, c.took); got != c.want {
			t.Errorf("step %d: moved(%d, %v) = %v", i, c.n, c.took, got)
		}
	}
	off := newPace(0, 0)
	if !off.moved(0, time.Hour) {
		t.Error("a rate of 0 is too fast for somebody")
	}
}

func TestIdleList(t *testing.T) {
	var i idle
	us := make([]*upstream, 4)
	for n := range us {
		us[n] = &upstream{rested: time.Duration(n) * time.Second}
	}
	if i.take() != nil {
		t.Error("taken from an empty list")
	}
	for n, u := range us {
		if got := i.put(u, 3); got != (n < 3) {
			t.Errorf("put %d = %v with a limit of 3", n, got)
		}
	}
	if u := i.take(); u != us[2] {
		t.Error("not the last one first")
	}
	i.put(us[2], 3)
	if old := i.expire(time.Second, false); len(old) != 1 || old[0] != us[0] {
		t.Errorf("expired %v, want the first", old)
	}
	if u := i.take(); u != us[2] {
		t.Error("expire disturbed the order")
	}
	if old := i.expire(0, true); len(old) != 1 || old[0] != us[1] {
		t.Errorf("a member that is gone leaves %v", old)
	}
	if i.put(us[3], 3) || i.take() != nil {
		t.Error("something rests with a member that is gone")
	}
}
