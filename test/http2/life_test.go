package http2

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"skein/test/corpus"
	"skein/test/harness"
)

// TestConformance runs h2spec against skein before an origin, over TLS and with prior knowledge. No case is waived.
func TestConformance(t *testing.T) {
	h2spec := goTool(t, "h2spec", "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible")
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, "hello")
	}))
	secure, plain := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.Start(t, fmt.Sprintf(`
pool "web" { servers = [%q] }
http "secure" {
  listen = %q
  tls    = "self-signed"
  pool   = pool.web
}
http "plain" {
  listen    = %q
  protocols = ["h2c"]
  pool      = pool.web
}
`, origin, secure, plain))
	for addr, args := range map[string][]string{secure: {"-t", "-k"}, plain: nil} {
		host, port, _ := net.SplitHostPort(addr)
		out, err := exec.Command(h2spec, append([]string{"-h", host, "-p", port, "-o", "5"}, args...)...).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(" 0 failed")) {
			failures := out
			if i := bytes.Index(out, []byte("Failures:")); i >= 0 {
				failures = out[i:]
			}
			t.Errorf("h2spec %v: %v\n%s", args, err, failures)
		}
	}
	s.Stop()
}

// goTool returns a program that the Go module proxy has, built once for all tests.
func goTool(t *testing.T, name, module string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "install", module)
	cmd.Env = append(os.Environ(), "GOBIN="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("%s cannot be had: %v: %s", name, err, out)
	}
	return filepath.Join(dir, name)
}

// transport is Go's own client, which knows nothing of us.
func transport(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestBodies(t *testing.T) {
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		n, err := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n, err))
	}))
	s, addr := site(t, origin, "")
	before := s.Usage()
	client := transport(t)
	var all sync.WaitGroup
	for i := range 40 { // on one connection: their windows compete
		all.Go(func() {
			size := i * i * 700
			sent := bytes.Repeat([]byte{byte(i)}, size)
			var body io.Reader = bytes.NewReader(sent)
			if i%2 == 0 {
				body = struct{ io.Reader }{body} // of unknown length
			}
			r, _ := http.NewRequest("POST", "https://"+addr+"/", body)
			r.Header.Set("TE", "trailers")
			a, err := client.Do(r)
			if err != nil {
				t.Errorf("%d bytes: %v", size, err)
				return
			}
			defer a.Body.Close()
			got, err := io.ReadAll(a.Body)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
			if sum := a.Trailer.Get("X-Sum"); sum != fmt.Sprint(size, " <nil>") {
				t.Errorf("trailer X-Sum = %q, want %d", sum, size)
			}
		})
	}
	all.Wait()
	client.CloseIdleConnections()
	s.Settles(before)
	s.Stop()
}

// A client that cancels ends the member's work; the others on its connection go on.
func TestCancel(t *testing.T) {
	gone := make(chan struct{}, 1)
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	s, addr := site(t, origin, "")
	c := dial(t, addr)
	id := c.get("/slow")
	if _, err := c.until(id, func(a *answer) bool { return a.status == "200" }); err != nil {
		t.Fatal(err)
	}
	if err := c.fr.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(harness.Patience):
		t.Fatal("the member still works for a client that has cancelled")
	}
	c.must(c.get("/quick"), "200")
	s.Stop()
}

// An answer that the member breaks off is never taken for a whole one.
func TestCutAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			origin := harness.Origin(t, func(p *harness.Peer) {
				p.Next()
				p.Send(answer)
			})
			s, addr := site(t, origin.Addr, "")
			c := dial(t, addr)
			a, err := c.wait(c.get("/"))
			if err != nil || a.ended || !a.reset || a.code != http2.ErrCodeInternal || string(a.body) != "half" {
				t.Errorf("body %q, ended %v, reset %v (%v), %v; want half and INTERNAL_ERROR", a.body, a.ended, a.reset, a.code, err)
			}
			s.Stop()
		})
	}
}

// Interim answers arrive, early answers end uploads without harm to the connection.
func TestInterimAndEarly(t *testing.T) {
	origin := harness.Origin(t, func(p *harness.Peer) {
		for r := p.Head(); r != nil; r = p.Head() {
			if r.URL.Path == "/early" {
				p.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop")
				p.Drain()
				return
			}
			p.Body(r)
			p.Send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	s, addr := site(t, origin.Addr, "")
	c := dial(t, addr)
	if a := c.must(c.get("/"), "200"); len(a.interims) != 1 || a.interims[0] != "103" {
		t.Errorf("interim answers = %v, want 103", a.interims)
	}
	lines := []corpus.Line{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: "/early"}}
	id := c.request(lines, false)
	c.data(id, "a part", false)
	if a, err := c.wait(id); err != nil || a.status != "413" || string(a.body) != "stop" {
		t.Errorf("early answer = %q %q, %v", a.status, a.body, err)
	}
	c.must(c.get("/"), "200")
	s.Stop()
}

// WebSockets come by extended CONNECT (RFC 8441) and leave as an upgrade.
func TestWebSocket(t *testing.T) {
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		if r.Method != "GET" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-WebSocket-Key") == "" || r.Header.Get("Sec-WebSocket-Version") != "13" {
			http.Error(w, "not a handshake", http.StatusBadRequest)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		accept := acceptKey(r.Header.Get("Sec-WebSocket-Key"))
		if r.URL.Path == "/wrong" {
			accept = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
		}
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\nwelcome", accept)
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	}))
	s, addr := site(t, origin, "")
	c := dial(t, addr)
	connect := func(path, protocol string) uint32 {
		return c.request([]corpus.Line{
			{Name: ":method", Value: "CONNECT"},
			{Name: ":protocol", Value: protocol},
			{Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: "h"},
			{Name: ":path", Value: path},
			{Name: "sec-websocket-version", Value: "13"},
			{Name: "origin", Value: "https://h"},
		}, false)
	}
	id := connect("/chat", "websocket")
	a, err := c.until(id, func(a *answer) bool { return string(a.body) == "welcome" || a.reset })
	if err != nil || a.status != "200" || a.field("sec-websocket-accept") != "" {
		t.Fatalf("status %q, fields %v, reset %v, %v", a.status, a.fields, a.code, err)
	}
	for _, word := range []string{"hello", strings.Repeat("long ", 20000)} {
		for rest := word; rest != ""; {
			n := min(len(rest), 16<<10)
			c.data(id, rest[:n], false)
			rest = rest[n:]
		}
		if a, err := c.until(id, func(a *answer) bool { return len(a.body) >= len(word) || a.reset }); err != nil || string(a.body) != word {
			t.Fatalf("echo of %d bytes: %d, reset %v (%v), %v", len(word), len(a.body), a.reset, a.code, err)
		}
	}
	c.data(id, "", true)
	if a, err := c.wait(id); err != nil || !a.ended {
		t.Errorf("after our end: ended %v, reset %v (%v), %v", a.ended, a.reset, a.code, err)
	}
	c.must(connect("/refuse", "websocket"), "403")
	c.must(connect("/wrong", "websocket"), "502")
	c.must(connect("/chat", "mqtt"), "501")
	s.Stop()
}

