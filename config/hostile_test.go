package config

import (
	"strings"
	"testing"
	"time"
)

// TestHostile parses files that are as large as allowed and made to make a parser work or recurse. A stack overflow would
// end the test program.
func TestHostile(t *testing.T) {
	for _, part := range []string{
		"[", "{", "(", "a = [", "a {\n", "a = {b={", "!", "a = -", "-", "a ? ", "a = a ? b : ", `"${`, `"%{if a}`, "%{if true}", "a.", "a[", "a[*]", "a.*.", "a(",
		"a = b(", "<<A\n${", "a + ", "a == ", "[for ", "a = 1\n", "a {}\n", `a "b" "c" `, "/*", "#", "\"", "\\", "\x00", "\xff", "\r", "}", "]",
		"http \"a\" {\n}\n", "servers = {}\n",
	} {
		for _, name := range []string{"a.hcl", "a.json"} {
			src := []byte(strings.Repeat(part, (1<<18)/len(part)))
			start := time.Now()
			_, err := Parse(name, src, Options{})
			if err != nil && err.Error() == "" {
				t.Errorf("%q: no text", part)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("256 KiB of %q as %s took %v", part, name, d)
			}
		}
	}
	for _, part := range []string{`{"a":`, `[`, `"${`, `{"http":{"a":`, `{"a":1,`, `{"":[`, `["${a}",`} {
		src := []byte(strings.Repeat(part, (1<<18)/len(part)))
		start := time.Now()
		if _, err := Parse("a.json", src, Options{}); err == nil || err.Error() == "" {
			t.Errorf("256 KiB of %q: %v", part, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("256 KiB of %q took %v", part, d)
		}
	}
}
