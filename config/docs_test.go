package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docs are the pages whose hcl blocks must load.
func docs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"../README.md", "../ARCHITECTURE.md"} {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	return files
}

func TestDocsLoad(t *testing.T) {
	blocks := regexp.MustCompile("(?ms)^```(hcl|json)\n(.*?)^```")
	for _, file := range docs(t) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range blocks.FindAllSubmatchIndex(src, -1) {
			line := 1 + strings.Count(string(src[:m[4]]), "\n")
			kind, text := string(src[m[2]:m[3]]), src[m[4]:m[5]]
			if kind == "json" && !strings.Contains(string(text), `"http"`) {
				continue // some other JSON
			}
			o := Options{
				Policies: policies(), Node: "lb1", Elsewhere: true, // a reader's secrets and files are not here
			}
			name := fmt.Sprintf("%s:%d.%s", file, line, kind)
			if _, err := Parse(name, text, o); err != nil {
				t.Errorf("block at %s:%d:\n%v", file, line, err)
			}
			if kind == "hcl" && strings.HasSuffix(file, "config.md") {
				if got, err := Format(name, text); err != nil || string(got) != string(text) {
					t.Errorf("block at %s:%d is not laid out as skein fmt does (%v):\n%s", file, line, err, cmp.Diff(string(text), string(got)))
				}
			}
		}
	}
}

// TestReference compares the tables of the reference with the language; -update writes them.
func TestReference(t *testing.T) {
	const file = "../docs/config.md"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{}
	for _, b := range Language() {
		tables[b.Path] = table(b)
	}
	seen := map[string]bool{}
	marked := regexp.MustCompile(`(?s)<!-- keys: ([a-z_.]*) -->\n.*?<!-- end -->`)
	got := marked.ReplaceAllStringFunc(string(src), func(s string) string {
		path := marked.FindStringSubmatch(s)[1]
		seen[path] = true
		if _, ok := tables[path]; !ok {
			t.Errorf("%s has a table of block %q, which does not exist", file, path)
		}
		return fmt.Sprintf("<!-- keys: %s -->\n%s<!-- end -->", path, tables[path])
	})
	for path := range tables {
		if !seen[path] {
			t.Errorf("%s has no table of block %q", file, path)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(src), got); diff != "" {
		t.Errorf("%s differs from the language (run with -update):\n%s", file, diff)
	}
}

func table(b Block) string {
	var s strings.Builder
	s.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range b.Keys {
		def := ""
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&s, "| `%s` | %s | %s | %s |\n", k.Name, k.Type, def, k.Text)
	}
	for _, kind := range b.Blocks {
		fmt.Fprintf(&s, "| `%s { }` | block | | see below |\n", kind)
	}
	return s.String()
}
