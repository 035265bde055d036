package parser

import (
	"strings"
	"testing"

	"skein/test/harness"
)

// invariants are true of every request that skein sends to an origin, whatever it was made from.
func invariants(t *testing.T, r *harness.Request) {
	t.Helper()
	head, _, ok := strings.Cut(r.Raw, "\r\n\r\n")
	if !ok {
		t.Errorf("forwarded head has no end: %q", r.Raw)
	}
	lines := strings.Split(head, "\r\n")
	if !strings.HasSuffix(lines[0], " HTTP/1.1") || strings.Count(lines[0], " ") != 2 {
		t.Errorf("forwarded request line %q", lines[0])
	}
	count := map[string]int{}
	upgrade := r.Header.Get("Upgrade") != ""
	for _, l := range lines[1:] {
		name, value, ok := strings.Cut(l, ":")
		name = strings.ToLower(name)
		count[name]++
		switch {
		case !ok || name == "" || strings.ContainsAny(name, " \t\"(),/;<=>?@[\\]{}"):
			t.Errorf("forwarded field line %q", l)
		case strings.Contains(name, "_"):
			t.Errorf("forwarded name with an underscore: %q", l)
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			t.Errorf("forwarded control byte: %q", l)
		}
		switch name {
		case "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings":
			t.Errorf("forwarded hop-by-hop field %q", l)
		case "te":
			if strings.TrimSpace(value) != "trailers" {
				t.Errorf("forwarded %q", l)
			}
		case "connection":
			for option := range strings.SplitSeq(strings.ToLower(value), ",") {
				switch option = strings.TrimSpace(option); {
				case option == "upgrade" && upgrade, option == "te", option == "close", option == "keep-alive":
				default:
					t.Errorf("forwarded connection option %q", option)
				}
			}
		case "transfer-encoding":
			if strings.TrimSpace(value) != "chunked" {
				t.Errorf("forwarded %q", l)
			}
		}
	}
	authority := 1
	if r.Host == "" {
		authority = 0 // HTTP/1.0 without Host
	}
	for name, want := range map[string]int{
		"host": 1, "x-forwarded-for": 1, "x-forwarded-proto": 1, "x-forwarded-host": authority,
	} {
		if count[name] != want {
			t.Errorf("forwarded %d fields %s, want %d: %q", count[name], name, want, head)
		}
	}
	if n := count["content-length"] + count["transfer-encoding"]; n > 1 {
		t.Errorf("forwarded more than one framing: %q", head)
	}
	for _, l := range lines[1:] {
		if len(l) > 0 && (l[0] == ' ' || l[0] == '\t') {
			t.Errorf("forwarded a folded line: %q", l)
		}
	}
	if strings.ContainsAny(strings.Join(lines, ""), "\r\n\x00") {
		t.Errorf("forwarded bare CR, LF or NUL: %q", head)
	}
}
