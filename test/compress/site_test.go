// Package compress tests the compression of answers with the real binary: in front of Go's net/http and nginx, and asked by
// real clients (curl, and Go's), who undo it themselves.
package compress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"skein/test/harness"
)

// config is a site that compresses, with one member. /raw does not.
func config(addr, origin string) string {
	return fmt.Sprintf(`
pool "web" {
  servers = [%q]
}
http "site" {
  listen    = %q
  pool      = pool.web
  protocols = ["http/1.1", "h2c"]
  compress {
  }
  route "/raw" {
    compress {
      off = true
    }
  }
}
`, origin, addr)
}

// both runs a test on both paths.
func both(t *testing.T, test func(t *testing.T, opts ...harness.Option)) {
	t.Parallel()
	t.Run("fast", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		test(t, harness.Plain())
	})
}

// encodings are what is asked for.
func encodings() []string { return []string{"gzip", "br", "zstd"} }

// decode undoes an encoding as it comes: what it returns can be read as far as the sender has flushed.
func decode(t *testing.T, name string, r io.Reader) io.Reader {
	t.Helper()
	switch name {
	case "":
		return r
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	t.Fatalf("unknown encoding %q", name)
	return nil
}

// client is one that decodes nothing by itself.
func client(t *testing.T) *http.Client { return clientOf(t, false) }

// clientOf is a client of HTTP/1.1, or of HTTP/2 in plain text.
func clientOf(t *testing.T, h2 bool) *http.Client {
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: harness.Patience}
}

// get asks for a target and returns the answer, whose body is not read.
func get(t *testing.T, c *http.Client, addr, target, accept string) *http.Response {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+addr+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", accept)
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	return a
}

// page is n bytes of text.
func page(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<li id=\"n%d\"><a href=\"/item/%d\">item %d of the list</a></li>\n", i, i*7919%10007, i)
	}
	return b.String()[:n]
}

// Every encoding, of answers of every size, by length and in chunks, comes out as it went in.
func TestThroughGo(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		sizes := []int{1, 1023, 1024, 5000, 16 << 10, 16<<10 + 1, 100_000, 3_000_000}
		origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var n int
			fmt.Sscan(r.URL.Query().Get("n"), &n)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("ETag", `"v1"`)
			if r.URL.Query().Has("length") {
				w.Header().Set("Content-Length", fmt.Sprint(n))
			}
			io.WriteString(w, page(n))
		}))
		addr := harness.FreeAddr(t)
		s := harness.Start(t, config(addr, origin), opts...)
		c := client(t)
		io.Copy(io.Discard, get(t, c, addr, "/?n=5000", "br").Body) // warm
		c.CloseIdleConnections()
		before := s.Usage()
		for _, name := range encodings() {
			for _, n := range sizes {
				for _, framing := range []string{"length", "chunks"} {
					target := fmt.Sprintf("/?n=%d&%s", n, framing)
					a := get(t, c, addr, target, name)
					got, err := io.ReadAll(decode(t, a.Header.Get("Content-Encoding"), a.Body))
					if err != nil || string(got) != page(n) {
						t.Errorf("%s %s: %d bytes, %v", name, target, len(got), err)
					}
					packed := n >= 1024 // net/http gives short answers a length by itself
					if coded := a.Header.Get("Content-Encoding") == name; coded != packed {
						t.Errorf("%s %s: %v", name, target, a.Header)
					}
					if packed && (a.Header.Get("ETag") != `W/"v1"` || a.Header.Get("Vary") != "Accept-Encoding") {
						t.Errorf("%s %s: %v", name, target, a.Header)
					}
				}
			}
		}
		a := get(t, c, addr, "/raw?n=5000", "gzip")
		if a.Header.Get("Content-Encoding") != "" || a.Header.Get("ETag") != `"v1"` {
			t.Errorf("/raw: %v", a.Header)
		}
		io.Copy(io.Discard, a.Body)
		c.CloseIdleConnections()
		s.Settles(before)
	})
}

// Events arrive one by one, as the origin sends them: each is sent only when the one before it has been read.
func TestEvents(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		next := make(chan string)
		origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			for event := range next {
				if event == "" {
					return
				}
				io.WriteString(w, "data: "+event+"\n\n")
				w.(http.Flusher).Flush()
			}
		}))
		addr := harness.FreeAddr(t)
		harness.Start(t, config(addr, origin), opts...)
		for i := range 2 * len(encodings()) {
			name, h2 := encodings()[i/2], i%2 == 1
			a := get(t, clientOf(t, h2), addr, "/", name) // returns before the first event
			if a.Header.Get("Content-Encoding") != name || (a.ProtoMajor == 2) != h2 {
				t.Fatalf("%s, %s: %v", name, a.Proto, a.Header)
			}
			var lines *bufio.Reader
			for i := range 20 {
				event := fmt.Sprintf("%d %s", i, strings.Repeat("x", i*i*10))
				next <- event
				if lines == nil {
					lines = bufio.NewReader(decode(t, name, a.Body))
				}
				line, err := lines.ReadString('\n')
				if err != nil || line != "data: "+event+"\n" {
					t.Fatalf("%s: event %d: %q, %v", name, i, line, err)
				}
				if line, err = lines.ReadString('\n'); err != nil || line != "\n" {
					t.Fatalf("%s: %q, %v", name, line, err)
				}
			}
			next <- ""
			if _, err := lines.ReadByte(); err != io.EOF {
				t.Errorf("%s: the end is %v", name, err)
			}
		}
	})
}

