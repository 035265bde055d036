package web

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/config"
)

// tree writes files: a name that ends in a slash is a directory, "a -> b" is a symbolic link.
func tree(t testing.TB, root string, names ...string) {
	t.Helper()
	for _, n := range names {
		name, to, link := strings.Cut(n, " -> ")
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case link:
			err = os.Symlink(to, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte("content of "+name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// filesSite is a site of files alone, or with a pool.
func filesSite(root, pool, more string) string {
	s := "http \"site\" {\n listen = \"127.0.0.1:0\"\n"
	if pool != "" {
		s = pool + s + " pool = pool.app\n"
	}
	return s + fmt.Sprintf(" files {\n root = %q\n%s\n }\n}\n", root, more)
}

// get asks for a path on a connection of its own and says "status body" or "status -> location".
func (s *service) get(t testing.TB, method, path string) string {
	t.Helper()
	c, r := s.dial(here)
	defer c.Close()
	a, body, err := ask(t, c, r, method, method+" "+path+" HTTP/1.1\nHost: h\nContent-Length: 0\nConnection: close\n\n")
	if err != nil {
		return "error: " + err.Error()
	}
	if to := a.Header.Get("Location"); to != "" {
		return fmt.Sprintf("%d -> %s", a.StatusCode, to)
	}
	if a.StatusCode != 200 {
		return fmt.Sprint(a.StatusCode)
	}
	return fmt.Sprintf("200 %s", strings.TrimPrefix(body, "content of "))
}

// What a visitor can reach of a directory, and above all what he cannot. Scripts are never shown: the site here has no pool, so
// that one that is found is a 404.
func TestFilesPaths(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "public")
	tree(t, base, "secret.txt", "public/index.html", "public/a.txt", "public/dir/index.html", "public/empty/", "public/sub/b.txt",
		"public/index.php", "public/admin/index.php", "public/INDEX2.PHP", "public/old.php~", "public/old.php.", "public/old.php ", "public/x.phtml", "public/p.php.txt",
		"public/.env", "public/.git/config", "public/.well-known/security.txt", "public/.well-known/.hidden", "public/sub/.well-known/x",
		"public/sp ace.txt", "public/caf\xc3\xa9.txt", "public/per%cent.txt", "public/a\\b.txt", "public/q?.txt", "public/..odd", "public/odd..",
		"public/page.html", "storage/app/public/photo.jpg", "public/storage -> ../storage/app/public", "public/loop -> loop", "public/dead -> nowhere",
		"public/dir.php/file.txt", "public/proc -> /proc/self")
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := serveFile(t, false, filesSite(root, phpPool("127.0.0.1:1"), `try = ["{path}", "{path}/", "{path}.html"]`))
	plain := serveFile(t, false, filesSite(root, "", ""))
	for _, c := range []struct{ path, want string }{
		{"/", "404"}, // index.php would be first, but nobody can run it: 502 below
		{"/a.txt", "200 public/a.txt"},
		{"/a.txt?x=y", "200 public/a.txt"},
		{"/a%2Etxt", "200 public/a.txt"},
		{"/%61.txt", "200 public/a.txt"},
		{"/sub/../a.txt", "200 public/a.txt"},
		{"//a.txt", "200 public/a.txt"},
		{"/sub//b.txt", "200 public/sub/b.txt"},
		{"/sp%20ace.txt", "200 public/sp ace.txt"},
		{"/caf%C3%A9.txt", "200 public/caf\xc3\xa9.txt"},
		{"/per%25cent.txt", "200 public/per%cent.txt"},
		{"/a%5Cb.txt", "200 public/a\\b.txt"},
		{"/q%3F.txt", "200 public/q?.txt"},
		{"/page", "200 public/page.html"},
		{"/storage/photo.jpg", "200 storage/app/public/photo.jpg"}, // a link of the owner's may lead out
		{"/p.php.txt", "200 public/p.php.txt"},
		{"/dir.php/file.txt", "200 public/dir.php/file.txt"},
		{"/odd..", "200 public/odd.."},
		{"/dir", "301 -> /dir/"},
		{"/dir?a=b", "301 -> /dir/?a=b"},
		{"//dir", "301 -> /dir/"}, // never //dir/, which names a host
		{"/dir/", "200 public/dir/index.html"},

		// Out of the root.
		{"/../secret.txt", "400"},
		{"/sub/../../secret.txt", "400"},
		{"/%2e%2e/secret.txt", "400"},
		{"/%2e%2e%2fsecret.txt", "404"},
		{"/..%2fsecret.txt", "404"},
		{"/sub/..%2f..%2fsecret.txt", "404"},
		{"/..%5csecret.txt", "404"},
		{"/..\\secret.txt", "400"},
		{"/%252e%252e/secret.txt", "404"},
		{"/storage/../../secret.txt", "400"},
		{"/storage/..%2f..%2f..%2fsecret.txt", "404"},
		{"/%c0%ae%c0%ae/secret.txt", "404"},
		{"/sub%2fb.txt", "404"},
		{"/a.txt%00", "400"},
		{"/a.txt%0a", "404"},
		{"/a.txt%7f", "404"},
		{"/proc/environ%00", "400"},

		// Files are no directories, and a slash never names a file.
		{"/a.txt/", "404"},
		{"/a.txt/b", "404"},
		{"/a.txt/index.php", "404"},
		{"/empty", "404"},
		{"/empty/", "404"},
		{"/pipe", "404"},
		{"/loop", "404"},
		{"/dead", "404"},
		{"/missing", "404"},
		{"/" + strings.Repeat("x", 3000), "404"},
		{"/" + strings.Repeat("d/", 2000), "404"},

		// Hidden.
		{"/.env", "404"},
		{"/%2eenv", "404"},
		{"/.git/config", "404"},
		{"/sub/../.git/config", "404"},
		{"/..odd", "404"},
		{"/.well-known/security.txt", "200 public/.well-known/security.txt"},
		{"/.well-known/.hidden", "404"},
		{"/sub/.well-known/x", "404"},

		// Scripts' sources.
		{"/INDEX2.PHP", "404"},
		{"/old.php~", "404"},
		{"/old.php.", "404"},
		{"/old.php%20", "404"},
		{"/old.php%2e", "404"},
		{"/x.phtml", "404"},
		{"/index.ph%70.", "404"},
		{"/index.php%00.txt", "400"},
		{"/index.php::$DATA", "404"},
		{"/index.php%3a%3a$DATA", "404"},
		{"/missing.php", "404"},
		{"/a.txt/x.php", "404"},
		{"/storage/photo.jpg/x.php", "404"},
		{"/sub/index.php", "404"},
		{"/.git/x.php", "404"},

		// Scripts: nobody can run them here.
		{"/index.php", "502"},
		{"/%69ndex.php", "502"},
		{"/index.php/", "502"},
		{"/index.php/a/b", "502"},
		{"/index.php/../index.php/x", "502"},
		{"/index.php?x", "502"},
		{"/index.php%2f", "502"}, // what follows a script's name is the script's business
		{"/admin/", "502"},
		{"/admin", "301 -> /admin/"},
	} {
		want := c.want
		if c.path == "/" {
			want = "502"
		}
		if got := s.get(t, "GET", c.path); got != want {
			t.Errorf("GET %.60s = %.80s, want %s", c.path, got, want)
		}
		if strings.Contains(c.path, "php") || strings.Contains(c.path, "admin") || c.path == "/page" || c.path == "/" || strings.Contains(c.path, "phtml") || strings.Contains(c.path, "PHP") {
			continue
		}
		if got := plain.get(t, "GET", c.path); got != c.want { // without a pool nothing else is different
			t.Errorf("without a pool: GET %.60s = %.80s, want %s", c.path, got, c.want)
		}
	}
	if got, want := plain.get(t, "GET", "/"), "200 public/index.html"; got != want {
		t.Errorf("without a pool: GET / = %s, want %s", got, want)
	}
}

func phpPool(addr string) string {
	return fmt.Sprintf("pool \"app\" {\n servers = [%q]\n protocol = \"fastcgi\"\n}\n", addr)
}

func TestFilesMethods(t *testing.T) {
	root := t.TempDir()
	tree(t, root, "a.txt", "dir/index.html")
	s := serveFile(t, false, filesSite(root, "", ""))
	app := serveFile(t, false, filesSite(root, fmt.Sprintf("pool \"app\" {\n servers = [%q]\n}\n", origin(t, always(hello))), ""))
	for _, c := range []struct{ method, path, alone, pooled string }{
		{"GET", "/a.txt", "200 a.txt", "200 a.txt"},
		{"HEAD", "/a.txt", "200 ", "200 "},
		{"POST", "/a.txt", "405", "200 hello"},
		{"DELETE", "/a.txt", "405", "200 hello"},
		{"OPTIONS", "/a.txt", "405", "200 hello"},
		{"POST", "/dir", "308 -> /dir/", "308 -> /dir/"},
		{"POST", "/none", "404", "200 hello"},
		{"GET", "/none", "404", "200 hello"},
	} {
		if got := s.get(t, c.method, c.path); got != c.alone {
			t.Errorf("%s %s = %s, want %s", c.method, c.path, got, c.alone)
		}
		if got := app.get(t, c.method, c.path); got != c.pooled {
			t.Errorf("with a pool: %s %s = %s, want %s", c.method, c.path, got, c.pooled)
		}
	}
	c, r := s.dial(here)
	a, _, err := ask(t, c, r, "PUT", "PUT /a.txt HTTP/1.1\nHost: h\nContent-Length: 0\n\n")
	if err != nil || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow = %v, %v", a.Header, err)
	}
	app.balanced()
}

// A deploy switches a link: the next request sees the new release, on the same connection.
func TestFilesFollowTheRootsLink(t *testing.T) {
	base := t.TempDir()
	tree(t, base, "one/v.txt", "two/v.txt", "one/i.php", "two/i.php", "current -> one")
	s := serveFile(t, false, filesSite(filepath.Join(base, "current"), "", ""))
	c, r := s.dial(here)
	f := newFiles(&config.Files{Root: filepath.Join(base, "current"), Script: ".php"}, nil)
	for _, want := range []string{"one", "two", "one"} {
		next := filepath.Join(base, "next")
		if err := os.Symlink(want, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(base, "current")); err != nil {
			t.Fatal(err)
		}
		if _, body, err := ask(t, c, r, "GET", "GET /v.txt HTTP/1.1\nHost: h\n\n"); err != nil || body != "content of "+want+"/v.txt" {
			t.Errorf("after the switch to %s: %q, %v", want, body, err)
		}
		real, _ := filepath.EvalSymlinks(filepath.Join(base, want))
		if got := f.realRoot(); got != real {
			t.Errorf("after the switch to %s the real root is %s", want, got)
		}
	}
	os.Remove(filepath.Join(base, "current"))
	if got := s.get(t, "GET", "/v.txt"); got != "404" {
		t.Errorf("without a root: %s", got)
	}
	if got := f.realRoot(); got != "" {
		t.Errorf("without a root the real root is %s", got)
	}
}

// Preconditions and ranges as net/http's ServeContent has them, which follows RFC 9110 as well.
func TestFilesAgainstServeContent(t *testing.T) {
	root := t.TempDir()
	data := []byte(strings.Repeat("0123456789", 10))
	path := filepath.Join(root, "a.txt")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	mtime := time.Date(2026, 5, 17, 10, 30, 20, 123456789, time.UTC)
	if err := os.Chtimes(path, mtime, mtime); err != nil {
		t.Fatal(err)
	}
	s := serveFile(t, false, filesSite(root, "", ""))
	c, r := s.dial(here)
	a, _, err := ask(t, c, r, "HEAD", "HEAD /a.txt HTTP/1.1\nHost: h\n\n")
	if err != nil {
		t.Fatal(err)
	}
	tag, at := a.Header.Get("ETag"), a.Header.Get("Last-Modified")
	before, after := mtime.Add(-time.Hour).Format(http.TimeFormat), mtime.Add(time.Hour).Format(http.TimeFormat)
	if at != mtime.Format(http.TimeFormat) || len(tag) < 10 || tag[0] != '"' {
		t.Fatalf("Last-Modified %s, ETag %s", at, tag)
	}
	var cases [][]string
	for _, m := range []string{"", "If-Match: " + tag, "If-Match: *", "If-Match: \"x\"", "If-Match: W/" + tag, "If-Match: \"x\", " + tag} {
		for _, u := range []string{"", "If-Unmodified-Since: " + at, "If-Unmodified-Since: " + before, "If-Unmodified-Since: nonsense"} {
			for _, n := range []string{"", "If-None-Match: " + tag, "If-None-Match: W/" + tag, "If-None-Match: *", "If-None-Match: \"x\"", "If-None-Match: \"x\",W/\"y\" ," + tag, "If-None-Match: x"} {
				for _, s := range []string{"", "If-Modified-Since: " + at, "If-Modified-Since: " + before, "If-Modified-Since: " + after, "If-Modified-Since: Sunday"} {
					cases = append(cases, []string{m, u, n, s})
				}
			}
		}
	}
	for _, rg := range []string{
		"0-0", "0-", "5-9", "-1", "-5", "-100", "-200", "-0", "99-", "99-99", "100-", "100-200", "50-500", "9-5", "a-b", "-", "", "5", "0-0,", ",0-0", "0-0, 9-9", "0-0,5-5,-1",
		"0-9,100-", "100-,200-", "0-99,0-99", "0-50,40-99", "1-2-3", "+1-2", " 1-2", "1 - 2", "0-0,1-1,2-2,3-3,4-4,5-5", "99999999999999999999-", "0-99999999999999999999",
	} {
		for _, ir := range []string{"", "If-Range: " + tag, "If-Range: W/" + tag, "If-Range: \"x\"", "If-Range: " + at, "If-Range: " + before, "If-Range: " + after} {
			cases = append(cases, []string{"Range: bytes=" + rg, ir})
		}
	}
	cases = append(cases, []string{"Range: lines=1-2"}, []string{"Range: bytes 1-2"}, []string{"Range: bytes=1-2", "If-None-Match: " + tag}, []string{"Range: bytes=1-2", "If-Match: \"x\""})
	// Where we differ, and why.
	differs := map[string]int{
		"lines=1-2": 200, "bytes 1-2": 200, // RFC 9110 section 14.2: other units must be ignored
		"bytes=-0":                     416, // section 14.1.2: a suffix of no bytes cannot be satisfied
		"bytes=99999999999999999999-":  416,
		"bytes=0-99999999999999999999": 206, // a number is a number, however large
	}
	for _, v := range []string{"9-5", "a-b", "-", "5", "1-2-3", "+1-2", "1 - 2"} {
		differs["bytes="+v] = 200 // section 14.2: what is no range may be ignored or refused; some of these net/http even takes
	}
	for _, lines := range cases {
		for _, method := range []string{"GET", "HEAD"} {
			raw, req := method+" /a.txt HTTP/1.1\nHost: h\n", httptest.NewRequest(method, "/a.txt", nil)
			for _, l := range lines {
				if l != "" {
					raw += l + "\n"
					name, value, _ := strings.Cut(l, ": ")
					req.Header.Add(name, value)
				}
			}
			got, body, err := ask(t, c, r, method, raw+"\n")
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			w.Header().Set("ETag", tag)
			http.ServeContent(w, req, "a.txt", mtime, bytes.NewReader(data))
			want := w.Result()
			if method == "HEAD" && req.Header.Get("Range") != "" && (want.StatusCode == 206 || want.StatusCode == 416) {
				continue // RFC 9110 section 14.2: Range is defined for GET alone
			}
			if status, ok := differs[req.Header.Get("Range")]; ok && method == "GET" && (want.StatusCode == 416 || want.StatusCode == 206) {
				if got.StatusCode != status {
					t.Errorf("%q = %s, want %d", lines, got.Status, status)
				}
				continue
			}
			diff := cmp.Diff(shape(want, w.Body.String()), shape(got, body))
			if diff != "" {
				t.Errorf("%s%q (-net/http +skein):\n%s", method, lines, diff)
			}
		}
	}
}

// shape is what must agree of two answers.
func shape(a *http.Response, body string) map[string]string {
	m := map[string]string{"status": a.Status[:3]}
	if a.StatusCode >= 400 {
		if a.StatusCode == 416 {
			m["range"] = a.Header.Get("Content-Range")
		}
		return m
	}
	m["etag"], m["modified"], m["range"] = a.Header.Get("ETag"), a.Header.Get("Last-Modified"), a.Header.Get("Content-Range")
	if a.StatusCode == 304 {
		m["modified"] = "" // net/http leaves it out beside an ETag
	}
	kind, params, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	m["type"] = kind
	if kind == "multipart/byteranges" {
		parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
		for i := 0; ; i++ {
			p, err := parts.NextPart()
			if err != nil {
				if err != io.EOF {
					m["parts"] = err.Error()
				}
				return m
			}
			b, _ := io.ReadAll(p)
			m[fmt.Sprint("part", i)] = fmt.Sprint(p.Header.Get("Content-Type"), p.Header.Get("Content-Range"), string(b))
		}
	}
	m["body"] = body
	return m
}

func TestRangesAreBounded(t *testing.T) {
	many := "bytes=" + strings.Repeat("0-0,", maxRanges) + "1-1"
	if _, ok := parseRanges(nil, []byte(many), 1000); ok {
		t.Errorf("%d ranges are taken", maxRanges+1)
	}
	if got, ok := parseRanges(nil, []byte("bytes="+strings.Repeat("0-0,", maxRanges-1)+"1-1"), 1000); !ok || len(got) != maxRanges {
		t.Errorf("%d ranges are not taken: %v", maxRanges, got)
	}
	if _, ok := parseRanges(nil, []byte("bytes=0-"), 0); ok {
		t.Error("a range of an empty file is taken")
	}
}

// Files of every size around the buffers, whole and in part, over the fast and the plain path, on one connection.
func TestFileSizes(t *testing.T) {
	root := t.TempDir()
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * 31 >> 3)
	}
	sizes := []int{0, 1, flushAt - 1<<10 - 1, flushAt - 1<<10, flushAt - 1<<10 + 1, flushAt, 2 * flushAt, 100_000, 1 << 20, len(data)}
	for _, n := range sizes {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprint(n)), data[:n], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, filesSite(root, "", ""))
		c, r := s.dial(here)
		for _, n := range sizes {
			a, body, err := ask(t, c, r, "GET", fmt.Sprintf("GET /%d HTTP/1.1\nHost: h\n\n", n))
			if err != nil || a.StatusCode != 200 || body != string(data[:n]) {
				t.Fatalf("%d bytes = %v, %d bytes, %v", n, a.Status, len(body), err)
			}
			if n < 10 {
				continue
			}
			a, body, err = ask(t, c, r, "GET", fmt.Sprintf("GET /%d HTTP/1.1\nHost: h\nRange: bytes=7-%d\n\n", n, n-2))
			if err != nil || a.StatusCode != 206 || body != string(data[7:n-1]) {
				t.Fatalf("a part of %d bytes = %v, %d bytes, %v", n, a.Status, len(body), err)
			}
		}
		before := openFiles(t)
		for range 20 {
			_, _, _ = ask(t, c, r, "GET", "GET /1 HTTP/1.1\nHost: h\n\n")
			_, _, _ = ask(t, c, r, "GET", "GET /1 HTTP/1.1\nHost: h\nIf-Match: \"x\"\n\n")
			_, _, _ = ask(t, c, r, "POST", "POST /1 HTTP/1.1\nHost: h\nContent-Length: 0\n\n")
		}
		if n := openFiles(t); n > before+1 {
			t.Errorf("%d descriptors, %d before", n, before)
		}
		if got := s.Status().Sites[0].Sent; got < uint64(len(data)) {
			t.Errorf("%d bytes counted", got)
		}
	})
}

