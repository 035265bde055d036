package config

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files and the tables of the reference anew")

// policies stands for the list of package policy, which is above this one.
func policies() []string {
	return []string{"round_robin", "least_conn", "random", "random_two", "least_time", "ip_hash", "hash", "maglev", "first"}
}

// testOptions reads files out of an archive, whose comment sets options: "node: lb1", "env: NAME=value", "all".
func testOptions(t *testing.T, a *txtar.Archive) (o Options, all bool) {
	t.Helper()
	env := map[string]string{}
	o = Options{
		Policies:   policies(),
		Env:        func(name string) (string, bool) { s, ok := env[name]; return s, ok },
		SecretDirs: []string{"testdata/secrets"},
		ReadFile: func(path string) ([]byte, error) {
			for _, f := range a.Files {
				if f.Name == path {
					return f.Data, nil
				}
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "node":
			o.Node = value
		case "hostname":
			o.Hostname = value
		case "addr":
			o.Addrs = append(o.Addrs, netip.MustParseAddr(value))
		case "env":
			name, v, _ := strings.Cut(value, "=")
			env[name] = v
		case "all":
			all = true
		case "", "#":
		default:
			if !strings.HasPrefix(line, "#") {
				t.Fatalf("unknown option %q", line)
			}
		}
	}
	return o, all
}

// TestErrors compares what is said about every kind of mistake with a golden text. The first file of an archive is the
// configuration; "want" is the error, or the warnings.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	// Modes do not survive a checkout.
	if err := os.Chmod("testdata/secrets/open", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"token", "lines", "long"} {
		if err := os.Chmod(filepath.Join("testdata/secrets", name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o, all := testOptions(t, a)
			got := errorText(t, a.Files[0].Name, o, all)
			if strings.Contains(got, "hunter2") {
				t.Error("the error shows a secret")
			}
			last := &a.Files[len(a.Files)-1]
			if *update {
				if last.Name != "want" {
					a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(got)})
				} else {
					last.Data = []byte(got)
				}
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(last.Data), got); diff != "" {
				t.Errorf("error of %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func errorText(t *testing.T, name string, o Options, all bool) string {
	t.Helper()
	var warnings []Problem
	var err error
	if all {
		warnings, err = CheckAll(name, o)
	} else {
		var c *Config
		if c, err = Load(name, o); err == nil {
			warnings = c.Warnings
		}
	}
	if err == nil {
		return Text(warnings) + "\n"
	}
	var d *Diagnostics
	if !errors.As(err, &d) {
		t.Fatalf("error is %T, want *Diagnostics", err)
	}
	if len(d.Problems) == 0 {
		t.Fatal("an error without problems")
	}
	for _, p := range d.Problems {
		if p.Line < 1 || p.Column < 1 || p.File != name || p.Summary == "" || p.Detail == "" {
			t.Errorf("problem without place or words: %+v", p)
		}
	}
	if _, err := json.Marshal(d.Problems); err != nil {
		t.Error(err)
	}
	return d.Error() + "\n"
}
