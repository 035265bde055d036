package config

import (
	"strings"
	"testing"
	"time"
)

// TestHostile parses files that are made to make a parser work. The bound is for what grows with the square of the input.
func TestHostile(t *testing.T) {
	for _, part := range []string{
		"[", "{", "(", "a = [", "a {\n", "a = {b={", "!", "a = -", "-", "a ? ", "a = a ? b : ", `"${`, `"%{if a}`, "%{if true}", "a.", "a[", "a[*]", "a.*.", "a(",
		"a = b(", "<<A\n${", "a + ", "a == ", "[for ", "a = 1\n", "a {}\n", `a "b" "c" `, "/*", "#", "\"", "\\", "\x00", "\xff", "\r", "}", "]",
		"http \"a\" {\n}\n", "servers = {}\n",
	} {
		for _, name := range []string{"a.hcl", "a.json"} {
			src := []byte(strings.Repeat(part, (1<<16)/len(part)))
			start := time.Now()
			_, err := Parse(name, src, Options{})
			if err != nil && err.Error() == "" {
				t.Errorf("%q: no text", part)
			}
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("64 KiB of %q as %s took %v", part, name, d)
			}
		}
	}
	for _, part := range []string{`{"a":`, `[`, `"${`, `{"http":{"a":`, `{"a":1,`, `{"":[`, `["${a}",`} {
		src := []byte(strings.Repeat(part, (1<<16)/len(part)))
		start := time.Now()
		if _, err := Parse("a.json", src, Options{}); err == nil || err.Error() == "" {
			t.Errorf("64 KiB of %q: %v", part, err)
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("64 KiB of %q took %v", part, d)
		}
	}
}

// TestNesting: what makes HCL's parsers call themselves is refused before they see it. Without that, a few megabytes of it
// would end the program.
func TestNesting(t *testing.T) {
	for name, parts := range map[string][]string{
		"a.hcl":  {"a=[", "a={b=", "a=(", "a{\n", "a=!!", "a=--", "a=b?", "a=\"${", "a=\"%{if b}", "a=[b(", "a=b[c["},
		"a.json": {`{"a":`, "[", `{"a":[`},
	} {
		for _, part := range parts {
			first, rest := part, strings.TrimPrefix(part, "a=")
			_, err := Parse(name, []byte(first+strings.Repeat(rest, 10_000)), Options{})
			if err == nil || !strings.Contains(err.Error(), "Nested too deep") {
				t.Errorf("10,000 times %q: %.200v, want Nested too deep", rest, err)
			}
		}
	}
}
