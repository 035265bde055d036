package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse: no input panics or takes the stack, an error has a place and words, and what is laid out is the same file.
func FuzzParse(f *testing.F) {
	add := func(src []byte) {
		f.Add(src, false)
		f.Add(src, true)
	}
	files, _ := filepath.Glob("../examples/*.hcl")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(src)
	}
	golden, _ := filepath.Glob("testdata/errors/*.txtar")
	for _, file := range golden {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(a.Files[0].Data)
	}
	add([]byte(`{"http": {"a": {"listen": ":80", "servers": ["${server.a}"], "route": [{"/x": {}}]}}, "servers": {"a": "${env(\"X\")}"}}`))
	add([]byte(`{"servers": {"a": "10.0.0.1", "b": "10.0.0.2"}, "vip": {"v": {"address": ["10.0.0.9/24", "fd00::9"], "nodes": ["${server.a}", "${server.b}"],
		"interface": {"a": "eth0", "b": "eth1"}, "priorities": {"a": 255, "b": 40}, "check": {"c": {"command": ["/bin/true"]}}, "probe": {"rise": 1}}}}`))
	f.Fuzz(func(t *testing.T, src []byte, asJSON bool) {
		name := "a.hcl"
		if asJSON {
			name = "a.json"
		}
		o := Options{
			Policies: policies(), Node: "lb1", SecretDirs: []string{},
			Env:      func(n string) (string, bool) { return n, len(n) > 1 },
			ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
		}
		c, err := Parse(name, src, o)
		if (c == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", c, err)
		}
		checkProblems(t, name, err)
		if err == nil && (len(c.Hash) != 64 || c.Admin.Socket == "") {
			t.Errorf("incomplete: %+v", c)
		}
		if asJSON {
			return
		}
		laid, err := Format(name, src)
		checkProblems(t, name, err)
		if err != nil || c == nil {
			return
		}
		if _, err := Parse(name, laid, o); err != nil {
			t.Errorf("the file is good, but not after Format: %v", err)
		}
	})
}

func checkProblems(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var d *Diagnostics
	if !errors.As(err, &d) || len(d.Problems) == 0 {
		t.Fatalf("error is %T %v, want *Diagnostics with problems", err, err)
	}
	for _, p := range d.Problems {
		if p.File != name || p.Line < 1 || p.Column < 1 || p.Summary == "" || p.Detail == "" {
			t.Errorf("problem without place or words: %+v", p)
		}
	}
	if d.Error() == "" {
		t.Error("no text")
	}
}
