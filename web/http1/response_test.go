package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type responseCase struct {
	name, section, in, want string
}

func describeResponse(r *Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "1.%d %d %q %s/%s", r.Minor, r.Status, r.Reason, framingNames[r.Body(false)], framingNames[r.Body(true)])
	if r.Length >= 0 {
		fmt.Fprintf(&b, " length=%d", r.Length)
	}
	if r.Chunked {
		b.WriteString(" chunked")
	}
	if r.Close {
		b.WriteString(" close")
	}
	if r.Upgrade != nil {
		fmt.Fprintf(&b, " upgrade=%s", r.Upgrade)
	}
	return b.String()
}

var framingNames = [...]string{NoBody: "none", ByLength: "length", ByChunks: "chunks", UntilClose: "close"}

func responseOutcome(r *Response, n int, err error) string {
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Status != 502 {
			return fmt.Sprintf("not an *Error with 502: %v", err)
		}
		return fmt.Sprintf("502 %s", e.Reason)
	}
	return fmt.Sprintf("%s\n%d %s", describeResponse(r), n, describeFields(r.Fields))
}

func parseResponseSplit(in []byte, step int, move bool) string {
	var r Response
	buf := bytes.Clone(in)
	var part []byte
	for end := min(step, len(in)); ; end = min(end+step, len(in)) {
		if move { // as a buffer that grows: folds in it have been undone
			part = append(bytes.Clone(part), in[len(part):end]...)
		} else {
			part = buf[:end]
		}
		n, err := r.Parse(part, testLimits)
		if n > 0 || err != nil {
			return responseOutcome(&r, n, err)
		}
		if end == len(in) {
			return "more"
		}
	}
}

