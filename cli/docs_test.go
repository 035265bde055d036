package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManual compares docs/cli.md with the commands: each has its line, each flag its row, each command an example.
func TestManual(t *testing.T) {
	b, err := os.ReadFile("../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(b)
	for _, c := range System().root().Commands() {
		if c.Hidden { // not for people
			continue
		}
		if !strings.Contains(manual, "| `skein "+c.Name()) {
			t.Errorf("docs/cli.md has no line for %s", c.Name())
		}
		if c.Example == "" || c.Long == "" {
			t.Errorf("%s has no example or no description", c.Name())
		}
		section := sectionOf(manual, c)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "socket" && f.Name != "help" && !strings.Contains(section, "| `--"+f.Name+"`") {
				t.Errorf("docs/cli.md: no row for %s --%s", c.Name(), f.Name)
			}
		})
	}
}

// sectionOf is the part of the manual about c.
func sectionOf(manual string, c *cobra.Command) string {
	for s := range strings.SplitSeq(manual, "\n## ") {
		title, body, _ := strings.Cut(s, "\n")
		for word := range strings.FieldsSeq(title) {
			if word == c.Name() {
				return body
			}
		}
	}
	return ""
}
