package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Report is everything that one run found out.
type Report struct {
	Date     time.Time `json:"date"`
	Machine  Machine   `json:"machine"`
	Pinned   bool      `json:"pinned"`
	Settings Settings  `json:"settings"`
	Programs []Program `json:"programs"`
	Missing  []string  `json:"missing,omitempty"`
	Tables   []Table   `json:"scenarios"`
	Verdicts []Verdict `json:"targets"`
}

// Program is a proxy that took part.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Config  string `json:"config"`
}

// write prints the report as text, unless standard output is wanted for something else, and into the files that the
// settings name.
func (r *Report) write(out io.Writer) error {
	if r.Settings.JSON != "-" && r.Settings.Markdown != "-" {
		if _, err := io.WriteString(out, r.text()); err != nil {
			return err
		}
	}
	if name := r.Settings.JSON; name != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := save(out, name, append(b, '\n')); err != nil {
			return err
		}
	}
	name := r.Settings.Markdown
	if name == "" {
		return nil
	}
	section := []byte(r.markdown())
	if name != "-" {
		page, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read manual page: %w", err)
		}
		if section, err = replaceSection(page, section); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return save(out, name, section)
}

// save writes a file in one step, or to out if its name is -.
func save(out io.Writer, name string, content []byte) error {
	if name == "-" {
		_, err := out.Write(content)
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".bench-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// where describes the machine and the way of the run in one line.
func (r *Report) where() string {
	placed := "nothing pinned"
	if r.Pinned {
		placed = "proxy on one core, driver and origin on another"
	}
	if n := r.Settings.GOMAXPROCS; n > 0 {
		placed += fmt.Sprintf(", GOMAXPROCS=%d", n)
	}
	return fmt.Sprintf("%s, %s, %d cores, %.0f GiB, Linux %s, %s; %s; medians of %d rounds of %v",
		r.Date.UTC().Format("2006-01-02"), r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Machine.Go,
		placed, r.Settings.Rounds, r.Settings.Time)
}

// versions names the programs.
func (r *Report) versions() string {
	var names []string
	for _, p := range r.Programs {
		if strings.Contains(strings.ToLower(p.Version), p.Name) {
			names = append(names, p.Version)
		} else {
			names = append(names, p.Name+" "+p.Version)
		}
	}
	for _, name := range r.Missing {
		names = append(names, name+": missing")
	}
	return strings.Join(names, ", ")
}

// text is the report for a terminal.
func (r *Report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", r.where(), r.versions())
	for i := range r.Tables {
		t := &r.Tables[i]
		fmt.Fprintf(&b, "\n%s: %s\n%s", t.Name, t.Title, align(t.cells(t.present(against))))
		for _, n := range t.Notes {
			fmt.Fprintf(&b, "  (%s)\n", n)
		}
	}
	if len(r.Verdicts) > 0 {
		fmt.Fprintf(&b, "\ntargets\n%s", align(r.verdictCells()))
	}
	return b.String()
}

// markdown is the section for the manual, without its markers.
func (r *Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured: %s.\nPrograms: %s.\n", r.where(), r.versions())
	for i := range r.Tables {
		t := &r.Tables[i]
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n%s", t.Name, capital(t.Title), markdownTable(t.cells(t.present(against))))
		for _, n := range t.Notes {
			fmt.Fprintf(&b, "\n%s.\n", capital(n))
		}
	}
	if len(r.Verdicts) > 0 {
		fmt.Fprintf(&b, "\n### Targets\n\n%s", markdownTable(r.verdictCells()))
	}
	b.WriteString("\n### Configurations\n")
	for _, p := range r.Programs {
		// Not marked as HCL: every hcl block of the manual is loaded by a test as an example, and this is a record.
		fmt.Fprintf(&b, "\n%s:\n\n```text\n%s```\n", p.Name, p.Config)
	}
	return b.String()
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// present returns those of names that are rows of the table and were divided by.
func (t *Table) present(names []string) []string {
	var found []string
	for _, name := range names {
		if r := t.row(name); r != nil && r.Valid {
			found = append(found, name)
		}
	}
	return found
}

func (r *Report) verdictCells() [][]string {
	lines := [][]string{{"", "wanted", "measured", ""}}
	for _, v := range r.Verdicts {
		unit := ""
		if v.Unit != "" {
			unit = " " + v.Unit
		}
		measured := "-"
		if v.Word != "not measured" {
			measured = fmt.Sprintf("%.2f%s", v.Figure, unit)
		}
		lines = append(lines, []string{v.Target, fmt.Sprintf("<= %.2f%s", v.Limit, unit), measured, v.Word})
	}
	return lines
}

func markdownTable(lines [][]string) string {
	var b strings.Builder
	for i, line := range lines {
		b.WriteString("|")
		for _, cell := range line {
			b.WriteString(" " + strings.ReplaceAll(cell, "|", "\\|") + " |")
		}
		b.WriteString("\n")
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(line)-2) + "---|\n")
		}
	}
	return b.String()
}

const (
	sectionBegin = "<!-- bench: begin (written by go run ./bench -md, do not edit) -->"
	sectionEnd   = "<!-- bench: end -->"
)

// replaceSection puts a section between the markers of a page.
func replaceSection(page, section []byte) ([]byte, error) {
	return replaceBetween(page, section, sectionBegin, sectionEnd)
}

func replaceBetween(page, section []byte, begin, end string) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, fmt.Errorf("no markers %q and %q", begin, end)
	}
	return bytes.Join([][]byte{before, []byte(begin), []byte("\n"), section, []byte(end), after}, nil), nil
}