func answer(lines ...string) string {
	return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func status(line string) string { return line + "\r\nContent-Length: 5\r\n\r\n" }

func code(n int, lines ...string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\n%s\r\n\r\n", n, strings.Join(lines, "\r\n"))
}

const fine = `1.1 200 "OK" `

var responseCases = []responseCase{
	// The status line.
	{"simplest", "9112 4", "HTTP/1.1 200 OK\r\n\r\n", fine + "close/none"},
	{"no reason", "9112 4", status("HTTP/1.1 200 "), `1.1 200 "" length/none length=5`},
	{"no space after status", "9112 4", status("HTTP/1.1 200"), `1.1 200 "" length/none length=5`},
	{"long reason", "9112 4", status("HTTP/1.1 404 Not Found, sorry"), `1.1 404 "Not Found, sorry" length/none length=5`},
	{"obs-text in reason", "9112 4", status("HTTP/1.1 200 \xfcber"), `1.1 200 "\xfcber" length/none length=5`},
	{"tab in reason", "9112 4", status("HTTP/1.1 200 a\tb"), `1.1 200 "a\tb" length/none length=5`},
	{"spaces around reason", "9112 4", status("HTTP/1.1 200   OK  "), fine + "length/none length=5"},
	{"HTTP/1.0", "9112 4", status("HTTP/1.0 200 OK"), `1.0 200 "OK" length/none length=5 close`},
	{"HTTP/1.2", "9110 2.5", status("HTTP/1.2 200 OK"), "502"},
	{"HTTP/2.0", "9110 2.5", status("HTTP/2.0 200 OK"), "502"},
	{"HTTP/0.9", "9110 2.5", status("HTTP/0.9 200 OK"), "502"},
	{"lower case", "9112 2.3", status("http/1.1 200 OK"), "502"},
	{"ICY", "9112 4", status("ICY 200 OK"), "502"},
	{"no status line", "9112 4", "Content-Length: 5\r\n\r\n", "502"},
	{"html at once", "9112 4", "<html>", "502"},
	{"CGI status", "3875 6.3.3", "Status: 200 OK\r\n\r\n", "502"},
	{"empty line before", "9112 2.2", "\r\n" + status("HTTP/1.1 200 OK"), "502"},
	{"TLS alert", "9112 4", "\x15\x03\x01", "502"},
	{"two spaces before status", "9112 4", status("HTTP/1.1  200 OK"), "502"},
	{"tab before status", "9112 4", status("HTTP/1.1\t200 OK"), "502"},
	{"tab after status", "9112 4", status("HTTP/1.1 200\tOK"), "502"},
	{"status of two digits", "9110 15", status("HTTP/1.1 20 OK"), "502"},
	{"status of four digits", "9110 15", status("HTTP/1.1 2000 OK"), "502"},
	{"status 099", "9110 15", "HTTP/1.1 099 OK\r\n\r\n", "502"},
	{"status 000", "9110 15", "HTTP/1.1 000 OK\r\n\r\n", "502"},
	{"status 599", "9110 15", status("HTTP/1.1 599 X"), `1.1 599 "X" length/none length=5`},
	{"status 999", "9110 15", status("HTTP/1.1 999 X"), `1.1 999 "X" length/none length=5`},
	{"status with sign", "9110 15", status("HTTP/1.1 +20 OK"), "502"},
	{"status in letters", "9110 15", status("HTTP/1.1 OK"), "502"},
	{"status with a letter", "9110 15", status("HTTP/1.1 200OK"), "502"},
	{"NUL in reason", "9112 4", status("HTTP/1.1 200 O\x00K"), "502"},
	{"NUL after status", "9112 4", status("HTTP/1.1 200\x00OK"), "502"},
	{"bare CR in reason", "9112 2.2", status("HTTP/1.1 200 O\rK"), "502"},
	{"bare LF after status line", "9112 2.2", "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n", "502"},
	{"bare LF after status", "9112 2.2", "HTTP/1.1 200\nContent-Length: 5\r\n\r\n", "502"},
	{"incomplete", "9112 4", "HTTP/1.1 20", "more"},
	{"incomplete after status", "9112 4", "HTTP/1.1 200", "more"},
	{"incomplete line end", "9112 4", "HTTP/1.1 200\r", "more"},
	{"incomplete head", "9112 2.1", "HTTP/1.1 200 OK\r\nX: y\r\n", "more"},

	// Field lines.
	{"space before colon", "9112 5.1", answer("Content-Length : 5"), fine + "length/none length=5"},
	{"much space before colon", "9112 5.1", answer("Content-Length \t : 5"), fine + "length/none length=5"},
	{"space in name", "9110 5.1", answer("Content Length: 5"), "502"},
	{"no colon", "9112 5", answer("X"), "502"},
	{"no colon, space", "9112 5", answer("X "), "502"},
	{"no name", "9110 5.1", answer(": x"), "502"},
	{"space for a name", "9112 5.2", answer(" : x"), "502"},
	{"fold", "9112 5.2", answer("Content-Length: 5", "X: a", " b"), fine + "length/none length=5"},
	{"two folds with tabs", "9112 5.2", answer("X: a", "\tb", "\t\tc", "Content-Length: 5"), fine + "length/none length=5"},
	{"empty fold", "9112 5.2", answer("X: a", " ", "Content-Length: 5"), fine + "length/none length=5"},
	{"fold of an empty value", "9112 5.2", answer("X:", " a", "Content-Length: 5"), fine + "length/none length=5"},
	{"fold before the first field", "9112 5.2", answer(" X: a"), "502"},
	{"folded length", "9112 5.2", answer("Content-Length:", " 5"), "502"},
	{"folded length's end", "9112 5.2", answer("Content-Length: 5", " "), "502"},
	{"folded coding", "9112 5.2", answer("Transfer-Encoding:", " chunked"), "502"},
	{"fold with NUL", "9110 5.5", answer("X: a", " \x00"), "502"},
	{"fold with bare LF", "9112 2.2", "HTTP/1.1 200 OK\r\nX: a\r\n b\n\r\n", "502"},
	{"bare LF after field", "9112 2.2", "HTTP/1.1 200 OK\r\nX: a\n\r\n", "502"},
	{"bare LF at end", "9112 2.2", "HTTP/1.1 200 OK\r\nX: a\r\n\n", "502"},
	{"bare CR in value", "9112 2.2", answer("X: a\rb"), "502"},
	{"NUL in value", "9110 5.5", answer("X: a\x00b"), "502"},
	{"DEL in value", "9110 5.5", answer("X: a\x7fb"), "502"},
	{"obs-text in value", "9110 5.5", answer("X: \x80\xff"), fine + "close/none"},
	{"obs-text in name", "9110 5.1", answer("\xc3\xa9: a"), "502"},
	{"too many fields", "6585 5", answer(strings.Repeat("a:\r\n", 13)), "502"},

	// Framing.
	{"length", "9112 6.3", answer("Content-Length: 5"), fine + "length/none length=5"},
	{"length 0", "9112 6.3", answer("Content-Length: 0"), fine + "none/none length=0"},
	{"identical lengths", "9112 6.3", answer("Content-Length: 5", "Content-Length: 5"), fine + "length/none length=5"},
	{"identical lengths in a list", "9112 6.3", answer("Content-Length: 5, 5,5"), fine + "length/none length=5"},
	{"differing lengths", "9112 6.3", answer("Content-Length: 5", "Content-Length: 6"), "502"},
	{"differing lengths in a list", "9112 6.3", answer("Content-Length: 5, 6"), "502"},
	{"list that differs from a field", "9112 6.3", answer("Content-Length: 5, 5", "Content-Length: 6"), "502"},
	{"length list with empty element", "9112 6.3", answer("Content-Length: 5,"), "502"},
	{"length empty", "9110 8.6", answer("Content-Length:"), "502"},
	{"length empty and full", "9110 8.6", answer("Content-Length: 5", "Content-Length:"), "502"},
	{"length with sign", "9110 8.6", answer("Content-Length: +5"), "502"},
	{"length negative", "9110 8.6", answer("Content-Length: -1"), "502"},
	{"length in hex", "9110 8.6", answer("Content-Length: 0x5"), "502"},
	{"length too large", "9110 8.6", answer("Content-Length: 9223372036854775808"), "502"},
	{"chunked", "9112 6.1", answer("Transfer-Encoding: chunked"), fine + "chunks/none chunked"},
	{"Chunked", "9112 6.1", answer("Transfer-Encoding: Chunked"), fine + "chunks/none chunked"},
	{"chunked and length", "9112 6.3", answer("Transfer-Encoding: chunked", "Content-Length: 5"), "502"},
	{"length and chunked", "9112 6.3", answer("Content-Length: 5", "Transfer-Encoding: chunked"), "502"},
	{"chunked twice", "9112 6.1", answer("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "502"},
	{"chunked, chunked", "9112 6.1", answer("Transfer-Encoding: chunked, chunked"), "502"},
	{"gzip, chunked", "9112 6.1", answer("Transfer-Encoding: gzip, chunked"), "502"},
	{"gzip", "9112 6.3", answer("Transfer-Encoding: gzip"), "502"},
	{"identity", "9112 6.1", answer("Transfer-Encoding: identity"), "502"},
	{"xchunked", "9112 6.1", answer("Transfer-Encoding: xchunked"), "502"},
	{"coding empty", "9112 6.1", answer("Transfer-Encoding:"), "502"},
	{"chunked in HTTP/1.0", "9112 6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "502"},
	{"until close in HTTP/1.0", "9112 6.3", "HTTP/1.0 200 OK\r\n\r\n", `1.0 200 "OK" close/none close`},

	// Status and body.
	{"204", "9112 6.3", code(204), `1.1 204 "X" none/none`},
	{"204 length 0", "9110 8.6", code(204, "Content-Length: 0"), `1.1 204 "X" none/none length=0`},
	{"204 length", "9110 8.6", code(204, "Content-Length: 5"), `1.1 204 "X" none/none length=5 close`},
	{"204 chunked", "9112 6.1", code(204, "Transfer-Encoding: chunked"), "502"},
	{"205 is as any other", "9110 15.3.6", code(205), `1.1 205 "X" close/none`},
	{"304", "9112 6.3", code(304), `1.1 304 "X" none/none`},
	{"304 length", "9110 15.4.5", code(304, "Content-Length: 5"), `1.1 304 "X" none/none length=5`},
	{"304 chunked", "9112 6.1", code(304, "Transfer-Encoding: chunked"), `1.1 304 "X" none/none chunked`},
	{"100", "9110 15.2.1", code(100), `1.1 100 "X" none/none`},
	{"103 with Link", "8297 2", code(103, "Link: </a.css>"), `1.1 103 "X" none/none`},
	{"100 length 0", "9110 8.6", code(100, "Content-Length: 0"), `1.1 100 "X" none/none length=0`},
	{"100 length", "9110 8.6", code(100, "Content-Length: 5"), "502"},
	{"100 chunked", "9112 6.1", code(100, "Transfer-Encoding: chunked"), "502"},
	{"101", "9110 15.2.2", code(101, "Connection: upgrade", "Upgrade: websocket"), `1.1 101 "X" none/none upgrade=websocket`},
	{"101 without Upgrade", "9110 15.2.2", code(101), "502"},
	{"101 with two", "9110 15.2.2", code(101, "Upgrade: websocket", "Upgrade: foo"), "502"},
	{"101 to h2c", "9113 3.1", code(101, "Upgrade: h2c"), "502"},
	{"Upgrade on 200 is an offer", "9110 7.8", answer("Upgrade: h2c", "Content-Length: 5"), fine + "length/none length=5"},
	{"426", "9110 15.5.22", code(426, "Upgrade: foo", "Content-Length: 5"), `1.1 426 "X" length/none length=5`},

	// Connection.
	{"close", "9112 9.6", answer("Connection: Close", "Content-Length: 5"), fine + "length/none length=5 close"},
	{"close on second line", "9110 5.3", answer("Connection: a", "Connection: close", "Content-Length: 5"), fine + "length/none length=5 close"},
	{"keep-alive in HTTP/1.0", "9112 9.3", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n", `1.0 200 "OK" length/none length=5`},
	{"option that is no token", "9110 7.6.1", answer("Connection: timeout=5, close", "Content-Length: 5"), fine + "length/none length=5 close"},
	{"option names the length", "9110 7.6.1", answer("Connection: Content-Length", "Content-Length: 5"), "502"},
}

func TestResponse(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range responseCases {
		if seen[c.name] || c.section == "" {
			t.Errorf("case %q is there twice, or has no section", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			in := []byte(c.in)
			whole := parseResponseSplit(in, len(in), false)
			got, _, _ := strings.Cut(whole, "\n")
			if c.want == "502" && strings.HasPrefix(got, "502 ") {
				got = "502"
			}
			if got != c.want {
				t.Errorf("Parse(%q) = %s, want %s (RFC %s)", c.in, got, c.want, c.section)
			}
			for _, step := range []int{1, 2, 3, 7, 50} {
				if got := parseResponseSplit(in, step, false); got != whole {
					t.Errorf("Parse(%q) in steps of %d = %s, at once %s", c.in, step, got, whole)
				}
			}
			if got := parseResponseSplit(in, 1, true); got != whole {
				t.Errorf("Parse(%q) in moving buffers = %s, in one %s", c.in, got, whole)
			}
		})
	}
}

func TestResponseFields(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"folds", answer("X: a", " \tb", "Y:", " ", " c", "Z: d"), `X[ false]="a   \tb" Y[ false]="c" Z[ false]="d" `},
		{"space before colon", answer("Server\t : a"), `Server[Server false]="a" `},
		{
			"one length of three", answer("A: b", "Content-Length: 5, 5", "content-length: 5", "C_D: e"),
			`A[ false]="b" Content-Length[Content-Length false]="5" C_D[ true]="e" `,
		},
	} {
		var r Response
		if n, err := r.Parse([]byte(c.in), Limits{}); n != len(c.in) || err != nil {
			t.Errorf("%s: Parse = %d, %v", c.name, n, err)
		}
		if got := describeFields(r.Fields); got != c.want {
			t.Errorf("%s: fields = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestResponseAllocs(t *testing.T) {
	var r Response
	buf := []byte(answerHead)
	if got := testing.AllocsPerRun(100, func() {
		for i := range buf {
			if _, err := r.Parse(buf[:i+1], testLimits); err != nil {
				t.Fatal(err)
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
