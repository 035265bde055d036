package web

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// asked is one request as a FastCGI application sees it.
type asked struct {
	keep   bool
	params map[string]string
	body   string
}

// readRequest reads a request in the plainest way.
func readRequest(r *bufio.Reader) (q asked, err error) {
	streams := map[byte][]byte{}
	for {
		var h [8]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return q, err
		}
		content := make([]byte, int(binary.BigEndian.Uint16(h[4:]))+int(h[6]))
		if _, err := io.ReadFull(r, content); err != nil {
			return q, err
		}
		content = content[:len(content)-int(h[6])]
		switch h[1] {
		case 1:
			q.keep = content[2]&1 == 1
		case 4, 5:
			streams[h[1]] = append(streams[h[1]], content...)
		}
		if h[1] == 5 && len(content) == 0 {
			break
		}
	}
	q.body, q.params = string(streams[5]), map[string]string{}
	length := func(b []byte) (int, []byte) {
		if b[0] < 128 {
			return int(b[0]), b[1:]
		}
		return int(binary.BigEndian.Uint32(b) & 0x7fffffff), b[4:]
	}
	for b := streams[4]; len(b) > 0; {
		var n, v int
		n, b = length(b)
		v, b = length(b)
		q.params[string(b[:n])] = string(b[n : n+v])
		b = b[n+v:]
	}
	return q, nil
}

// record is one of an answer.
func fcgiRecord(kind byte, content string) string {
	return string([]byte{1, kind, 0, 1, byte(len(content) >> 8), byte(len(content)), 0, 0}) + content
}

const (
	fcgiEnd        = "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	fcgiOverloaded = "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00"
)

// application answers each request with what f returns, and closes the connection if the request does not want to keep it or
// the answer is empty.
func application(t testing.TB, f func(n int, q asked) string) string {
	var n atomic.Int64
	return origin(t, func(c net.Conn, r *bufio.Reader) {
		for {
			q, err := readRequest(r)
			if err != nil {
				return
			}
			answer := f(int(n.Add(1)), q)
			if _, err := io.WriteString(c, answer); err != nil || answer == "" || !q.keep {
				return
			}
		}
	})
}

// scripts is a site that runs scripts with the members, in a directory with index.php.
func scripts(t testing.TB, plain bool, pool string, members ...string) *service {
	t.Helper()
	root := t.TempDir()
	tree(t, root, "index.php", "blog/index.php")
	return serveFile(t, plain, filesSite(root, fmt.Sprintf("pool \"app\" {\n servers = [\"%s\"]\n protocol = \"fastcgi\"\n%s\n}\n", strings.Join(members, `", "`), pool), ""))
}

