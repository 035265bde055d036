package corpus

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Differs compares what a case says that the origin must have seen with the request that it has: raw is its bytes, content its
// body. It returns what is wrong; parts behind "next" belong to the following request.
func Differs(saw, raw, content string, trailer http.Header) []string {
	var wrong []string
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for part := range strings.SplitSeq(saw, "|") {
		if part == "next" || part == "" {
			break
		}
		if name, ok := strings.CutPrefix(part, "!"); ok {
			for _, l := range lines[1:] {
				if n, _, _ := strings.Cut(l, ":"); strings.EqualFold(n, name) {
					wrong = append(wrong, fmt.Sprintf("origin saw %q", l))
				}
			}
			continue
		}
		if body, ok := strings.CutPrefix(part, "body="); ok {
			if content != body {
				wrong = append(wrong, fmt.Sprintf("origin saw body %q, want %q", content, body))
			}
			continue
		}
		if t, ok := strings.CutPrefix(part, "trailer "); ok {
			name, value, _ := strings.Cut(t, "=")
			if got := trailer.Get(name); got != value {
				wrong = append(wrong, fmt.Sprintf("origin saw trailer %s: %q, want %q", name, got, value))
			}
			continue
		}
		if !slices.ContainsFunc(lines, func(l string) bool { return sameLine(l, part) }) {
			wrong = append(wrong, fmt.Sprintf("origin saw %q, want the line %q", raw, part))
		}
	}
	return wrong
}

// sameLine compares a line with what is wanted; names of fields have no case.
func sameLine(got, want string) bool {
	name, value, ok := strings.Cut(want, ":")
	if !ok || strings.Contains(name, " ") {
		return got == want
	}
	n, v, _ := strings.Cut(got, ":")
	return strings.EqualFold(n, name) && v == value
}
