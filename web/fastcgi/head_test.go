package fastcgi

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// show is what was read, in one line.
func show(h *Head, n int, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	if n == 0 {
		return "more"
	}
	s := fmt.Sprintf("%d %d", n, h.Status)
	if h.Reason != nil {
		s += fmt.Sprintf(" %q", h.Reason)
	}
	if h.Length >= 0 {
		s += fmt.Sprintf(" length=%d", h.Length)
	}
	for _, f := range h.Fields {
		s += fmt.Sprintf(" %s=%q", f.Name, f.Value)
	}
	return s
}

// headCases are heads and what they mean. Those with sane set net/http/cgi must understand as we do.
func headCases() []struct {
	in, want string
	sane     bool
} {
	return []struct {
		in, want string
		sane     bool
	}{
		{"Content-Type: text/html\r\n\r\nbody", `27 200 Content-Type="text/html"`, true},
		{"Content-type: text/html; charset=UTF-8\n\nbody", `40 200 Content-type="text/html; charset=UTF-8"`, true},
		{"Status: 404 Not Found\r\nContent-Type: a/b\r\n\r\n", `44 404 "Not Found" Content-Type="a/b"`, true},
		{"Status: 204\r\nX: y\r\n\r\n", `21 204 X="y"`, true},
		{"Status: 404\n\nx", `13 404`, true},
		{"status:  503  busy \nA:b\n\n", `25 503 "busy" A="b"`, true},
		{"Location: http://b.test/\r\nContent-Type: a/b\r\n\r\n", `47 302 Location="http://b.test/" Content-Type="a/b"`, true},
		{"Location: /there\r\n\r\n", `20 302 Location="/there"`, false}, // net/http/cgi serves the document itself
		{"Status: 301 Moved\r\nLocation: https://b.test/x\r\n\r\n", `49 301 "Moved" Location="https://b.test/x"`, true},
		{"Status: 201 Created\nLocation: /new\n\nx", `36 201 "Created" Location="/new"`, false},
		{"Content-Length: 5\r\nContent-Type: a/b\r\n\r\nhello", `40 200 length=5 Content-Type="a/b"`, true},
		{"Content-Length: 5\r\nContent-Length: 5\r\nA: b\r\n\r\n", `46 200 length=5 A="b"`, false},
		{"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n", `36 200 Set-Cookie="a=1" Set-Cookie="b=2"`, true},
		{"A: b\nC: d\r\n\nbody", `12 200 A="b" C="d"`, true},
		{"A:\r\n\r\n", `6 200 A=""`, true},
		{"A: \t b \t \r\n\r\n", `13 200 A="b"`, true},
		{"A: caf\xe9\r\n\r\n", `11 200 A="caf\xe9"`, true},
		{"A: b", "more", false},
		{"A: b\r", "more", false},
		{"A: b\r\n", "more", false},
		{"A: b\r\n\r", "more", false},
		{"", "more", false},
		{"\r", "more", false},
		{"\n", "error: a head without any field (RFC 3875 section 6.2)", false},
		{"\r\nbody", "error: a head without any field (RFC 3875 section 6.2)", false},
		{"Content-Length: 5\r\n\r\n", "error: a head without any field (RFC 3875 section 6.2)", false},
		{"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{"<b>Warning</b>: x\r\n\r\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{"A : b\r\n\r\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{"A: b\r\n folded\r\n\r\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{": b\r\n\r\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{"A\r\n\r\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{"A\x00B: c\n\n", "error: a line that is no field: its name is not a token (RFC 3875 section 6.3)", false},
		{"A: b\x00c\r\n\r\n", "error: a control byte in a field value (RFC 9110 section 5.5)", false},
		{"A: b\rC: d\r\n\r\n", "error: a control byte in a field value (RFC 9110 section 5.5)", false},
		{"A: b\r\r\n\r\n", "error: a control byte in a field value (RFC 9110 section 5.5)", false},
		{"A: \x1b[2J\r\n\r\n", "error: a control byte in a field value (RFC 9110 section 5.5)", false},
		{"A: b\x7f\r\n\r\n", "error: a control byte in a field value (RFC 9110 section 5.5)", false},
		{"Status: 100\r\n\r\n", "error: Status is not a number from 200 to 999 (RFC 3875 section 6.3.3)", false},
		{"Status: 20\r\n\r\n", "error: Status is not a number from 200 to 999 (RFC 3875 section 6.3.3)", false},
		{"Status: 2000\r\n\r\n", "error: Status is not a number from 200 to 999 (RFC 3875 section 6.3.3)", false},
		{"Status: +20\r\n\r\n", "error: Status is not a number from 200 to 999 (RFC 3875 section 6.3.3)", false},
		{"Status:\r\n\r\n", "error: Status is not a number from 200 to 999 (RFC 3875 section 6.3.3)", false},
		{"Status: 200\r\nStatus: 404\r\n\r\n", "error: more than one Status (RFC 3875 section 6.3)", false},
		{"Content-Length: -1\r\n\r\n", "error: Content-Length is not one decimal number (RFC 9110 section 8.6)", false},
		{"Content-Length: 5, 5\r\n\r\n", "error: Content-Length is not one decimal number (RFC 9110 section 8.6)", false},
		{"Content-Length:\r\n\r\n", "error: Content-Length is not one decimal number (RFC 9110 section 8.6)", false},
		{"Content-Length: 9999999999999999999\r\n\r\n", "error: Content-Length is not one decimal number (RFC 9110 section 8.6)", false},
		{"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "error: two lengths that differ (RFC 9112 section 6.3)", false},
		{"Transfer-Encoding: chunked\r\n\r\n", "error: a transfer coding, which a script cannot have (RFC 3875 section 6.3.4)", false},
		{strings.Repeat("A: b\n", 9) + "\n", "error: too many fields (RFC 6585 section 5)", false},
	}
}

func TestHead(t *testing.T) {
	for _, c := range headCases() {
		var h Head
		n, err := h.Parse([]byte(c.in), 8)
		if got := show(&h, n, err); got != c.want {
			t.Errorf("Parse(%q)\n = %s,\nwant %s", c.in, got, c.want)
		}
		h.Reset()
		if got := show2(&h, []byte(c.in)); got != c.want {
			t.Errorf("byte by byte, Parse(%q)\n = %s,\nwant %s", c.in, got, c.want)
		}
	}
}

// show2 gives the head byte by byte, each time in another buffer.
func show2(h *Head, in []byte) string {
	for i := range in {
		n, err := h.Parse(slices.Clone(in[:i+1]), 8)
		if n > 0 || err != nil {
			return show(h, n, err)
		}
	}
	return "more"
}

// net/http/cgi reads CGI answers, too. What we take it must understand as we do.
func TestHeadAgainstCGI(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("no cat")
	}
	dir := t.TempDir()
	for _, c := range headCases() {
		if !c.sane {
			continue
		}
		file := filepath.Join(dir, "answer")
		if err := os.WriteFile(file, []byte(c.in), 0o600); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		(&cgi.Handler{Path: cat, Args: []string{file}}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://a.test/", nil))
		r := w.Result()
		var h Head
		if _, err := h.Parse([]byte(c.in), 8); err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if len(h.Fields) > 0 && r.StatusCode != h.Status { // it wants a Content-Type or a Location where we do not
			if r.StatusCode != http.StatusInternalServerError {
				t.Errorf("%q: status %d, net/http/cgi %d", c.in, h.Status, r.StatusCode)
			}
			continue
		}
		for _, f := range h.Fields {
			if !slices.Contains(r.Header.Values(string(f.Name)), string(f.Value)) {
				t.Errorf("%q: %s is %q, net/http/cgi %q", c.in, f.Name, f.Value, r.Header.Values(string(f.Name)))
			}
		}
	}
}

func FuzzHead(f *testing.F) {
	for _, c := range headCases() {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var h, slow Head
		n, err := h.Parse(in, 8)
		// An error of a whole head may be seen only with its last byte, so that all ways must agree.
		if got, want := show2(&slow, in), show(&h, n, err); len(in) > 0 && got != want {
			t.Fatalf("byte by byte %s, at once %s", got, want)
		}
		for _, f := range h.Fields {
			if strings.ContainsAny(string(f.Name)+string(f.Value), "\r\n\x00") || len(f.Name) == 0 {
				t.Fatalf("field %q: %q", f.Name, f.Value)
			}
		}
	})
}