func TestScriptAnswers(t *testing.T) {
	html := "Content-Type: text/html\r\n"
	out := func(s string) string { return fcgiRecord(6, s) }
	var each strings.Builder
	for _, c := range html + "Status: 201 Made\r\n\r\nhello" {
		each.WriteString(out(string(c)))
	}
	big := strings.Repeat("x", 60000)
	for name, c := range map[string]struct {
		method, answer string
		status         int
		body           string
		broken         bool // the client sees that something is missing
	}{
		"plain":                    {"GET", out(html+"\r\nhello") + fcgiEnd, 200, "hello", false},
		"head and body apart":      {"GET", out(html+"\r\n") + out("hello") + out("") + fcgiEnd, 200, "hello", false},
		"one byte in each record":  {"GET", each.String() + fcgiEnd, 201, "hello", false},
		"no body":                  {"GET", out(html+"\r\n") + fcgiEnd, 200, "", false},
		"stderr before and within": {"GET", fcgiRecord(7, "oh") + out(html+"\r\nhel") + fcgiRecord(7, "no\x1b[2J") + out("lo") + fcgiEnd, 200, "hello", false},
		"with a length":            {"GET", out(html+"Content-Length: 5\r\n\r\nhello") + fcgiEnd, 200, "hello", false},
		"longer than its length":   {"GET", out(html+"Content-Length: 5\r\n\r\nhello world") + fcgiEnd, 200, "hello", false},
		"shorter than its length":  {"GET", out(html+"Content-Length: 6\r\n\r\nhello") + fcgiEnd, 200, "hello", true},
		"large":                    {"GET", out(html+"\r\n") + strings.Repeat(out(big), 40) + fcgiEnd, 200, strings.Repeat(big, 40), false},
		"dies in the body":         {"GET", out(html + "\r\nhello"), 200, "hello", true},
		"dies behind the length":   {"GET", out(html + "Content-Length: 5\r\n\r\nhello"), 200, "hello", false},
		"dies in the head":         {"GET", out(html), 502, "", false},
		"dies at once":             {"POST", "", 502, "", false},
		"no head":                  {"GET", out("hello") + fcgiEnd, 502, "", false},
		"only stderr":              {"GET", fcgiRecord(7, "Primary script unknown") + fcgiEnd, 502, "", false},
		"bad head":                 {"GET", out("X: a\x00b\r\n\r\n") + fcgiEnd, 502, "", false},
		"a status line":            {"GET", out("HTTP/1.1 200 OK\r\n" + html + "\r\nhello"), 502, "", false},
		"HTTP":                     {"GET", "HTTP/1.1 200 OK\r\n\r\n", 502, "", false},
		"huge head":                {"GET", strings.Repeat(out("X-A: "+big+"\r\n"), 2) + out("\r\nhello") + fcgiEnd, 502, "", false},
		"large head":               {"GET", out("X-A: "+big[:40000]+"\r\n\r\nhello") + fcgiEnd, 200, "hello", false},
		"garbage within":           {"GET", out(html+"\r\nhello") + "garbage!", 200, "hello", true},
		"redirect":                 {"GET", out("Location: /there\r\n\r\n") + fcgiEnd, 302, "", false},
		"HEAD with a body":         {"HEAD", out(html+"\r\nhello") + fcgiEnd, 200, "", false},
		"304":                      {"GET", out("Status: 304\r\nETag: \"x\"\r\n\r\n") + fcgiEnd, 304, "", false},
		"204 with a body":          {"GET", out("Status: 204\r\nX: y\r\n\r\nhello") + fcgiEnd, 204, "", false},
		"overloaded alone":         {"GET", fcgiOverloaded, 503, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, plain bool) {
				s := scripts(t, plain, "retry {\n tries = 1\n }\n", application(t, func(int, asked) string { return c.answer }))
				conn, r := s.dial(here)
				a, body, err := ask(t, conn, r, c.method, c.method+" /a HTTP/1.1\nHost: h\nContent-Length: 0\n\n")
				if err != nil && !c.broken || err == nil && c.broken {
					t.Fatalf("error %v, want one: %v", err, c.broken)
				}
				if a.StatusCode != c.status || c.status/100 != 5 && body != c.body {
					t.Fatalf("%s %.100q (%d bytes), want %d %.100q (%d bytes)", a.Status, body, len(body), c.status, c.body, len(c.body))
				}
				if a.StatusCode/100 != 5 && a.Header.Get("Date") == "" {
					t.Error("no Date")
				}
				if !c.broken { // the connection goes on
					if got := s.get(t, "GET", "/none.txt/"); got == "" {
						t.Error("nothing")
					}
					if _, _, err := ask(t, conn, r, "HEAD", "HEAD /a HTTP/1.1\nHost: h\n\n"); err != nil {
						t.Errorf("the next request: %v", err)
					}
				}
				s.balanced()
			})
		})
	}
}

