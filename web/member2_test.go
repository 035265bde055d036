package web

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// origin2 is Go's server, speaking HTTP/2 with prior knowledge; streams is how many it takes on a connection, 0 is its default.
func origin2(t testing.TB, h http.HandlerFunc, streams int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams}}
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}

func pool2(addr, more string) string {
	return fmt.Sprintf("pool \"p\" {\n servers = [%q]\n protocol = \"h2\"\n%s\n}\nhttp \"site\" {\n listen = \"127.0.0.1:0\"\n pool = pool.p\n}\n", addr, more)
}

func TestMember2(t *testing.T) {
	var conns sync.Map
	var seen atomic.Value
	addr := origin2(t, func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		seen.Store(r.Clone(r.Context()))
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		case "/hints":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
		case "/trailers":
			w.Header().Set("Trailer", "X-End")
			w.(http.Flusher).Flush() // else the server would know, and say, how long the body is
			defer w.Header().Set("X-End", "yes")
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%s %d %x", r.Method, len(b), sha256.Sum256(b))
	}, 0)
	s := serveFile(t, false, pool2(addr, ""))
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, v := range []struct {
		name, raw, method string
		status            int
		want              string
	}{
		{"get", "GET /a?b=c HTTP/1.1\nHost: h\nX-Up: 1\nConnection: X-Hop\nX-Hop: 1\nTE: trailers\n\n", "GET", 200, fmt.Sprintf("GET 0 %x", sha256.Sum256(nil))},
		{"head", "HEAD /a HTTP/1.1\nHost: h\n\n", "HEAD", 200, ""},
		{"small body", "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "POST", 200, fmt.Sprintf("POST 5 %x", sha256.Sum256([]byte("hello")))},
		{"large body", "POST / HTTP/1.1\nHost: h\nContent-Length: 1048576\n\n" + string(big), "POST", 200, fmt.Sprintf("POST 1048576 %x", sha256.Sum256(big))},
		{"chunks", "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", "POST", 200, fmt.Sprintf("POST 5 %x", sha256.Sum256([]byte("hello")))},
		{"no body", "POST / HTTP/1.1\nHost: h\nContent-Length: 0\n\n", "POST", 200, fmt.Sprintf("POST 0 %x", sha256.Sum256(nil))},
	} {
		t.Run(v.name, func(t *testing.T) {
			c, r := s.dial(here)
			a, body, err := ask(t, c, r, v.method, v.raw)
			if err != nil || a.StatusCode != v.status || body != v.want {
				t.Fatalf("answer = %v, %q, %v; want %d %q", a, body, err, v.status, v.want)
			}
			q := seen.Load().(*http.Request)
			if q.ProtoMajor != 2 || q.Host != "h" || q.Header.Get("X-Hop") != "" || q.Header.Get("X-Forwarded-For") != "127.0.0.1" {
				t.Errorf("the member got %s %q, %v", q.Proto, q.Host, q.Header)
			}
			if v.name == "get" && (q.Header.Get("X-Up") != "1" || q.Header.Get("Te") != "trailers" || q.URL.RawQuery != "b=c") {
				t.Errorf("the member got %s, %v", q.URL, q.Header)
			}
		})
	}
	t.Run("trailers", func(t *testing.T) {
		c, r := s.dial(here)
		a, body, err := ask(t, c, r, "GET", "GET /trailers HTTP/1.1\nHost: h\nTE: trailers\n\n")
		if err != nil || a.Trailer.Get("X-End") != "yes" {
			t.Fatalf("answer = %v, %q, %v, trailers %v", a, body, err, a.Trailer)
		}
	})
	t.Run("early hints", func(t *testing.T) {
		c, r := s.dial(here)
		a, _, err := ask(t, c, r, "GET", "GET /hints HTTP/1.1\nHost: h\n\n")
		if err != nil || a.StatusCode != 103 || a.Header.Get("Link") == "" {
			t.Fatalf("first answer = %v, %v", a, err)
		}
		if a, err = http.ReadResponse(r, nil); err != nil || a.StatusCode != 200 {
			t.Fatalf("second answer = %v, %v", a, err)
		}
	})
	t.Run("early answer", func(t *testing.T) {
		c, r := s.dial(here)
		a, _, err := ask(t, c, r, "POST", "POST /early HTTP/1.1\nHost: h\nContent-Length: 10000000\n\n"+string(big[:100000]))
		if err != nil || a.StatusCode != 413 {
			t.Fatalf("answer = %v, %v", a, err)
		}
	})
	s.balanced()
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections to the member, want one for all", n)
	}
	if n := s.reports.failure.Load(); n != 0 {
		t.Errorf("%d failures reported", n)
	}
}

// More requests at once than a connection takes are served on several, and all of them arrive.
func TestMember2OpensMoreConnections(t *testing.T) {
	var conns sync.Map
	var now, most atomic.Int64
	open := make(chan struct{})
	addr := origin2(t, func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		if n := now.Add(1); n == 40 {
			close(open)
		}
		for n := now.Load(); n > most.Load(); {
			most.Store(n)
		}
		<-open
		fmt.Fprint(w, "ok")
	}, 10)
	s := serveFile(t, false, pool2(addr, ""))
	var all sync.WaitGroup
	for range 40 {
		c, r := s.dial(here)
		all.Go(func() {
			if a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 200 || body != "ok" {
				t.Errorf("answer = %v, %q, %v", a, body, err)
			}
		})
	}
	all.Wait()
	s.balanced()
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != 4 {
		t.Errorf("%d connections to the member, want 4", n)
	}
}

