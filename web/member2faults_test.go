package web

import (
	"bufio"
	"bytes"
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

// script2 is a member that does with HTTP/2 what a test says: f is called for each head that arrives.
func script2(t testing.TB, settings []http2.Setting, f func(conn int, fr *http2.Framer, id uint32, c net.Conn)) string {
	t.Helper()
	var conns atomic.Int64
	return origin(t, func(c net.Conn, r *bufio.Reader) {
		n := int(conns.Add(1))
		if _, err := r.Discard(len(http2.ClientPreface)); err != nil {
			return
		}
		fr := http2.NewFramer(c, r)
		if err := fr.WriteSettings(settings...); err != nil {
			return
		}
		for {
			h, err := fr.ReadFrame()
			if err != nil {
				return
			}
			switch h := h.(type) {
			case *http2.HeadersFrame:
				f(n, fr, h.StreamID, c)
			case *http2.SettingsFrame:
				if !h.IsAck() {
					_ = fr.WriteSettingsAck()
				}
			}
		}
	})
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func answer2(fr *http2.Framer, id uint32, body string, fields ...string) {
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(fields...), EndHeaders: true, EndStream: body == ""})
	if body != "" {
		_ = fr.WriteData(id, true, []byte(body))
	}
}

func TestMember2Faults(t *testing.T) {
	const get, post = "GET / HTTP/1.1\nHost: h\n\n", "POST / HTTP/1.1\nHost: h\nContent-Length: 1\n\nx"
	for _, v := range []struct {
		name   string
		raw    string
		script func(conn int, fr *http2.Framer, id uint32, c net.Conn)
		status int // 0 if the answer breaks off
		body   string
		failed int64 // reports
	}{
		{"GOAWAY, not seen", post, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			if n == 1 {
				_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
				return
			}
			answer2(fr, id, "ok", ":status", "200")
		}, 200, "ok", 0},
		{"GOAWAY, served all the same", post, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			_ = fr.WriteGoAway(id, http2.ErrCodeNo, nil)
			answer2(fr, id, fmt.Sprint("on ", n), ":status", "200")
		}, 200, "on 1", 0},
		{"refused", post, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			if id == 1 && n == 1 {
				_ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
				return
			}
			answer2(fr, id, "ok", ":status", "200")
		}, 200, "ok", 0},
		{"reset, not idempotent", post, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			if id == 1 && n == 1 {
				_ = fr.WriteRSTStream(id, http2.ErrCodeInternal)
				return
			}
			answer2(fr, id, "twice", ":status", "200")
		}, 502, "Bad Gateway\n", 1},
		{"the end instead of an answer", post, func(n int, fr *http2.Framer, id uint32, c net.Conn) { c.Close() }, 502, "Bad Gateway\n", 1},
		{"reset in the middle", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", "200"), EndHeaders: true})
			_ = fr.WriteData(id, false, []byte("half"))
			_ = fr.WriteRSTStream(id, http2.ErrCodeInternal)
		}, 0, "half", 1},
		{"less than promised", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "half", ":status", "200", "content-length", "8")
		}, 0, "half", 1},
		{"more than promised", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "0123456789", ":status", "200", "content-length", "8")
		}, 0, "", 1},
		{"refused for ever", post, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			_ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		}, 502, "Bad Gateway\n", 1},
		{"a body before the head", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			_ = fr.WriteData(id, true, []byte("x"))
		}, 502, "Bad Gateway\n", 1},
		{"no status", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) { answer2(fr, id, "x", "a", "b") }, 502, "Bad Gateway\n", 1},
		{"upper case", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "x", ":status", "200", "Abc", "b")
		}, 502, "Bad Gateway\n", 1},
		{"a line break in a value", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "x", ":status", "200", "a", "b\r\nSet-Cookie: c")
		}, 502, "Bad Gateway\n", 1},
		{"switching protocols", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) { answer2(fr, id, "x", ":status", "101") }, 502, "Bad Gateway\n", 1},
		{"two lengths", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "x", ":status", "200", "content-length", "1", "content-length", "2")
		}, 502, "Bad Gateway\n", 1},
		{"a push", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			_ = fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: block(":method", "GET"), EndHeaders: true})
		}, 502, "Bad Gateway\n", 1},
		{"a huge head", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", "200")})
			for range 20 {
				_ = fr.WriteContinuation(id, false, block("a", strings.Repeat("x", 8000)))
			}
		}, 502, "Bad Gateway\n", 1},
		{"trailers only", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "", ":status", "200", "grpc-status", "12")
		}, 200, "", 0},
		{"connection fields", get, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
			answer2(fr, id, "ok", ":status", "200", "connection", "close", "transfer-encoding", "chunked", "keep-alive", "x")
		}, 200, "ok", 0},
	} {
		t.Run(v.name, func(t *testing.T) {
			s := serveFile(t, false, pool2(script2(t, nil, v.script), " retry {\n tries = 1\n }\n"))
			c, r := s.dial(here)
			if _, err := io.WriteString(c, strings.ReplaceAll(v.raw, "\n", "\r\n")); err != nil {
				t.Fatal(err)
			}
			a, err := http.ReadResponse(r, &http.Request{Method: strings.Fields(v.raw)[0]})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			status := a.StatusCode
			if err != nil {
				status = 0
			}
			if status != v.status || string(body) != v.body {
				t.Errorf("answer = %d %q (%v), want %d %q", status, body, err, v.status, v.body)
			}
			s.balanced()
			if got := s.reports.failure.Load(); got != v.failed {
				t.Errorf("%d failures reported, want %d", got, v.failed)
			}
		})
	}
}