func TestScriptParams(t *testing.T) {
	var got asked
	addr := application(t, func(_ int, q asked) string {
		got = q
		return fcgiRecord(6, "Content-Type: a/b\r\n\r\n") + fcgiEnd
	})
	root := t.TempDir()
	tree(t, root, "index.php", "sub/index.php")
	real, _ := filepath.EvalSymlinks(root)
	s := serveFile(t, false, fmt.Sprintf(`
pool "app" {
  servers  = [%q]
  protocol = "fastcgi"
}
http "site" {
  listen      = "127.0.0.1:0"
  pool        = pool.app
  underscores = true
  request_headers {
    set    = { "X-Own" = "ours" }
    remove = ["X-Gone"]
  }
  files {
    root   = %q
    params = { APP_ENV = "test" }
  }
  route "/pre" {
    strip = "/pre"
    files {
      root = %q
      script_root = "/container"
    }
  }
}`, addr, root, root))
	c, r := s.dial(here)
	if _, _, err := ask(t, c, r, "POST", strings.ReplaceAll(`POST /sub/index.php/in/fo%20?a=b&c HTTP/1.1
Host: Www.Test:81
Content-Type: text/x
Content-Length: 5
Proxy: http://evil
X_Forwarded_For: 6.6.6.6
X_Own: evil
X_Legacy: yes
X-Gone: x
X-Two: 1
Cookie: a=1
X-Two: 2
Cookie: b=2
X-Forwarded-For: 6.6.6.6
Transfer_Encoding: chunked
Keep-Alive: x
Connection: X-Hop
X-Hop: y

hello`, "\r", "")); err != nil {
		t.Fatal(err)
	}
	local := c.RemoteAddr().(*net.TCPAddr)
	for name, want := range map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "REDIRECT_STATUS": "200", "REQUEST_METHOD": "POST", "SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": "a=b&c",
		"REQUEST_URI": "/sub/index.php/in/fo%20?a=b&c", "SCRIPT_NAME": "/sub/index.php", "SCRIPT_FILENAME": real + "/sub/index.php",
		"DOCUMENT_URI": "/sub/index.php/in/fo ", "DOCUMENT_ROOT": real, "PATH_INFO": "/in/fo ", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "5",
		"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": fmt.Sprint(c.LocalAddr().(*net.TCPAddr).Port), "SERVER_ADDR": "127.0.0.1",
		"SERVER_PORT": fmt.Sprint(local.Port), "SERVER_NAME": "www.test", "REQUEST_SCHEME": "http", "APP_ENV": "test",
		"HTTP_HOST": "Www.Test:81", "HTTP_X_TWO": "1, 2", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_OWN": "ours", "HTTP_X_LEGACY": "yes",
	} {
		if got.params[name] != want {
			t.Errorf("%s = %q, want %q", name, got.params[name], want)
		}
	}
	for _, name := range []string{"HTTP_PROXY", "HTTP_X_GONE", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_X_HOP", "HTTP_CONNECTION", "HTTP_KEEP_ALIVE", "HTTPS"} {
		if v, ok := got.params[name]; ok {
			t.Errorf("%s = %q, want none", name, v)
		}
	}
	if got.body != "hello" || got.keep {
		t.Errorf("body %q, keep %v", got.body, got.keep)
	}
	if _, _, err := ask(t, c, r, "GET", "GET /pre/x HTTP/1.1\nHost: h\n\n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"SCRIPT_NAME": "/pre/index.php", "SCRIPT_FILENAME": "/container/index.php", "DOCUMENT_ROOT": "/container", "REQUEST_URI": "/pre/x", "CONTENT_LENGTH": "", "QUERY_STRING": "",
	} {
		if v, ok := got.params[name]; v != want || !ok {
			t.Errorf("stripped: %s = %q, %v, want %q", name, v, ok, want)
		}
	}
}

// Idle connections are kept if the pool says so, and used again.
func TestScriptKeepAlive(t *testing.T) {
	for keep, want := range map[int]uint64{0: 5, 4: 1} {
		addr := application(t, func(int, asked) string { return fcgiRecord(6, "A: b\r\n\r\nhello") + fcgiEnd })
		s := scripts(t, false, fmt.Sprintf("keepalive = %d\n", keep), addr)
		c, r := s.dial(here)
		for range 5 {
			if _, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || body != "hello" {
				t.Fatalf("%q, %v", body, err)
			}
		}
		if n := s.set.Pools()[0].Members()[0].Stats.Connects.Load(); n != want {
			t.Errorf("keepalive %d: %d connections, want %d", keep, n, want)
		}
	}
}

