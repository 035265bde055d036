package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Severities of a [Problem].
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Problem is one mistake (or doubt) about a file, in the form that `skein check --json` prints.
type Problem struct {
	Severity string `json:"severity"` // error or warning
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	File     string `json:"file"`
	Line     int    `json:"line"`   // from 1
	Column   int    `json:"column"` // from 1, in characters
	Block    string `json:"block"`  // `http "shop", route "/api/"`; "" outside of every block

	rng    hcl.Range
	source *lineIndex // nil if the file could not be read
	hide   bool       // its lines have something that nobody may know
}

// same says whether two problems tell people the same.
func same(a, b Problem) bool {
	return a.rng.Start == b.rng.Start && a.Severity == b.Severity && a.Summary == b.Summary && a.Detail == b.Detail
}

// Diagnostics are all mistakes of one file. It is the error that [Load] returns.
type Diagnostics struct {
	Problems []Problem // in the order of the file
}

// Text is bounded, so that a broken file of many thousand lines does not flood a terminal. Problems has them all.
const (
	maxPrinted   = 50
	maxSnippet   = 4   // source lines of one problem
	maxLineChars = 120 // of one source line; a JSON file may be one line
)

// Error prints every problem in HCL's form: summary, place, source lines, detail.
func (d *Diagnostics) Error() string {
	return Text(d.Problems)
}

// Text prints problems as [Diagnostics.Error] does.
func Text(problems []Problem) string {
	var b strings.Builder
	for i, p := range problems {
		if i == maxPrinted {
			fmt.Fprintf(&b, "... and %d more.\n", len(problems)-maxPrinted)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		p.print(&b)
	}
	return strings.TrimRight(b.String(), "\n")
}

func (p *Problem) print(b *strings.Builder) {
	severity := "Error"
	if p.Severity == SeverityWarning {
		severity = "Warning"
	}
	fmt.Fprintf(b, "%s: %s\n", severity, p.Summary)
	if p.File != "" {
		in := ""
		if p.Block != "" {
			in = ", in " + p.Block
		}
		fmt.Fprintf(b, "\n  on %s line %d%s:\n", p.File, p.Line, in)
		for n := p.Line; n <= max(p.Line, p.rng.End.Line); n++ {
			if n-p.Line == maxSnippet {
				b.WriteString("      ...\n")
				break
			}
			text, ok := p.source.line(n)
			if !ok || (n > p.Line && n == p.rng.End.Line && p.rng.End.Column == 1) {
				break
			}
			column := 1
			if n == p.Line {
				column = p.Column
			}
			if shown := cut(text, column); shown != "" {
				fmt.Fprintf(b, "%4d: %s\n", n, shown)
			} else {
				fmt.Fprintf(b, "%4d:\n", n)
			}
		}
	}
	if p.Detail != "" {
		fmt.Fprintf(b, "\n%s\n", p.Detail)
	}
}

// lineIndex finds a line of a source in constant time; every problem needs a few.
type lineIndex struct {
	src    []byte
	starts []int
}

func newLineIndex(src []byte) *lineIndex {
	x := &lineIndex{src: src, starts: []int{0}}
	for i, c := range src {
		if c == '\n' {
			x.starts = append(x.starts, i+1)
		}
	}
	return x
}

func (x *lineIndex) line(n int) (string, bool) {
	if x == nil || n < 1 || n > len(x.starts) {
		return "", false
	}
	rest := x.src[x.starts[n-1]:]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	return string(bytes.TrimRight(rest, "\r")), true
}

// cut returns the part of a line around the column, with what a terminal must not see replaced.
func cut(line string, column int) string {
	from, prefix := 0, ""
	runes := []rune(line)
	if len(runes) > maxLineChars {
		from = max(0, min(column-maxLineChars/2, len(runes)-maxLineChars))
		if from > 0 {
			prefix = "..."
		}
	}
	runes = runes[from:]
	suffix := ""
	if len(runes) > maxLineChars {
		runes, suffix = runes[:maxLineChars], "..."
	}
	for i, r := range runes {
		if r != '\t' && (!unicode.IsPrint(r) || r == utf8.RuneError) {
			runes[i] = '?'
		}
	}
	return prefix + strings.TrimRight(string(runes), " \t") + suffix
}

// report collects problems while a file is read.
type report struct {
	name     string // of the file
	src      []byte
	problems []Problem
	errors   int
	block    func(offset int) string // names the block at a byte offset; nil before the file is parsed
}

// fail records an error. The summary names the mistake, the detail the thing and the next step.
func (r *report) fail(rng hcl.Range, summary, detail string, args ...any) {
	r.errors++
	r.add(SeverityError, rng, summary, detail, args...)
}

// failHidden is fail for a place whose lines are not shown: errors end up in logs.
func (r *report) failHidden(rng hcl.Range, summary, detail string, args ...any) {
	r.fail(rng, summary, detail, args...)
	r.problems[len(r.problems)-1].hide = true
}

// warn records a doubt; it does not stop the file from being used.
func (r *report) warn(rng hcl.Range, summary, detail string, args ...any) {
	r.add(SeverityWarning, rng, summary, detail, args...)
}

// warnHidden is warn for such a place.
func (r *report) warnHidden(rng hcl.Range, summary, detail string, args ...any) {
	r.warn(rng, summary, detail, args...)
	r.problems[len(r.problems)-1].hide = true
}

func (r *report) add(severity string, rng hcl.Range, summary, detail string, args ...any) {
	if rng.Start.Line < 1 {
		start := hcl.InitialPos
		rng = hcl.Range{Start: start, End: start}
	}
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	r.problems = append(r.problems, Problem{
		Severity: severity, Summary: summary, Detail: clean(detail),
		File: r.name, Line: rng.Start.Line, Column: rng.Start.Column, rng: rng,
	})
}

// addHCL takes over what HCL's own parser says.
func (r *report) addHCL(diags hcl.Diagnostics) {
	for _, d := range diags {
		var rng hcl.Range
		if d.Subject != nil {
			rng = *d.Subject
		}
		r.fail(rng, d.Summary, "%s", d.Detail)
	}
}

// finish sorts the problems, drops repetitions, and names their blocks.
func (r *report) finish() []Problem {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.rng.Start.Byte, b.rng.Start.Byte), cmp.Compare(a.Severity, b.Severity))
	})
	r.problems = slices.CompactFunc(r.problems, same)
	if len(r.problems) == 0 {
		return nil
	}
	source := newLineIndex(r.src)
	for i := range r.problems {
		p := &r.problems[i]
		if !p.hide {
			p.source = source
		}
		if r.block != nil {
			p.Block = r.block(p.rng.Start.Byte)
		}
	}
	return r.problems
}

// err returns the errors, or nil if there are none. Warnings are left out beside errors: a pool that nothing uses is most
// often one whose name was mistyped.
func (r *report) err() error {
	if r.errors == 0 {
		return nil
	}
	r.problems = slices.DeleteFunc(r.problems, func(p Problem) bool { return p.Severity == SeverityWarning })
	return &Diagnostics{Problems: r.finish()}
}

// sentence ends a text with a full stop, if it does not end already.
func sentence(s string) string {
	if strings.HasSuffix(s, "?") || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// clean replaces control characters that a value of the file may have brought into a text. Line breaks are ours.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}
