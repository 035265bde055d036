package http1

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A request case reads in and wants either the status of the error ("400") or what was understood, as describe writes it.
type requestCase struct {
	name, section, in, want string
}

// describe writes down all that was understood but the fields.
func describe(r *Request) string {
	var b strings.Builder
	form := [...]string{"origin", "absolute", "authority", "asterisk"}[r.Form]
	fmt.Fprintf(&b, "%s %s", r.Method, form)
	if r.Scheme != nil {
		fmt.Fprintf(&b, " %s:", r.Scheme)
	}
	fmt.Fprintf(&b, " %s %s", r.Authority, r.Path)
	if r.Query != nil {
		fmt.Fprintf(&b, "?%s", r.Query)
	}
	fmt.Fprintf(&b, " 1.%d", r.Minor)
	if r.Length >= 0 {
		fmt.Fprintf(&b, " length=%d", r.Length)
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{r.Chunked, "chunked"}, {r.Close, "close"}, {r.Expect, "expect"}, {r.Trailers, "trailers"}} {
		if flag.set {
			b.WriteString(" " + flag.name)
		}
	}
	if r.Upgrade != nil {
		fmt.Fprintf(&b, " upgrade=%s", r.Upgrade)
	}
	return b.String()
}

func describeFields(fs []Field) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, "%s[%v %v]=%q ", f.Name, f.ID, f.Underscore, f.Value)
	}
	return b.String()
}

// outcome is everything that a caller can see of one Parse.
func outcome(r *Request, n int, err error) string {
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return "not an *Error: " + err.Error()
		}
		return fmt.Sprintf("%d %s", e.Status, e.Reason)
	}
	return fmt.Sprintf("%s\n%d %s", describe(r), n, describeFields(r.Fields))
}

var testLimits = Limits{Target: 200, Fields: 12}

// The ways to get the same bytes: at once, byte by byte into one buffer, byte by byte into ever new ones, in two parts.
func parseSplit(in []byte, step int, move bool) string {
	var r Request
	buf := bytes.Clone(in)
	for end := min(step, len(in)); ; end = min(end+step, len(in)) {
		part := buf[:end]
		if move {
			part = bytes.Clone(part)
		}
		n, err := r.Parse(part, testLimits)
		if n > 0 || err != nil {
			return outcome(&r, n, err)
		}
		if end == len(in) {
			return "more"
		}
	}
}

func TestRequest(t *testing.T) {
	requestCases := slices.Concat(requestLineCases, targetCases, hostCases, fieldCases)
	if len(requestCases) < 250 {
		t.Errorf("only %d cases", len(requestCases))
	}
	seen := map[string]bool{}
	for _, c := range requestCases {
		if seen[c.name] || c.section == "" {
			t.Errorf("case %q is there twice, or has no section", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			in := []byte(c.in)
			whole := parseSplit(in, len(in), false)
			got, _, _ := strings.Cut(whole, "\n")
			if c.want == "more" || len(c.want) == 3 {
				got, _, _ = strings.Cut(got, " ")
			}
			if got != c.want {
				t.Errorf("Parse(%q) = %s, want %s (RFC %s)", c.in, got, c.want, c.section)
			}
			for _, step := range []int{1, 2, 3, 7, 50} {
				if got := parseSplit(in, step, false); got != whole {
					t.Errorf("Parse(%q) in steps of %d = %s, at once %s", c.in, step, got, whole)
				}
			}
			if got := parseSplit(in, 1, true); got != whole {
				t.Errorf("Parse(%q) in moving buffers = %s, in one %s", c.in, got, whole)
			}
			if whole != "more" && !strings.HasPrefix(whole, "4") && !strings.HasPrefix(whole, "5") {
				if got := parseSplit(append(in, "GET /next HTTP/1.1\r\n"...), len(in)+20, false); got != whole {
					t.Errorf("Parse(%q) with a pipelined request = %s, without %s", c.in, got, whole)
				}
			}
		})
	}
}