// A client that leaves cancels its stream, and nothing else.
func TestMember2Cancel(t *testing.T) {
	arrived, gone := make(chan struct{}, 1), make(chan struct{})
	var conns sync.Map
	addr := origin2(t, func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			arrived <- struct{}{}
			<-r.Context().Done()
			close(gone)
			return
		}
		fmt.Fprint(w, "ok")
	}, 0)
	s := serveFile(t, false, pool2(addr, ""))
	c, r := s.dial(here)
	fmt.Fprint(c, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-arrived
	if _, err := http.ReadResponse(r, nil); err != nil { // the head comes although the member waits
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
	<-gone
	c, r = s.dial(here)
	if a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 200 || body != "ok" {
		t.Fatalf("answer = %v, %q, %v", a, body, err)
	}
	s.balanced()
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != 1 || s.reports.failure.Load() != 0 {
		t.Errorf("%d connections, %d failures; want 1 and 0", n, s.reports.failure.Load())
	}
}

func TestMember2Timeouts(t *testing.T) {
	block := make(chan struct{})
	addr := origin2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
		}
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}, 0)
	defer close(block)
	s := serveFile(t, false, pool2(addr, " timeouts {\n first_byte = \"150ms\"\n idle = \"150ms\"\n }\n"))
	c, r := s.dial(here)
	if a, _, err := ask(t, c, r, "POST", "POST / HTTP/1.1\nHost: h\nContent-Length: 1\n\nx"); err != nil || a.StatusCode != 504 {
		t.Errorf("answer = %v, %v; want 504", a, err)
	}
	c, r = s.dial(here)
	if a, body, err := ask(t, c, r, "GET", "GET /half HTTP/1.1\nHost: h\n\n"); err == nil || body != "half" {
		t.Errorf("answer = %v, %q, %v; want half of it", a, body, err)
	}
	s.balanced()
}

// A slow client slows down its own answer only, and bounds what is held for it.
func TestMember2FlowControl(t *testing.T) {
	const size = 16 << 20
	var written atomic.Int64
	addr := origin2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/small" {
			fmt.Fprint(w, "ok")
			return
		}
		b := make([]byte, 16<<10)
		for range size / len(b) {
			n, err := w.Write(b)
			if err != nil {
				return
			}
			written.Add(int64(n))
		}
	}, 0)
	s := serveFile(t, false, pool2(addr, ""))
	var slow []net.Conn
	for range 5 {
		c, _ := s.dial(here)
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		slow = append(slow, c)
	}
	for last := int64(-1); written.Load() != last || last == 0; { // until all of them stand still
		last = written.Load()
		time.Sleep(100 * time.Millisecond)
	}
	if written.Load() == 5*size {
		t.Fatal("nobody was slow: the test shows nothing")
	}
	for range 20 {
		c, r := s.dial(here)
		if a, body, err := ask(t, c, r, "GET", "GET /small HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 200 || body != "ok" {
			t.Fatalf("answer = %v, %q, %v", a, body, err)
		}
	}
	var all sync.WaitGroup
	for _, c := range slow {
		all.Go(func() {
			a, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if n, err := io.Copy(io.Discard, a.Body); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	all.Wait()
	s.balanced()
}

func TestMember2SettingsNeverCome(t *testing.T) {
	addr := origin(t, func(c net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	s := serveFile(t, false, pool2(addr, " timeouts {\n connect = \"150ms\"\n }\n"))
	c, r := s.dial(here)
	if a, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 504 {
		t.Errorf("answer = %v, %v; want 504", a, err)
	}
	s.balanced()
}

func TestMember2IsHTTP1(t *testing.T) {
	s := serveFile(t, false, pool2(origin(t, always(hello)), ""))
	c, r := s.dial(here)
	if a, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 502 {
		t.Errorf("answer = %v, %v; want 502", a, err)
	}
	s.stop()
	<-s.ended
	if !strings.Contains(s.log.String(), "member was not spoken to") {
		t.Errorf("the log does not say why: %s", s.log.String())
	}
}

func TestMember2RequestTrailers(t *testing.T) {
	addr := origin(t, func(c net.Conn, r *bufio.Reader) {
		_, _ = r.Discard(len(http2.ClientPreface))
		fr := http2.NewFramer(c, r)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = fr.WriteSettings()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamEnded() {
				got := ""
				for _, f := range h.Fields {
					got += f.Name + "=" + f.Value + ";"
				}
				answer2(fr, h.StreamID, got, ":status", "200")
			}
		}
	})
	s := serveFile(t, false, pool2(addr, ""))
	c, r := s.dial(here)
	a, body, err := ask(t, c, r, "POST", "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Last: bye\nHost: evil\n\n")
	if err != nil || a.StatusCode != 200 || body != "x-last=bye;" {
		t.Errorf("answer = %v, %q, %v", a, body, err)
	}
}

// A member that a reload takes away loses its connections, and what runs on them may end.
func TestMember2IsTakenAway(t *testing.T) {
	open := make(chan struct{})
	addr := origin2(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-open
		fmt.Fprint(w, "ok")
	}, 0)
	other := origin2(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "other") }, 0)
	s := serveFile(t, false, pool2(addr, ""))
	c, r := s.dial(here)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.reload(pool2(other, "")); err != nil {
		t.Fatal(err)
	}
	c2, r2 := s.dial(here)
	if a, body, err := ask(t, c2, r2, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || body != "other" {
		t.Errorf("answer = %v, %q, %v", a, body, err)
	}
	close(open)
	if body, err := io.ReadAll(a.Body); err != nil || string(body) != "ok" {
		t.Errorf("the running answer = %q, %v", body, err)
	}
	c.Close()
	c2.Close()
	for range 1000 {
		if s.timer.Len() == 1 { // the other member's
			break
		}
		pause()
	}
	if n := s.timer.Len(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}