// A GOAWAY between two requests, or in the moment of the second one, costs nobody anything: not even what may not be repeated.
func TestMember2GoAwayIsSafe(t *testing.T) {
	var served sync.Map
	addr := script2(t, nil, func(n int, fr *http2.Framer, id uint32, c net.Conn) {
		if id > 1 { // each connection serves one
			_ = fr.WriteGoAway(1, http2.ErrCodeNo, nil)
			return
		}
		served.Store(n, true)
		answer2(fr, id, fmt.Sprint(n), ":status", "200")
	})
	s := serveFile(t, false, pool2(addr, " retry {\n tries = 1\n }\n"))
	for i := 1; i < 20; i++ {
		c, r := s.dial(here)
		a, body, err := ask(t, c, r, "POST", "POST / HTTP/1.1\nHost: h\nContent-Length: 1\n\nx")
		if err != nil || a.StatusCode != 200 || body != fmt.Sprint(i) {
			t.Fatalf("answer %d = %v %q %v", i, a, body, err)
		}
	}
	if n := s.reports.failure.Load(); n != 0 {
		t.Errorf("%d failures reported", n)
	}
}

// A body that came behind its head is sent again as well, if it is small and nobody has worked on it.
func TestMember2RefusedBody(t *testing.T) {
	for _, v := range []struct {
		size, status int
	}{{100, 200}, {keepMost, 200}, {keepMost + 1, 502}} {
		t.Run(fmt.Sprint(v.size), func(t *testing.T) {
			addr := origin(t, func(c net.Conn, r *bufio.Reader) {
				_, _ = r.Discard(len(http2.ClientPreface))
				fr := http2.NewFramer(c, r)
				_ = fr.WriteSettings()
				got := 0
				for {
					f, err := fr.ReadFrame()
					if err != nil {
						return
					}
					d, ok := f.(*http2.DataFrame)
					if !ok {
						continue
					}
					got += len(d.Data())
					if d.StreamID == 1 && got == v.size { // the first time
						_ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)
						got = 0
					} else if d.StreamEnded() {
						answer2(fr, d.StreamID, fmt.Sprint(got), ":status", "200")
					}
				}
			})
			s := serveFile(t, false, pool2(addr, ""))
			c, r := s.dial(here)
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", v.size)
			time.Sleep(20 * time.Millisecond) // the head comes alone
			a, body, err := ask(t, c, r, "POST", strings.Repeat("x", v.size))
			if err != nil || a.StatusCode != v.status || v.status == 200 && body != fmt.Sprint(v.size) {
				t.Errorf("answer = %v, %q, %v; want %d", a, body, err, v.status)
			}
			s.balanced()
		})
	}
}

// A member that asks for more and more answers and reads none is cut off.
func TestMember2PingFlood(t *testing.T) {
	ended := make(chan int, 1)
	addr := origin(t, func(c net.Conn, r *bufio.Reader) {
		_, _ = r.Discard(len(http2.ClientPreface))
		fr := http2.NewFramer(c, r)
		_ = fr.WriteSettings()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if _, ok := f.(*http2.HeadersFrame); ok {
				break
			}
		}
		n := 0
		for ; n < 10_000_000; n++ {
			if fr.WritePing(false, [8]byte{}) != nil {
				break
			}
		}
		ended <- n
	})
	s := serveFile(t, false, pool2(addr, ""))
	c, r := s.dial(here)
	if a, _, err := ask(t, c, r, "POST", "POST / HTTP/1.1\nHost: h\nContent-Length: 1\n\nx"); err != nil || a.StatusCode != 502 {
		t.Errorf("answer = %v, %v; want 502", a, err)
	}
	if n := <-ended; n == 10_000_000 {
		t.Error("the member was never cut off")
	}
	s.balanced()
}

// A member that refuses a stream in a bad moment is given as many as it takes again when it answers: a connection to it does not
// stay one for a single request at a time.
func TestMember2RefusesOnce(t *testing.T) {
	const before, together = 10, 5
	type pending struct {
		fr *http2.Framer
		id uint32
	}
	var mu sync.Mutex
	var waiting []pending
	conns, streams := map[int]bool{}, 0
	addr := script2(t, nil, func(conn int, fr *http2.Framer, id uint32, _ net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns[conn] = true
		switch streams++; {
		case streams == 1:
			_ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		case streams <= 1+before:
			answer2(fr, id, "ok", ":status", "200")
		default:
			waiting = append(waiting, pending{fr, id})
			if len(waiting) == together {
				for _, p := range waiting {
					answer2(p.fr, p.id, "ok", ":status", "200")
				}
			}
		}
	})
	s := serveFile(t, false, pool2(addr, ""))
	get := func() {
		c, r := s.dial(here)
		if a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 200 || body != "ok" {
			t.Errorf("answer = %v, %q, %v", a, body, err)
		}
	}
	for range before {
		get()
	}
	var all sync.WaitGroup
	for range together {
		all.Go(get)
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(conns) != 1 {
		t.Errorf("%d connections to the member, want 1", len(conns))
	}
}