// Garbage must be refused when its first impossible byte is there, not when the head ends.
func TestRequestEarly(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"TLS", "\x16"},
		{"two empty lines", "\r\n\r"},
		{"bare LF first", "\n"},
		{"bad method byte", "GE("},
		{"lower case version", "GET / h"},
		{"digit of the version", "GET / HTTP/x"},
		{"method too long", strings.Repeat("A", 33)},
		{"NUL in the target", "GET /\x00"},
		{"non-ASCII target", "GET /\xc3"},
		{"bare LF after the target", "GET /\n"},
		{"HTTP/0.9", "GET /\r"},
		{"target too long", "GET /" + strings.Repeat("a", 200)},
		{"unsupported version", "GET / HTTP/2.0\r\n"},
		{"bare LF after the version", "GET / HTTP/1.1\n"},
		{"folded first line", "GET / HTTP/1.1\r\n "},
		{"space in a name", "GET / HTTP/1.1\r\nHost "},
		{"no name", "GET / HTTP/1.1\r\n:"},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\x00"},
		{"bare LF in a value", "GET / HTTP/1.1\r\nHost: a\n"},
		{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\rb"},
		{"fold", "GET / HTTP/1.1\r\nHost: a\r\n\t"},
		{"end without LF", "GET / HTTP/1.1\r\nHost: a\r\n\rX"},
		{"too many fields", "GET / HTTP/1.1\r\n" + strings.Repeat("a:\r\n", 12) + "b"},
	} {
		var r Request
		for i := 1; i < len(c.in); i++ {
			if n, err := r.Parse([]byte(c.in)[:i], testLimits); n != 0 || err != nil {
				t.Fatalf("%s: Parse(%q) = %d, %v, want more", c.name, c.in[:i], n, err)
			}
		}
		if n, err := r.Parse([]byte(c.in), testLimits); n != 0 || err == nil {
			t.Errorf("%s: Parse(%q) = %d, %v, want an error", c.name, c.in, n, err)
		}
	}
}

// A second request must not see anything of the first.
func TestRequestReuse(t *testing.T) {
	var used, fresh Request
	first := "POST http://a/b?c HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 5\r\nX_Y: z\r\n\r\n"
	second := "GET /d HTTP/1.1\r\nHost: e\r\n\r\n"
	if n, err := used.Parse([]byte(first), Limits{}); n != len(first) || err != nil {
		t.Fatal(n, err)
	}
	if _, err := used.Parse([]byte("GET \x00"), Limits{}); err == nil {
		t.Fatal("no error")
	}
	n1, err1 := used.Parse([]byte(second), Limits{})
	n2, err2 := fresh.Parse([]byte(second), Limits{})
	if got, want := outcome(&used, n1, err1), outcome(&fresh, n2, err2); got != want {
		t.Errorf("second request = %s, want %s", got, want)
	}
	half := []byte("GET /f HTTP/1.1\r\nHost: e\r\n")
	used.Parse(half, Limits{})
	used.Reset()
	if len(used.Fields) != 0 || cap(used.Fields) == 0 || used.cur != (cursor{}) {
		t.Errorf("Reset left %+v", used)
	}
}

// The cost of a head must grow with its length, not with its square, when each byte comes alone.
func TestRequestResumes(t *testing.T) {
	in := []byte("GET /" + strings.Repeat("a", 50000) + " HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("n", 50000) + ": " +
		strings.Repeat("v", 50000) + "\r\n\r\n")
	var r Request
	last := 0
	for i := 1; i < len(in); i++ {
		if n, err := r.Parse(in[:i], Limits{}); n != 0 || err != nil {
			t.Fatal(i, n, err)
		}
		// All but the bounded parts (method, version, the byte that may be a CR) has been judged and is not looked at again.
		if r.cur.scanned < last || i-r.cur.scanned > len(" HTTP/1.1\r\n") {
			t.Fatalf("after %d bytes only %d are judged", i, r.cur.scanned)
		}
		last = r.cur.scanned
	}
	if n, err := r.Parse(in, Limits{}); n != len(in) || err != nil {
		t.Error(n, err)
	}
}

func TestRequestAllocs(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"small", smallHead},
		{"browser", browserHead},
		{"absolute options", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\nConnection: a, b, close\r\nTE: trailers\r\n\r\n"},
		{"refused", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
		{"garbage", "\x16\x03\x01"},
	} {
		var r Request
		buf := []byte(c.in)
		if got := testing.AllocsPerRun(100, func() {
			for i := range buf {
				if n, err := r.Parse(buf[:i+1], testLimits); n != 0 || err != nil {
					break
				}
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", c.name, got)
		}
	}
}
