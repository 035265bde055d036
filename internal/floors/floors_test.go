// Package floors keeps the house in order: who may import whom, and what every folder owes its reader.
//
// It holds only tests. DO NOT CHANGE THE TABLE TO FIX A BUILD: it is a statement of policy, and ARCHITECTURE.md draws it.
package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "skein"

// floor is one row of the house. A package imports only packages of lower rows, and none of its own row.
type floor struct {
	packages []string // relative to the module; "x/" is everything below x
	reason   string   // why nothing above or beside may be imported
}

// house is the table, from the ground up.
func house() []floor {
	return []floor{
		{
			packages: []string{"web/message"},
			reason:   "what two codecs share lies below both, so that neither need know the other",
		},
		{
			packages: []string{"internal/", "web/http1", "web/http2", "web/http3", "web/fastcgi", "redis/resp", "mysql/wire", "vip/vrrp", "deploy/envoy"},
			reason:   "wire codecs and small tools import nothing of ours: they can be read, tested and fuzzed alone",
		},
		{
			packages: []string{"config", "kernel"},
			reason:   "the configuration is plain data for everybody, and what needs root is wrapped for everybody; neither may know who uses it",
		},
		{
			packages: []string{"vip/speaker"},
			reason:   "it is a process of its own that must be on time: it must not drag the balancer in",
		},
		{
			packages: []string{"pool"},
			reason:   "the kernel that all chapters share knows no algorithm, no check and no protocol",
		},
		{
			packages: []string{"policy", "health", "cluster", "cert"},
			reason:   "each writes its own part of a member's state, or none; if one looked at another, a reason would have two writers",
		},
		{
			packages: []string{"web", "l4", "vip", "geodns", "redis", "mysql", "deploy", "admin"},
			reason:   "services never import each other: engine/services.go hands each the functions that it declares, so that one file shows all that is wired",
		},
		{
			packages: []string{"engine"},
			reason:   "it runs a configuration; who asked for that is not its business",
		},
		{
			packages: []string{"cli/demo"},
			reason:   "the demonstration is a user of the engine like the command line, and must not need the command line",
		},
		{
			packages: []string{"cli"},
			reason:   "commands start everything else",
		},
		{
			packages: []string{""},
			reason:   "main only starts the command line",
		},
	}
}

// apart are packages outside of the house: tools and tests, which nobody in the house may import.
func apart() []string { return []string{"bench", "bench/", "test/"} }

type pkg struct {
	ImportPath, Dir                                       string
	GoFiles, CgoFiles, TestGoFiles, XTestGoFiles, Imports []string
	IgnoredGoFiles                                        []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Imports", module+"/...")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &complaints)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// below is the import path relative to the module; ok is false for packages of others.
func below(path string) (name string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func in(list []string, name string) bool {
	for _, l := range list {
		if l == name || strings.HasSuffix(l, "/") && strings.HasPrefix(name, l) {
			return true
		}
	}
	return false
}

func row(name string) int {
	for i, f := range house() {
		if in(f.packages, name) {
			return i
		}
	}
	return -1
}

func TestFloors(t *testing.T) {
	floors := house()
	for _, p := range packages(t) {
		name, _ := below(p.ImportPath)
		at := row(name)
		if at < 0 && !in(apart(), name) {
			t.Errorf("package %s stands on no floor; give it one here and in ARCHITECTURE.md", name)
			continue
		}
		for _, i := range p.Imports {
			to, ours := below(i)
			if !ours {
				continue
			}
			switch r := row(to); {
			case at < 0: // a tool or a test may import what it likes
			case r < 0:
				t.Errorf("%s imports %s: the house does not lean on tools and tests", name, to)
			case r >= at && !(at == 0 && internalOf(name, to)):
				t.Errorf("%s imports %s: %s", name, to, floors[at].reason)
			}
		}
	}
}

// internalOf allows a small tool to stand on another one: they have no floors among themselves, and the compiler refuses
// cycles. Wire codecs stand alone.
func internalOf(from, to string) bool {
	return strings.HasPrefix(from, "internal/") && strings.HasPrefix(to, "internal/")
}

// hcl is known to the configuration alone, so that another language could be added without touching a service.
func TestOnlyConfigKnowsHCL(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			if name, _ := below(p.ImportPath); name != "config" && (strings.HasPrefix(i, "github.com/hashicorp/hcl") || strings.HasPrefix(i, "github.com/zclconf")) {
				t.Errorf("%s imports %s: only config knows HCL", name, i)
			}
		}
	}
}

const (
	maxLines = 600
	minWords = 40 // bytes of a package comment that says anything
)

func TestFolders(t *testing.T) {
	for _, p := range packages(t) {
		name, _ := below(p.ImportPath)
		if name == "" {
			name = "main"
		}
		comments := 0
		files := append(append(append([]string(nil), p.GoFiles...), p.CgoFiles...), p.IgnoredGoFiles...)
		tests := append(append([]string(nil), p.TestGoFiles...), p.XTestGoFiles...)
		if len(files) == 0 {
			files, tests = tests, nil // a folder of tests owes its reader the same
		}
		for _, f := range files {
			if hasPackageComment(t, filepath.Join(p.Dir, f)) {
				comments++
			}
		}
		if comments != 1 {
			t.Errorf("%s has %d package comments, want one that says what it is, where to start and what it does not do", name, comments)
		}
		for _, f := range append(files, tests...) {
			inspect(t, filepath.Join(p.Dir, f), name+"/"+f)
		}
	}
}

func hasPackageComment(t *testing.T, file string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f.Doc != nil && len(strings.TrimSpace(f.Doc.Text())) > minWords
}

// inspect looks for what no file may have.
func inspect(t *testing.T, file, name string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(src, []byte("\n")); n > maxLines {
		t.Errorf("%s has %d lines, at most %d can be followed: split it by its nouns", name, n, maxLines)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s has an init(): what happens at the start must be seen where it is called", name)
		}
	}
}

// The table itself: nobody stands twice.
func TestHouse(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range house() {
		if f.reason == "" {
			t.Errorf("%v has no reason", f.packages)
		}
		for _, p := range f.packages {
			if seen[p] {
				t.Errorf("%s stands on two floors", p)
			}
			seen[p] = true
		}
	}
	if got, want := fmt.Sprint(row("web/http1"), row("web")), "1 6"; got != want {
		t.Errorf("floors of web/http1 and web = %s, want %s", got, want)
	}
}