// A stop says GOAWAY, finishes what runs and takes nothing new; so does the end of a listener in a reload.
func TestGoAway(t *testing.T) {
	for _, how := range []string{"stop", "reload"} {
		t.Run(how, func(t *testing.T) {
			release := make(chan struct{})
			origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				<-release
				fmt.Fprint(w, "done")
			}))
			s, addr := site(t, origin, "")
			c := dial(t, addr)
			id := c.get("/slow")
			harness.Eventually(t, harness.Patience, "the request runs", func() bool { return s.Metric("skein_http_active") == 1 })
			if how == "stop" {
				s.Signal(syscall.SIGTERM)
			} else {
				s.Reload(fmt.Sprintf("http \"h\" {\n  listen = %q\n  servers = [%q]\n}\n", harness.FreeAddr(t), origin))
			}
			_, err := c.until(id, func(a *answer) bool { return c.goaway != nil || a.ended || a.reset })
			if err != nil || c.goaway == nil || c.goaway.ErrCode != http2.ErrCodeNo {
				t.Fatalf("GOAWAY = %v, %v", c.goaway, err)
			}
			close(release)
			if a := c.must(id, "200"); string(a.body) != "done" {
				t.Errorf("body = %q", a.body)
			}
			for f, err := c.fr.ReadFrame(); err == nil; f, err = c.fr.ReadFrame() {
				if _, ok := f.(*http2.GoAwayFrame); !ok { // the first promised too much on purpose (RFC 9113 section 6.8)
					t.Errorf("the connection goes on with %v", f)
				}
			}
			if how == "stop" {
				s.Stopped(harness.Patience)
			} else {
				s.Stop()
			}
		})
	}
}

// A reader who stops holds up neither the others on his connection nor the memory of skein.
func TestStalledStream(t *testing.T) {
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 64<<20))
		}
	}))
	s, addr := site(t, origin, "  timeouts {\n    body = \"2s\"\n  }\n")
	c := dial(t, addr)
	memory := s.Memory()
	var stalled []uint32
	for range 20 {
		stalled = append(stalled, c.get("/large"))
	}
	// Nothing of these is given back to the windows; 65535 bytes of the connection's are soon used up by them.
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			t.Fatalf("waiting for the resets: %v", err)
		}
		if r, ok := f.(*http2.RSTStreamFrame); ok && r.StreamID == stalled[len(stalled)-1] {
			break
		}
		if f, ok := f.(*http2.HeadersFrame); ok {
			if _, err := c.dec.DecodeFull(f.HeaderBlockFragment()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if grown := s.Memory() - memory; grown > 64<<20 && !harness.Raced() {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	_ = c.fr.WriteWindowUpdate(0, 1<<20)
	c.must(c.get("/small"), "200")
	s.Stop()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Two hundred visitors with a dozen requests each at once, while the file is reloaded: every request is answered.
func TestManyOverReloads(t *testing.T) {
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	s, addr := site(t, origin, "")
	file, err := os.ReadFile(s.File)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range harness.Count(5, 20, 200) {
		client := transport(t)
		for j := range 12 {
			all.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					path := fmt.Sprintf("/%d/%d/%d", i, j, n)
					a, err := client.Get("https://" + addr + path)
					if err != nil {
						t.Errorf("%s: %v", path, err)
						return
					}
					b, err := io.ReadAll(a.Body)
					a.Body.Close()
					if err != nil || string(b) != path {
						t.Errorf("%s: %q, %v", path, b, err)
						return
					}
				}
			})
		}
	}
	for i := range harness.Count(3, 10, 100) {
		time.Sleep(100 * time.Millisecond)
		text := strings.Replace(string(file), "http \"h\" {", fmt.Sprintf("http \"h\" {\n  response_headers {\n    set = { X-Round = \"%d\" }\n  }", i), 1)
		if err := os.WriteFile(s.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := s.Command("reload"); code != 0 {
			t.Fatalf("reload: %s", out)
		}
	}
	stop()
	all.Wait()
	s.Stop()
}

// acceptKey is the proof of RFC 6455 section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