// An application without room is asked for nothing twice, and the next one is.
func TestScriptOverloadedGoesOn(t *testing.T) {
	var busy atomic.Int64
	full := application(t, func(int, asked) string { busy.Add(1); return fcgiOverloaded })
	free := application(t, func(_ int, q asked) string { return fcgiRecord(6, "A: b\r\n\r\n"+q.body) + fcgiEnd })
	s := scripts(t, false, "", full, free)
	c, r := s.dial(here)
	for range 4 {
		a, body, err := ask(t, c, r, "POST", "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello")
		if err != nil || a.StatusCode != http.StatusOK || body != "hello" {
			t.Fatalf("%v, %q, %v", a.Status, body, err)
		}
	}
	if busy.Load() == 0 {
		t.Error("the full one was never asked")
	}
	if s.reports.gateway.Load() != busy.Load() {
		t.Errorf("%d reports of %d refusals", s.reports.gateway.Load(), busy.Load())
	}
	s.balanced()
}

// Bodies of every size arrive whole with their length, known or not.
func TestScriptBodies(t *testing.T) {
	addr := application(t, func(_ int, q asked) string {
		return fcgiRecord(6, fmt.Sprintf("A: b\r\n\r\n%s %d %d", q.params["CONTENT_LENGTH"], len(q.body), strings.Count(q.body, "b"))) + fcgiEnd
	})
	both(t, func(t *testing.T, plain bool) {
		s := scripts(t, plain, "", addr)
		c, r := s.dial(here)
		for _, n := range []int{0, 1, 1000, 40000, inMemory - 1, inMemory, inMemory + 1, 5 << 20} {
			want := fmt.Sprintf("%d %d %d", n, n, n)
			for _, chunked := range []bool{false, true} {
				before := openFiles(t)
				var b strings.Builder
				b.WriteString("POST / HTTP/1.1\r\nHost: h\r\n")
				if !chunked {
					fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", n, strings.Repeat("b", n))
				} else {
					b.WriteString("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
					for left := n; left > 0; {
						k := min(left, 70001)
						fmt.Fprintf(&b, "%x\r\n%s\r\n", k, strings.Repeat("b", k))
						left -= k
					}
					b.WriteString("0\r\n\r\n")
				}
				go io.WriteString(c, b.String())
				if chunked {
					if line, _, err := head(r); err != nil && err != io.EOF || !strings.HasPrefix(line, "HTTP/1.1 100") {
						t.Fatalf("%d chunked: %q, %v", n, line, err)
					}
				}
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(a.Body)
				if err != nil || string(body) != want && !(n == 0 && !chunked && string(body) == "0 0 0") {
					t.Fatalf("%d bytes, chunked %v = %q, %v", n, chunked, body, err)
				}
				if after := openFiles(t); after > before+2 {
					t.Errorf("%d descriptors, %d before", after, before)
				}
			}
		}
		s.balanced()
	})
}

// A member is asked for nothing before a form is here, however slowly it comes.
func TestScriptWaitsForForms(t *testing.T) {
	addr := application(t, func(_ int, q asked) string {
		return fcgiRecord(6, fmt.Sprintf("A: b\r\n\r\n%d", strings.Count(q.body, "f"))) + fcgiEnd
	})
	s := scripts(t, false, "", addr)
	c, r := s.dial(here)
	body := strings.Repeat("f", formSize)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", formSize, body[1:])
	for s.stats.InFlight.Load() == 0 {
		pause()
	}
	for range 20 {
		pause()
	}
	m := s.set.Pools()[0].Members()[0]
	if n := m.Stats.Connects.Load(); n != 0 {
		t.Errorf("%d connections to the member before the form was there", n)
	}
	fmt.Fprint(c, body[:1])
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(a.Body); err != nil || string(got) != fmt.Sprint(formSize) {
		t.Errorf("answer = %q, %v", got, err)
	}
	if n := m.Stats.Connects.Load(); n != 1 {
		t.Errorf("%d connections to the member", n)
	}
	s.balanced()
}

// An application may answer before it has read the body; the client gets that answer.
func TestScriptAnswersEarly(t *testing.T) {
	addr := origin(t, func(c net.Conn, r *bufio.Reader) {
		var h [8]byte
		for h[1] != 5 { // up to the first of the body
			if _, err := io.ReadFull(r, h[:]); err != nil {
				return
			}
			if _, err := r.Discard(int(binary.BigEndian.Uint16(h[4:])) + int(h[6])); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, fcgiRecord(6, "Status: 413 Too much\r\n\r\nno")+fcgiEnd)
		_, _ = io.Copy(io.Discard, r)
	})
	both(t, func(t *testing.T, plain bool) {
		s := scripts(t, plain, "", addr)
		c, r := s.dial(here)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 100<<20)
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(a.Body); err != nil || a.StatusCode != 413 || string(b) != "no" || !a.Close {
			t.Errorf("%v %q %v, close %v", a.Status, b, err, a.Close)
		}
		s.balanced()
	})
}

