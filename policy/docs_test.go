package policy

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the manual's table of policies anew")

// TestDocs compares the manual's table with the list; -update writes it. The figures are measured by hand, but no policy may
// be left out of them.
func TestDocs(t *testing.T) {
	const file = "../docs/policies.md"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("<!-- policies -->\n| policy | picks | by weight | by key |\n|---|---|---|---|\n")
	mark := map[bool]string{true: "yes"}
	for _, i := range List() {
		key := mark[i.Keyed]
		if i.Hashes {
			key = "`key`"
		} else if i.Keyed {
			key = "the client's address"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", i.Name, i.Doc, mark[i.Weighted], key)
		if !strings.Contains(string(src), "\n**"+i.Name+"**") && !strings.Contains(string(src), " **"+i.Name+"** ") {
			t.Errorf("%s does not say what %s does", file, i.Name)
		}
		if !regexp.MustCompile("(?m)^\\| `" + i.Name + "`" + `( \| [^|]*\d[^|]*){6} \|$`).Match(src) {
			t.Errorf("%s does not say what %s costs", file, i.Name)
		}
	}
	table.WriteString("<!-- end -->")
	got := regexp.MustCompile(`(?s)<!-- policies -->.*?<!-- end -->`).ReplaceAllLiteralString(string(src), table.String())
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(src), got); diff != "" {
		t.Errorf("%s differs from the list (run with -update):\n%s", file, diff)
	}
}
