package php

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/test/harness"
)

// What nginx makes of honest paths with the usual configuration for PHP, skein must make of them, too; and what nginx refuses,
// skein never shows.
func TestAgainstNginx(t *testing.T) {
	t.Parallel()
	f := newFPM(t, "unix", "")
	root := wordpress(t)
	write(t, root, map[string]string{
		"sp ace.txt": "space", "caf\u00e9.txt": "coffee", "deep/er/x.css": "x", "index.html": "not this", ".env": "secret", ".well-known/x": "known",
		"only/index.html": "a page", "percent%41.txt": "percent",
	})
	n := harness.Nginx(t, fmt.Sprintf(`
    index index.php index.html;
    location / { root %[1]s; try_files $uri $uri/ /index.php; }
    location ~ /\.(?!well-known) { root %[1]s; try_files /nothing =404; }
    location ~ \.php(/|$) {
      root %[1]s;
      fastcgi_split_path_info ^(.+?\.php)(/.*)$;
      set $path_info $fastcgi_path_info; # which try_files forgets
      try_files $fastcgi_script_name /index.php;
      fastcgi_pass %[2]s;
      fastcgi_param PATH_INFO $path_info if_not_empty;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param CONTENT_TYPE $content_type;
    }
`, root, f.Server))
	s := newSite(t, f, root, "", "")
	for _, c := range []string{
		"GET /", "GET /readme.html", "HEAD /readme.html", "GET /readme.html?x=1", "POST /readme.html", "GET /sp%20ace.txt", "GET /caf%C3%A9.txt", "GET /percent%2541.txt",
		"GET /deep/er/x.css", "GET /deep//er/x.css", "GET //readme.html", "GET /deep/./er/../er/x.css", "GET /deep/er", "GET /only", "GET /only/", "GET /only?a=b",
		"GET /wp-admin", "GET /wp-admin/", "GET /wp-admin/index.php", "GET /wp-login.php", "GET /index.php/a/b", "GET /wp-admin/admin-ajax.php/x", "GET /missing",
		"GET /missing/", "GET /missing.php", "GET /readme.html/x", "GET /readme.html/", "GET /wp-content/uploads/photo.jpg", "GET /.env", "GET /.well-known/x", "GET /deep/.env",
		"GET /..%2fx", "GET /%2e%2e/x", "GET /readme.htm%6C", "POST /wp-login.php", "POST /missing",
	} {
		method, path, _ := strings.Cut(c, " ")
		ours, err := try(s.addr, method, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := try(n.Addr, method, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := essence(ours), essence(theirs); got != want {
			if why, ok := differs()[c]; !ok {
				t.Errorf("%s = %s, nginx %s", c, got, want)
			} else {
				t.Logf("%s = %s, nginx %s: %s", c, got, want, why)
			}
		}
	}
	// Preconditions and ranges of a file.
	a := s.do("GET", "/wp-content/uploads/photo.jpg", nil)
	if err := os.Chtimes(filepath.Join(root, "readme.html"), a.when(t), a.when(t)); err != nil {
		t.Fatal(err)
	}
	at := s.do("HEAD", "/readme.html", nil).Header.Get("Last-Modified")
	for _, lines := range [][]string{
		{"If-Modified-Since: " + at},
		{"If-Unmodified-Since: " + at},
		{"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"},
		{"If-None-Match: *"},
		{"If-Match: *"},
		{`If-Match: "x"`},
		{`If-None-Match: "x"`},
		{"Range: bytes=0-2"},
		{"Range: bytes=-2"},
		{"Range: bytes=2-"},
		{"Range: bytes=100-"},
		{"Range: bytes=0-1", "If-Range: " + at},
		{"Range: bytes=0-1", `If-Range: "x"`},
	} {
		ours, err := try(s.addr, "GET", "/readme.html", nil, lines...)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := try(n.Addr, "GET", "/readme.html", nil, lines...)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := essence(ours)+ours.Header.Get("Content-Range"), essence(theirs)+theirs.Header.Get("Content-Range"); got != want {
			t.Errorf("%q = %s, nginx %s", lines, got, want)
		}
	}
}

// differs says where we mean to differ from that configuration.
func differs() map[string]string {
	return map[string]string{
		"GET /deep/er":      "a directory without an index is the application's to answer, as its links may well be",
		"GET /readme.html/": "the same",
		"GET /.env":         "a hidden name is no file, so that the application is asked, which knows no such path either",
		"GET /deep/.env":    "the same",
		"GET /..%2fx":       "an escaped slash belongs to its segment and leads nowhere; the application is asked",
	}
}

// essence is what a visitor sees of an answer, if it is not an error's text.
func essence(a answer) string {
	switch {
	case a.StatusCode/100 == 3 && a.StatusCode != http.StatusNotModified:
		to := a.Header.Get("Location") // nginx writes the whole URL
		if _, rest, ok := strings.Cut(to, "://"); ok {
			_, rest, _ = strings.Cut(rest, "/")
			to = "/" + rest
		}
		return fmt.Sprintf("%d %s", a.StatusCode, to)
	case a.StatusCode >= 400:
		return fmt.Sprint(a.StatusCode)
	}
	return fmt.Sprintf("%d %q", a.StatusCode, a.Body)
}
