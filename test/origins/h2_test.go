package origins

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"skein/test/harness"
)

const h2 = "protocol = \"h2\"\n"

func TestHTTP2OfNginx(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		a := newAuthority(t)
		const tell = "    location / { return 200 \"$server_protocol $http_x_forwarded_for $host\"; }\n    location /big { }\n"
		plain, secure := harness.FreeAddr(t), harness.FreeAddr(t)
		nginx := harness.Nginx(t, fmt.Sprintf("    listen %s http2;\n    listen %s ssl http2;\n", plain, secure)+sslOf(a.good(secure))+tell)
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		if err := os.WriteFile(filepath.Join(nginx.Dir, "big"), big, 0o600); err != nil {
			t.Fatal(err)
		}
		for addr, more := range map[string]string{plain: h2, secure: h2 + fmt.Sprintf("tls {\nca = %q\n}\ncheck {\nhttps = \"/\"\nevery = \"100ms\"\n}\n", a.file)} {
			s := newSite(t, addr, more, opts...)
			c := harness.Raw(t, s.addr)
			for range 3 {
				if got := c.Get("/"); got.Status != 200 || got.Body != "HTTP/2.0 127.0.0.1 h" {
					t.Errorf("answer = %d %q", got.Status, got.Body)
				}
			}
			c.Send("HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n")
			if got := c.Answer("HEAD"); got.Status != 200 || got.Header.Get("Content-Length") != fmt.Sprint(len(big)) {
				t.Errorf("answer to HEAD = %d %v", got.Status, got.Header)
			}
			if got := c.Get("/big"); got.Status != 200 || got.Body != string(big) || got.Err != nil {
				t.Errorf("answer = %d, %d bytes, %v", got.Status, len(got.Body), got.Err)
			}
			if got := c.Get("/none"); got.Status != 200 {
				t.Errorf("answer = %d", got.Status)
			}
			if addr == secure {
				harness.Eventually(t, harness.Patience, "a check", func() bool { return strings.Contains(s.Admin("/api/v1/status"), "status 200") })
			}
			if s.lines("member is unhealthy") != 0 {
				t.Error("the check found the member unhealthy")
			}
		}
	})
}

