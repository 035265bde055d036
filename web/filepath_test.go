package web

import (
	"path/filepath"
	"strings"
	"testing"

	"skein/config"
)

// Whatever a visitor writes, a name that is opened lies below the root by its letters alone, and none of its parts is hidden.
func FuzzFileNames(f *testing.F) {
	for _, s := range []string{"/", "/a/b.txt", "/../x", "/a/%2e%2e/b", "/a%2f..%2fb", "/%252e", "/.well-known/x", "/.well-known/.x", "/a/.git", "/index.php/..", "/x.PHP", "//..//", "/..%5c", "/a..b"} {
		f.Add(s)
	}
	rules := &files{cfg: &config.Files{Script: ".php"}}
	f.Fuzz(func(t *testing.T, path string) {
		if !validPath(path) {
			return
		}
		normal, err := normalize([]byte(path))
		if err != nil {
			return
		}
		name, plain := decodePath(nil, normal)
		if plain < len(name) || rules.refuses(name) {
			return
		}
		clean := filepath.Clean("/root" + string(name))
		if clean != "/root" && !strings.HasPrefix(clean, "/root/") {
			t.Fatalf("%q names %q", path, clean)
		}
		if strings.Count(clean, "/") > strings.Count("/root"+string(name), "/") {
			t.Fatalf("%q names %q", path, clean)
		}
		for i, part := range strings.Split(strings.TrimPrefix(clean, "/root"), "/") {
			if strings.HasPrefix(part, ".") && (part != ".well-known" || i != 1) {
				t.Fatalf("%q names %q, which is hidden", path, clean)
			}
		}
		if strings.ContainsAny(string(name), "\x00\r\n\x1b") {
			t.Fatalf("%q names %q", path, name)
		}
		if strings.HasSuffix(strings.ToLower(clean), ".php") && !isSource(name, ".php") && name[len(name)-1] != '/' {
			t.Fatalf("%q would be shown", name)
		}
	})
}

func TestScriptEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		want int
	}{
		{"/index.php", 10},
		{"/index.php/a", 10},
		{"/a/b.php/c.php", 8},
		{"/.php", 0},
		{"/a/.php", 0},
		{"/index.phpx", 0},
		{"/index.php5/a.php", 17},
		{"/", 0},
		{"/x.phpx.php", 11},
		{"/x.PHP", 0},
		{"/a.php.txt", 0},
		{".php", 0},
		{"", 0},
	} {
		if got := scriptEnd([]byte(c.name), ".php", 0); got != c.want {
			t.Errorf("scriptEnd(%q) = %d, want %d", c.name, got, c.want)
		}
	}
}

func TestIsSource(t *testing.T) {
	for _, name := range []string{"/a.php", "/a.PHP", "/a.pHp.", "/a.php...", "/a.php ", "/a.php. .", "/a.php~", "/a.php::$DATA", "/a.phtml", "/a.PHT", "/a.php7", "/.php"} {
		if !isSource([]byte(name), ".php") {
			t.Errorf("%q would be shown", name)
		}
	}
	for _, name := range []string{"/a.txt", "/a.php.txt", "/php", "/a.phps", "/a.php/b.css", "/a.phar", "/", "/a.p", "/a."} {
		if isSource([]byte(name), ".php") {
			t.Errorf("%q would not be shown", name)
		}
	}
}
