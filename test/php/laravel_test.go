package php

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/test/harness"
)

// laravel is a program with a front controller and what belongs beside it.
func laravel(t testing.TB) (base string) {
	t.Helper()
	base = t.TempDir()
	release := filepath.Join(base, "releases/1")
	write(t, release, map[string]string{
		"public/index.php":       front,
		"public/css/app.css":     "body { color: black }\n",
		"public/build/app.js":    strings.Repeat("console.log(1);\n", 5000),
		"public/robots.txt":      "User-agent: *\n",
		"public/.htaccess":       "Deny from all\n",
		"storage/app/public/a b": "a photo",
		".env":                   "APP_KEY=secret\n",
	})
	for link, to := range map[string]string{
		filepath.Join(release, "public/storage"): "../storage/app/public",
		filepath.Join(base, "current"):           "releases/1",
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

const front = `<?php
$path = rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
switch ($path) {
case '/': echo 'home'; break;
case '/env': header('Content-Type: application/json'); echo json_encode($_SERVER); break;
case '/session': session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; break;
case '/login':
  setcookie('a', '1'); setcookie('b', '2');
  header('Location: /dashboard'); break;
case '/form': echo json_encode($_POST); break;
case '/files':
  foreach ($_FILES as $name => $f) { echo $name, ' ', $f['name'], ' ', $f['size'], ' ', sha1_file($f['tmp_name']), "\n"; }
  break;
case '/input': echo $_SERVER['CONTENT_LENGTH'], ' ', strlen_of('php://input'); break;
case '/etag':
  header('ETag: "v1"');
  if (($_SERVER['HTTP_IF_NONE_MATCH'] ?? '') === '"v1"') { http_response_code(304); } else { echo 'fresh'; }
  break;
case '/pid': echo getmypid(); break;
case '/slow': usleep(300000); echo 'slow'; break;
case '/dies': echo str_repeat('x', 100000); flush(); posix_kill(getmypid(), 9); break;
case '/dies-at-once': posix_kill(getmypid(), 9); break;
case '/stderr': error_log("line one\nline \x1b[31mtwo"); echo 'ok'; break;
case '/much-stderr': for ($i = 0; $i < 200; $i++) { error_log(str_repeat('e', 1000)); } echo 'ok'; break;
case '/fatal': this_does_not_exist(); break;
case '/headers': for ($i = 0; $i < 60; $i++) { header("X-Large-$i: " . str_repeat('h', 500)); } echo 'ok'; break;
case '/huge-headers': for ($i = 0; $i < 100; $i++) { header("X-Large-$i: " . str_repeat('h', 5000)); } echo 'ok'; break;
case '/download': header('Content-Length: 10000000'); for ($i = 0; $i < 1000; $i++) { echo str_repeat(chr(97 + $i % 26), 10000); } break;
case '/teapot': header('X-Reason: yes', true, 418); echo 'short and stout'; break;
case '/finish': echo 'done'; fastcgi_finish_request(); usleep(500000); break;
case '/release': echo __FILE__; break;
default: http_response_code(404); echo 'no route for ', $path;
}
function strlen_of($file) {
  $h = hash_init('sha1'); $n = 0; $f = fopen($file, 'rb');
  while (($s = fread($f, 1 << 16)) !== '' && $s !== false) { $n += strlen($s); hash_update($h, $s); }
  return $n . ' ' . hash_final($h);
}
`

// networks runs a test with php-fpm on either kind of socket, and skein on either path.
func networks(t *testing.T, test func(t *testing.T, network string, opts ...harness.Option)) {
	t.Parallel()
	t.Run("unix", func(t *testing.T) { test(t, "unix") })
	t.Run("tcp", func(t *testing.T) { test(t, "tcp") })
	t.Run("plain", func(t *testing.T) { test(t, "unix", harness.Plain()) })
}

func TestLaravel(t *testing.T) {
	networks(t, func(t *testing.T, network string, opts ...harness.Option) {
		base := laravel(t)
		s := newSite(t, newFPM(t, network, ""), filepath.Join(base, "current/public"), "", `params = { APP_ENV = "testing" }`, opts...)
		s.expect("GET", "/", nil, 200, "home")
		s.expect("GET", "/index.php", nil, 404, "no route for /index.php")
		s.expect("GET", "/orders/42", nil, 404, "no route for /orders/42")
		s.expect("GET", "/orders/", nil, 404, "no route for /orders/")
		s.expect("GET", "/caf%C3%A9", nil, 404, "no route for /café")
		s.expect("GET", "/teapot", nil, 418, "short and stout")
		s.expect("GET", "/finish", nil, 200, "done")

		// Files beside it.
		css := s.expect("GET", "/css/app.css", nil, 200, "body { color: black }\n")
		if got := css.Header.Get("Content-Type"); got != "text/css; charset=utf-8" {
			t.Errorf("a style sheet is %q", got)
		}
		s.expect("GET", "/storage/a%20b", nil, 200, "a photo")
		s.expect("GET", "/css/app.css", nil, 304, "", "If-None-Match: "+css.Header.Get("ETag"))
		s.expect("GET", "/robots.txt", nil, 206, "User", "Range: bytes=0-3")
		s.expect("HEAD", "/robots.txt", nil, 200, "")
		s.expect("POST", "/robots.txt", strings.NewReader("x"), 405, "Method Not Allowed: a file can only be read\n")
		for _, hidden := range []string{"/.htaccess", "/.env", "/css/../../.env", "/..%2f.env", "/css"} {
			if a := s.do("GET", hidden, nil); strings.Contains(a.Body, "secret") || strings.Contains(a.Body, "Deny") || a.StatusCode/100 == 2 {
				t.Errorf("GET %s = %d %q", hidden, a.StatusCode, a.Body)
			}
		}

		// The program's own answers.
		if a := s.do("POST", "/login", strings.NewReader("x=1")); a.StatusCode != 302 || a.Header.Get("Location") != "/dashboard" ||
			len(a.Header.Values("Set-Cookie")) != 2 {
			t.Errorf("login = %d %v", a.StatusCode, a.Header)
		}
		s.expect("HEAD", "/", nil, 200, "")
		s.expect("GET", "/etag", nil, 200, "fresh")
		s.expect("GET", "/etag", nil, 304, "", `If-None-Match: "v1"`)
		s.expect("POST", "/form", strings.NewReader(url.Values{"a b": {"c&d"}}.Encode()), 200, `{"a_b":"c&d"}`, "Content-Type: application/x-www-form-urlencoded")
		first := s.expect("GET", "/session", nil, 200, "1")
		cookie, _, _ := strings.Cut(first.Header.Get("Set-Cookie"), ";")
		for n := 2; n < 5; n++ {
			s.expect("GET", "/session", nil, 200, fmt.Sprint(n), "Cookie: "+cookie)
		}
		if a := s.do("GET", "/download", nil); len(a.Body) != 10_000_000 || a.ContentLength != 10_000_000 {
			t.Errorf("a download has %d bytes, length %d", len(a.Body), a.ContentLength)
		}
		if a := s.do("GET", "/headers", nil); a.Body != "ok" || len(a.Header.Get("X-Large-59")) != 500 {
			t.Errorf("large headers = %d %q", a.StatusCode, a.Body)
		}
		if a := s.do("GET", "/huge-headers", nil); a.StatusCode != 502 {
			t.Errorf("500 KB of headers = %d", a.StatusCode)
		}
		if a := s.do("GET", "/fatal", nil); a.StatusCode != 500 {
			t.Errorf("a fatal error = %d", a.StatusCode)
		}

		var env map[string]any
		if err := json.Unmarshal([]byte(s.do("GET", "/env?x=%20y", nil, "X-Forwarded-For: 6.6.6.6", "Proxy: http://evil/").Body), &env); err != nil {
			t.Fatal(err)
		}
		real, _ := filepath.EvalSymlinks(filepath.Join(base, "current/public"))
		for name, want := range map[string]string{
			"REQUEST_URI": "/env?x=%20y", "QUERY_STRING": "x=%20y", "SCRIPT_NAME": "/index.php", "SCRIPT_FILENAME": real + "/index.php", "DOCUMENT_ROOT": real,
			"PHP_SELF": "/index.php", "SERVER_NAME": "app.test", "REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1", "APP_ENV": "testing",
		} {
			if env[name] != want {
				t.Errorf("%s = %q, want %q", name, env[name], want)
			}
		}
		if env["HTTP_PROXY"] != nil {
			t.Error("httpoxy: the script has HTTP_PROXY")
		}
	})
}

// A deploy: the link is switched under load, nobody sees an error, and the new release runs at once, for files and scripts.
func TestDeploy(t *testing.T) {
	t.Parallel()
	base := laravel(t)
	write(t, filepath.Join(base, "releases/2"), map[string]string{"public/index.php": front, "public/robots.txt": "two"})
	f := newFPM(t, "unix", "php_admin_value[opcache.enable] = 1")
	s := newSite(t, f, filepath.Join(base, "current/public"), "", "")
	load := harness.Visit(t, s.addr, 4, nil, "GET /release", "GET /robots.txt", "GET /")
	for i := range 20 {
		release := fmt.Sprintf("releases/%d", 2-i%2)
		next := filepath.Join(base, "next")
		if err := os.Symlink(release, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(base, "current")); err != nil {
			t.Fatal(err)
		}
		if a := s.do("GET", "/release", nil); !strings.Contains(a.Body, release+"/public/index.php") {
			t.Errorf("after the switch to %s runs %s", release, a.Body)
		}
	}
	load.More(50)
	load.Good("twenty deploys")
}

// Uploads as browsers send them, and as API clients do.
func TestUploadForms(t *testing.T) {
	t.Parallel()
	s := newSite(t, newFPM(t, "unix", ""), filepath.Join(laravel(t), "current/public"), "", "")
	content := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("photo", "a.jpg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("photo a.jpg %d %x\n", len(content), sha1.Sum(content))
	s.expect("POST", "/files", bytes.NewReader(form.Bytes()), 200, want, "Content-Type: "+m.FormDataContentType())
	// Of unknown length: net/http sends chunks for a reader that it does not know.
	s.expect("POST", "/files", struct{ *bytes.Buffer }{&form}, 200, want, "Content-Type: "+m.FormDataContentType())
	s.expect("PUT", "/input", strings.NewReader("hello"), 200, fmt.Sprintf("5 5 %x", sha1.Sum([]byte("hello"))))
}