// nginx ends each connection after a few requests, by GOAWAY: no request may be lost, nor sent twice.
func TestGoAwayUnderLoad(t *testing.T) {
	t.Parallel()
	addr := harness.FreeAddr(t)
	nginx := harness.Nginx(t, fmt.Sprintf("    listen %s http2;\n    keepalive_requests 7;\n    location / { return 200 ok; }\n", addr))
	s := newSite(t, addr, h2+"retry {\ntries = 1\n}\n")
	var all sync.WaitGroup
	var bad atomic.Int64
	for n := range 8 {
		all.Go(func() {
			for i := range 100 {
				resp, err := http.Post(fmt.Sprintf("http://%s/%d-%d", s.addr, n, i), "text/plain", strings.NewReader("x"))
				if err != nil || resp.StatusCode != 200 {
					bad.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	if n := bad.Load(); n > 0 {
		t.Errorf("%d of 800 requests failed", n)
	}
	log, err := os.ReadFile(filepath.Join(nginx.Dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(log)) {
		if seen[line] {
			t.Errorf("sent twice: %s", line)
		}
		seen[line] = true
	}
	if len(seen) != 800 {
		t.Errorf("nginx served %d requests, want 800", len(seen))
	}
}

// A member that dies in the middle of answers takes them along, and nothing else; it is used again when it is back.
func TestKilledMemberHTTP2(t *testing.T) {
	t.Parallel()
	addr := harness.FreeAddr(t)
	nginx := harness.Nginx(t, fmt.Sprintf("    listen %s http2;\n    location / { return 200 ok; }\n    location /big { limit_rate 100k; }\n", addr))
	if err := os.WriteFile(filepath.Join(nginx.Dir, "big"), bytes.Repeat([]byte("x"), 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, addr, h2+"eject {\nerrors = 0\n}\n")
	c := harness.Raw(t, s.addr)
	c.Send("GET /big HTTP/1.1\r\nHost: h\r\nAccept-Encoding: identity\r\n\r\n")
	c.Expect("HTTP/1.1 200 OK\r\n")
	nginx.Kill()
	c.Rest() // which fails the test if it does not end
	if got := harness.Fetch(t, s.addr, "/"); got.Status != 502 {
		t.Errorf("answer = %d, want 502", got.Status)
	}
	nginx.Start()
	if got := harness.Fetch(t, s.addr, "/"); got.Status != 200 {
		t.Errorf("answer = %d, want 200", got.Status)
	}
}

// A reload that keeps the member keeps its connection and what runs on it; idle connections end by the pool's time-out.
func TestHTTP2Connections(t *testing.T) {
	t.Parallel()
	var open, all atomic.Int64
	release := make(chan struct{})
	addr := h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-release
		}
		fmt.Fprint(w, "ok")
	}, func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
			all.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	})
	s := newSite(t, addr, h2+"timeouts {\nkeepalive = \"1s\"\n}\n")
	c := harness.Raw(t, s.addr)
	c.Send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	c.Expect("HTTP/1.1 200 OK\r\n") // passed on while the member waits
	s.Reload(s.config(h2 + "timeouts {\nkeepalive = \"1s\"\n}\npolicy = \"random\"\n"))
	for range 5 {
		if got := harness.Fetch(t, s.addr, "/"); got.Status != 200 {
			t.Errorf("answer = %d", got.Status)
		}
	}
	close(release)
	if rest := func() string {
		b := make([]byte, 4096)
		n, _ := io.ReadAtLeast(c.Reader(harness.Patience), b, 1)
		return string(b[:n])
	}(); rest == "" {
		t.Error("the slow answer broke off")
	}
	if n := all.Load(); n != 1 {
		t.Errorf("%d connections, want one for all", n)
	}
	harness.Eventually(t, harness.Patience, "the idle connection ends", func() bool { return open.Load() == 0 })
}

// h2Origin is Go's server, which speaks HTTP/2 with prior knowledge.
func h2Origin(t *testing.T, h http.HandlerFunc, state func(net.Conn, http.ConnState)) string {
	t.Helper()
	addr := harness.FreeAddr(t)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), ConnState: state}
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
	return addr
}

// Between a client and a member that both speak HTTP/2 nothing of it is lost: trailers both ways, streaming both ways, and why
// a stream was reset.
func TestHTTP2BothSides(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		canceled := make(chan bool, 10)
		addr := h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			switch r.URL.Path {
			case "/reset":
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler) // INTERNAL_ERROR
			case "/none":
				panic(http.ErrAbortHandler)
			case "/cancel":
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				canceled <- true
				return
			}
			w.(http.Flusher).Flush()
			b := make([]byte, 100)
			for {
				n, err := r.Body.Read(b)
				if n > 0 {
					_, _ = w.Write(bytes.ToUpper(b[:n]))
					w.(http.Flusher).Flush()
				}
				if err != nil {
					break
				}
			}
			w.Header().Set(http.TrailerPrefix+"X-End", "yes")
		}, nil)
		front := harness.FreeAddr(t)
		harness.Start(t, config(front, addr, h2, "protocols = [\"http/1.1\", \"h2c\"]\n"), opts...)
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		defer tr.CloseIdleConnections()
		client := &http.Client{Transport: tr, Timeout: harness.Patience}

		pr, pw := io.Pipe()
		resp, err := client.Post("http://"+front+"/", "text/plain", pr)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 5)
		for _, word := range []string{"hello", "again", "third"} { // each is answered before the next is sent
			_, _ = io.WriteString(pw, word)
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != strings.ToUpper(word) {
				t.Fatalf("answer to %q = %q, %v", word, b, err)
			}
		}
		pw.Close()
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 || resp.Trailer.Get("X-End") != "yes" {
			t.Errorf("the end = %q, %v, trailers %v", rest, err, resp.Trailer)
		}
		resp.Body.Close()

		resp, err = client.Get("http://" + front + "/reset")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		var se http2.StreamError
		if !errors.As(err, &se) && !strings.Contains(fmt.Sprint(err), "INTERNAL_ERROR") {
			t.Errorf("reset = %v, want INTERNAL_ERROR", err)
		}

		// Before an answer has begun there is a status for it, which only gRPC has no use for.
		resp, err = client.Post("http://"+front+"/none", "text/plain", strings.NewReader("x"))
		if err != nil || resp.StatusCode != 502 {
			t.Errorf("reset before the answer = %v, %v; want 502", resp, err)
		} else {
			resp.Body.Close()
		}
		if _, err = client.Post("http://"+front+"/none", "application/grpc+proto", strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "INTERNAL_ERROR") {
			t.Errorf("reset of a call = %v, want INTERNAL_ERROR", err)
		}

		resp, err = client.Get("http://" + front + "/cancel")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() // cancels the stream; the connection stays
		select {
		case <-canceled:
		case <-time.After(harness.Patience):
			t.Error("the member was not told that the client has gone")
		}
	})
}