// nginx compresses what it wants to by itself, and is left alone then; the rest is ours. Its tags are found again through the
// weak ones that we make of them.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	text := page(40_000)
	origin := harness.Nginx(t, `
types { text/html html; text/css css; image/png png; }
location /own { gzip on; gzip_types text/css; }
location / { }`)
	if err := os.Mkdir(filepath.Join(origin.Dir, "own"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"a.html", "a.png", "own/a.css"} {
		if err := os.WriteFile(filepath.Join(origin.Dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := harness.FreeAddr(t)
	harness.Start(t, config(addr, origin.Addr))
	c := client(t)
	for _, test := range []struct{ target, accept, want string }{
		{"/a.html", "gzip, br, zstd", "zstd"},
		{"/a.html", "br", "br"},
		{"/a.html", "", ""},
		{"/a.png", "gzip, br, zstd", ""},
		{"/own/a.css", "gzip, br, zstd", "gzip"}, // nginx was faster
		{"/own/a.css", "br", "br"},
	} {
		a := get(t, c, addr, test.target, test.accept)
		got, err := io.ReadAll(decode(t, a.Header.Get("Content-Encoding"), a.Body))
		if err != nil || string(got) != text || a.Header.Get("Content-Encoding") != test.want {
			t.Errorf("%s for %q: %d bytes, %v, %v", test.target, test.accept, len(got), err, a.Header)
		}
	}

	// The second visit, and one for a part.
	a := get(t, c, addr, "/a.html", "br")
	tag := a.Header.Get("ETag")
	if !strings.HasPrefix(tag, `W/"`) || a.Header.Get("Accept-Ranges") != "" {
		t.Errorf("head = %v", a.Header)
	}
	for field, want := range map[string]int{"If-None-Match: " + tag: http.StatusNotModified, "Range: bytes=10-19": http.StatusPartialContent} {
		r, _ := http.NewRequest("GET", "http://"+addr+"/a.html", nil)
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
		r.Header.Set("Accept-Encoding", "br")
		a, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || a.StatusCode != want || a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %v, %v", field, a, err)
		}
		if want == http.StatusPartialContent && string(body) != text[10:20] {
			t.Errorf("part = %q", body)
		}
		if want == http.StatusNotModified && (a.Header.Get("ETag") != tag || a.Header.Get("Vary") != "Accept-Encoding") {
			t.Errorf("304 with %v", a.Header)
		}
	}
}

// curl undoes every encoding that it has been built with.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl := harness.Need(t, "curl", "curl")
	text := page(300_000)
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for at := 0; at < len(text); at += 30_000 {
			io.WriteString(w, text[at:at+30_000])
			w.(http.Flusher).Flush()
		}
	}))
	addr := harness.FreeAddr(t)
	harness.Start(t, config(addr, origin))
	for _, version := range []string{"--http2-prior-knowledge", "--http1.1", "--http1.0"} {
		var body, stderr bytes.Buffer
		cmd := exec.Command(curl, "-sS", version, "--compressed", "-w", "%{stderr}%{size_download} %header{content-encoding}", "http://"+addr+"/")
		cmd.Stdout, cmd.Stderr = &body, &stderr
		if err := cmd.Run(); err != nil || body.String() != text {
			t.Fatalf("curl %s: %v, %d bytes, %s", version, err, body.Len(), stderr.String())
		}
		var size int
		var name string
		if _, err := fmt.Sscan(stderr.String(), &size, &name); err != nil || name == "" || size >= len(text)/3 {
			t.Errorf("curl %s: %q", version, stderr.String())
		}
	}
}

// An origin that dies in the middle of its answer: curl says so, in whichever version.
func TestCurlSeesACut(t *testing.T) {
	t.Parallel()
	curl := harness.Need(t, "curl", "curl")
	text := page(200_000)
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", fmt.Sprint(2*len(text)))
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	addr := harness.FreeAddr(t)
	harness.Start(t, config(addr, origin))
	for _, version := range []string{"--http2-prior-knowledge", "--http1.1", "--http1.0"} {
		out, err := exec.Command(curl, "-sS", "-o", "/dev/null", version, "--compressed", "http://"+addr+"/").CombinedOutput()
		if err == nil {
			t.Errorf("curl %s takes half an answer for a whole one: %s", version, out)
		}
	}
}

// Answers that take their time hold encoders; those are bounded, and so is the memory.
func TestManyOpenAnswers(t *testing.T) {
	t.Parallel()
	text := page(64 << 10)
	release := make(chan struct{})
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
		<-release
	}))
	addr := harness.FreeAddr(t)
	s := harness.Start(t, config(addr, origin))
	before := s.Memory()
	c := client(t)
	coded := 0
	var all []*http.Response
	for i := range 200 {
		a := get(t, c, addr, "/", encodings()[i%3]) // returns as soon as the head is there
		if a.Header.Get("Content-Encoding") != "" {
			coded++
		}
		all = append(all, a)
	}
	if coded < 20 || coded > 100 {
		t.Errorf("%d of 200 answers are compressed", coded)
	}
	// Half of what encoders may take, as much again until the next collection, and what 200 exchanges take anyway.
	if grown := s.Memory() - before; !harness.Raced() && grown > 200<<20 {
		t.Errorf("skein grew by %d MiB", grown>>20)
	}
	close(release)
	for _, a := range all {
		body, err := io.ReadAll(decode(t, a.Header.Get("Content-Encoding"), a.Body))
		if err != nil || string(body) != text {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
	}
	if a := get(t, c, addr, "/", "br"); a.Header.Get("Content-Encoding") != "br" {
		t.Errorf("the encoders are not given back: %v", a.Header)
	}
}