// Behind a trusted proxy the script sees the visitor; what anybody else says of himself is not believed.
func TestScriptBehindProxies(t *testing.T) {
	got := make(chan map[string]string, 1)
	addr := application(t, func(_ int, q asked) string {
		got <- q.params
		return fcgiRecord(6, "A: b\r\n\r\n") + fcgiEnd
	})
	root := t.TempDir()
	tree(t, root, "index.php")
	for trusted, want := range map[string][4]string{
		"127.0.0.1": {"203.0.113.9", "", "https", "on"},
		"192.0.2.1": {"127.0.0.1", "port", "http", ""},
	} {
		s := serveFile(t, false, strings.Replace(filesSite(root, phpPool(addr), ""), "files {", "trusted_proxies = \""+trusted+"\"\n files {", 1))
		c, r := s.dial(here)
		if _, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\nX-Forwarded-Proto: https\n\n"); err != nil {
			t.Fatal(err)
		}
		if want[1] != "" {
			want[1] = fmt.Sprint(c.LocalAddr().(*net.TCPAddr).Port)
		}
		p := <-got
		if have := [4]string{p["REMOTE_ADDR"], p["REMOTE_PORT"], p["REQUEST_SCHEME"], p["HTTPS"]}; have != want {
			t.Errorf("trusting %s: %q, want %q", trusted, have, want)
		}
	}
}

func TestScriptBodyTooLarge(t *testing.T) {
	addr := application(t, func(int, asked) string { return fcgiRecord(6, "A: b\r\n\r\n") + fcgiEnd })
	root := t.TempDir()
	tree(t, root, "index.php")
	s := serveFile(t, false, strings.Replace(filesSite(root, phpPool(addr), ""), "files {", "max_body = \"2MiB\"\n files {", 1))
	c, r := s.dial(here)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat("b", 1<<20))
	go io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk+chunk+chunk+"0\r\n\r\n")
	a, err := http.ReadResponse(r, nil)
	if err != nil || a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("%v, %v", a, err)
	}
	s.balanced()
}

func TestErrorText(t *testing.T) {
	var e errorText
	e.add([]byte(" PHP message:\n\x1b[31mred\x00 "))
	if got, want := e.text(), "PHP message:  [31mred"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	for range 100 {
		e.add([]byte(strings.Repeat("x", 1000)))
	}
	if len(e.kept) != maxErrorText || e.total < 100_000 {
		t.Errorf("%d bytes kept of %d", len(e.kept), e.total)
	}
	e.reset()
	e.add([]byte("\xff\xfe"))
	if got := e.text(); got != "\ufffd\ufffd" {
		t.Errorf("what is no text = %q", got)
	}
}
