package php

import (
	"fmt"
	"testing"

	"skein/test/harness"
)

// wordpress is a tree of scripts with a front controller for all else.
func wordpress(t testing.TB) (root string) {
	t.Helper()
	root = t.TempDir()
	show := `<?php echo basename(__DIR__), '/', basename(__FILE__), ' ', $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'] ?? '-', ' ', $_SERVER['PHP_SELF'];`
	write(t, root, map[string]string{
		"index.php":                     `<?php echo 'front ', $_SERVER['REQUEST_URI'], ' ', $_SERVER['PATH_INFO'] ?? '-';`,
		"wp-login.php":                  show,
		"wp-admin/index.php":            show,
		"wp-admin/admin-ajax.php":       show,
		"wp-admin/css/common.css":       "css",
		"wp-includes/version.php":       `<?php $secret = 'source';`,
		"wp-content/uploads/photo.jpg":  `<?php echo 'an upload was run';`,
		"wp-content/uploads/index.html": "",
		"wp-config.php":                 `<?php $password = 'source';`,
		"wp-config.php.bak":             "a copy",
		"wp-config.PHP":                 `<?php $password = 'source';`,
		"wp-config.php~":                `<?php $password = 'source';`,
		"readme.html":                   "readme",
	})
	return root
}

func TestWordPress(t *testing.T) {
	networks(t, func(t *testing.T, network string, opts ...harness.Option) {
		root := wordpress(t)
		s := newSite(t, newFPM(t, network, ""), root, "keepalive = 2", "", opts...)
		for _, c := range []struct {
			method, path string
			status       int
			want         string
		}{
			{"GET", "/", 200, "front / -"},
			{"GET", "/2026/05/hello-world/", 200, "front /2026/05/hello-world/ -"},
			{"GET", "/?p=1", 200, "front /?p=1 -"},
			{"GET", "/index.php/2026/hello", 200, "front /index.php/2026/hello /2026/hello"},
			{"GET", "/index.php/", 200, "front /index.php/ /"},
			{"GET", "/wp-login.php", 200, "wp-login.php"},
			{"POST", "/wp-login.php?action=x", 200, "wp-login.php"},
			{"GET", "/wp-admin/", 200, "wp-admin/index.php /wp-admin/index.php - /wp-admin/index.php"},
			{"GET", "/wp-admin/admin-ajax.php/a/b.php", 200, "wp-admin/admin-ajax.php /wp-admin/admin-ajax.php /a/b.php /wp-admin/admin-ajax.php/a/b.php"},
			{"GET", "/wp-admin/css/common.css", 200, "css"},
			{"GET", "/readme.html", 200, "readme"},
			{"GET", "/wp-includes/version.php", 200, ""},
			{"GET", "/wp-config.php", 200, ""},
			// The classic hole of nginx before PHP: the upload must not run, nor may what is no script be run by a path behind it.
			{"GET", "/wp-content/uploads/photo.jpg", 200, "<?php echo 'an upload was run';"},
			{"GET", "/wp-content/uploads/photo.jpg/x.php", 200, "front /wp-content/uploads/photo.jpg/x.php -"},
			{"GET", "/wp-content/uploads/photo.jpg%00x.php", 400, "Bad Request: NUL in the path\n"},
			{"GET", "/wp-content/uploads/photo.jpg%0ax.php", 200, "front /wp-content/uploads/photo.jpg%0Ax.php -"},
			// Names that are nearly scripts' are nobody's file.
			{"GET", "/wp-config.PHP", 200, "front /wp-config.PHP -"},
			{"GET", "/wp-config.php~", 200, "front /wp-config.php~ -"},
			{"GET", "/wp-config.php.", 200, "front /wp-config.php. -"},
			{"GET", "/missing.php", 200, "front /missing.php -"},
			{"GET", "/wp-content/missing.php/x", 200, "front /wp-content/missing.php/x -"},
		} {
			a := s.do(c.method, c.path, nil)
			if c.want == "wp-login.php" { // its directory has a random name
				if a.StatusCode != 200 || len(a.Body) < 20 || a.Body[len(a.Body)-len("wp-login.php /wp-login.php - /wp-login.php"):] != "wp-login.php /wp-login.php - /wp-login.php" {
					t.Errorf("%s %s = %d %q", c.method, c.path, a.StatusCode, a.Body)
				}
				continue
			}
			if a.StatusCode != c.status || a.Body != c.want {
				t.Errorf("%s %s = %d %q, want %d %q", c.method, c.path, a.StatusCode, a.Body, c.status, c.want)
			}
		}
		if a := s.do("GET", "/wp-admin?x=y", nil); a.StatusCode != 301 || a.Header.Get("Location") != "/wp-admin/?x=y" {
			t.Errorf("GET /wp-admin = %d %v", a.StatusCode, a.Header)
		}
	})
}

// The route of the manual under which nothing runs: an uploaded script is a file like any other.
func TestUploadsDoNotRun(t *testing.T) {
	t.Parallel()
	root := wordpress(t)
	evil := `<?php echo 'an upload was run';`
	write(t, root, map[string]string{"wp-content/uploads/evil.php": evil})
	f := newFPM(t, "unix", "")
	s := newSite(t, f, root, "", "")
	s.expect("GET", "/wp-content/uploads/evil.php", nil, 200, "an upload was run")
	s.Reload(config(s.addr, f.Server, root, "", fmt.Sprintf(`}
  route "/wp-content/uploads" {
    strip = "/wp-content/uploads"
    files {
      root   = "%s/wp-content/uploads"
      try    = ["{path}", "=404"]
      script = ".never"
    }
`, root)))
	s.expect("GET", "/wp-content/uploads/evil.php", nil, 200, evil)
	s.expect("GET", "/wp-content/uploads/photo.jpg", nil, 200, evil)
	s.expect("GET", "/wp-content/uploads/none.php", nil, 404, "Not Found: there is no such file\n")
	s.expect("GET", "/wp-content/uploads/evil.php/x", nil, 404, "Not Found: there is no such file\n")
	s.expect("GET", "/", nil, 200, "front / -")
}