// A file that gets shorter while it is sent must not look complete.
func TestFileIsCutShort(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	if err := os.WriteFile(path, make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, plain bool) {
		if err := os.Truncate(path, 64<<20); err != nil {
			t.Fatal(err)
		}
		s := serveFile(t, plain, filesSite(root, "", ""))
		c, r := s.dial(here)
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		fmt.Fprint(c, "GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, a.Body); err == nil {
			t.Errorf("%d bytes without an error", n)
		}
		s.balanced()
	})
}

func TestCompressedSiblings(t *testing.T) {
	root := t.TempDir()
	tree(t, root, "a.css", "a.css.br", "a.css.gz", "b.css", "b.css.gz", "c.png", "c.png.br", "plain.css")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(root, "b.css.gz"), old, old); err != nil {
		t.Fatal(err)
	}
	s := serveFile(t, false, filesSite(root, "", "}\n compress {\n"))
	for _, c := range []struct{ path, accept, coding, vary, body string }{
		{"/a.css", "", "", "Accept-Encoding", "a.css"},
		{"/a.css", "gzip, br", "br", "Accept-Encoding", "a.css.br"},
		{"/a.css", "gzip", "gzip", "Accept-Encoding", "a.css.gz"},
		{"/a.css", "gzip;q=0", "", "Accept-Encoding", "a.css"},
		{"/a.css", "gzip;q=0.5, br;q=0.000", "gzip", "Accept-Encoding", "a.css.gz"},
		{"/c.png", "br", "", "", "c.png"},
	} {
		cc, r := s.dial(here)
		a, body, err := ask(t, cc, r, "GET", "GET "+c.path+" HTTP/1.1\nHost: h\nAccept-Encoding: "+c.accept+"\n\n")
		if err != nil || body != "content of "+c.body || a.Header.Get("Content-Encoding") != c.coding || a.Header.Get("Vary") != c.vary {
			t.Errorf("%+v = %q %v %v", c, body, a.Header, err)
		}
		again, _, err := ask(t, cc, r, "GET", "GET "+c.path+" HTTP/1.1\nHost: h\nAccept-Encoding: "+c.accept+"\nIf-None-Match: "+a.Header.Get("ETag")+"\n\n")
		if err != nil || again.StatusCode != 304 {
			t.Errorf("%+v again = %v, %v", c, again.StatusCode, err)
		}
	}
	cc, r := s.dial(here)
	a, body, err := ask(t, cc, r, "GET", "GET /b.css HTTP/1.1\nHost: h\nAccept-Encoding: gzip\n\n")
	if err != nil || body == "content of b.css.gz" || a.StatusCode != 200 {
		t.Errorf("a sibling older than the file = %q, %v, %v", body, a.Header, err)
	}
}

func BenchmarkSmallFile(b *testing.B) {
	root := b.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.css"), bytes.Repeat([]byte("a"), 1000), 0o644); err != nil {
		b.Fatal(err)
	}
	s := serveFile(b, false, filesSite(root, "", ""))
	c, r := s.dial(here)
	raw := []byte("GET /a.css HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: b\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(raw); err != nil {
			b.Fatal(err)
		}
		if _, err := readHead(r, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Discard(1000); err != nil {
			b.Fatal(err)
		}
	}
}
