package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type chunkCase struct {
	name, section, in, want string
}

const last = "0\r\n\r\n"

// Wants are: the data, "|", the trailers if there are any; or the status; or "more".
var chunkCases = []chunkCase{
	{"empty body", "9112 7.1", last, ""},
	{"one chunk", "9112 7.1", "5\r\nhello\r\n" + last, "hello"},
	{"two chunks", "9112 7.1", "5\r\nhello\r\n1\r\n!\r\n" + last, "hello!"},
	{"hex sizes", "9112 7.1", "a\r\n0123456789\r\nA\r\n0123456789\r\n" + last, "01234567890123456789"},
	{"leading zeros", "9112 7.1", "00005\r\nhello\r\n" + last, "hello"},
	{"many zeros last", "9112 7.1", "0000\r\n\r\n", ""},
	{"sixteen digits", "9112 7.1", "0000000000000005\r\nhello\r\n" + last, "hello"},
	{"data looks like framing", "9112 7.1", "5\r\n0\r\n\r\n\r\n" + last, "0\r\n\r\n"},
	{"what follows is left", "9112 7.1", "1\r\na\r\n" + last, "a"},
	{"more: nothing", "9112 7.1", "", "more"},
	{"more: size", "9112 7.1", "5", "more"},
	{"more: line end", "9112 7.1", "5\r", "more"},
	{"more: data", "9112 7.1", "5\r\nhell", "more"},
	{"more: data's end", "9112 7.1", "5\r\nhello\r", "more"},
	{"more: last chunk", "9112 7.1", "0\r\n", "more"},
	{"more: last line end", "9112 7.1", "0\r\n\r", "more"},
	{"more: trailers", "9112 7.1.2", "0\r\nX: a\r\n", "more"},

	// Sizes.
	{"seventeen digits", "9112 7.1", "00000000000000005\r\nhello\r\n" + last, "400"},
	{"largest size", "9112 7.1", "7fffffffffffffff\r\n", "more"},
	{"size past int64", "9112 7.1", "8000000000000000\r\n", "400"},
	{"size past uint64", "9112 7.1", "10000000000000005\r\nhello\r\n" + last, "400"},
	{"size past 32 bits is no small one", "9112 7.1", "100000005\r\nhello\r\n" + last, "more"},
	{"no size", "9112 7.1", "\r\nhello\r\n" + last, "400"},
	{"extension without size", "9112 7.1", ";a\r\n" + last, "400"},
	{"0x", "9112 7.1", "0x5\r\nhello\r\n" + last, "400"},
	{"plus", "9112 7.1", "+5\r\nhello\r\n" + last, "400"},
	{"minus", "9112 7.1", "-5\r\nhello\r\n" + last, "400"},
	{"minus zero", "9112 7.1", "-0\r\n\r\n", "400"},
	{"underscore", "9112 7.1", "0_5\r\nhello\r\n" + last, "400"},
	{"comma", "9112 7.1", "5,5\r\nhello\r\n" + last, "400"},
	{"point", "9112 7.1", "5.\r\nhello\r\n" + last, "400"},
	{"letter", "9112 7.1", "g\r\n" + last, "400"},
	{"letter after size", "9112 7.1", "5g\r\nhello\r\n" + last, "400"},
	{"quotes", "9112 7.1", "\"5\"\r\nhello\r\n" + last, "400"},
	{"space before size", "9112 7.1", " 5\r\nhello\r\n" + last, "400"},
	{"tab before size", "9112 7.1", "\t5\r\nhello\r\n" + last, "400"},
	{"space after size", "9112 7.1", "5 \r\nhello\r\n" + last, "400"},
	{"tab after size", "9112 7.1", "5\t\r\nhello\r\n" + last, "400"},
	{"space in size", "9112 7.1", "5 5\r\nhello\r\n" + last, "400"},
	{"NUL after size", "9112 7.1", "5\x00\r\nhello\r\n" + last, "400"},
	{"VT after size", "9112 7.1", "5\v\r\nhello\r\n" + last, "400"},
	{"wide digit", "9112 7.1", "\xef\xbc\x95\r\nhello\r\n" + last, "400"},
	{"obs-text", "9112 7.1", "5\xa0\r\nhello\r\n" + last, "400"},

	// Line ends.
	{"bare LF after size", "9112 7.1", "5\nhello\r\n" + last, "400"},
	{"bare CR after size", "9112 7.1", "5\rhello\r\n" + last, "400"},
	{"other byte for LF after size", "9112 7.1", "5\rXhello\r\n" + last, "400"},
	{"other byte for LF after last size", "9112 7.1", "0\rX\r\n", "400"},
	{"CR CR LF after size", "9112 7.1", "5\r\r\nhello\r\n" + last, "400"},
	{"LF CR after size", "9112 7.1", "5\n\rhello\r\n" + last, "400"},
	{"bare LF after data", "9112 7.1", "5\r\nhello\n" + last, "400"},
	{"bare CR after data", "9112 7.1", "5\r\nhello\r" + last, "400"},
	{"no line end after data", "9112 7.1", "5\r\nhello" + last, "400"},
	{"data too long", "9112 7.1", "5\r\nhello!\r\n" + last, "400"},
	{"data too short", "9112 7.1", "5\r\nhell\r\n" + last, "400"},
	{"two line ends after data", "9112 7.1", "5\r\nhello\r\n\r\n" + last, "400"},
	{"bare LF after last size", "9112 7.1", "0\n\r\n", "400"},
	{"bare LF at the end", "9112 7.1", "0\r\n\n", "400"},
	{"bare CR at the end", "9112 7.1", "0\r\n\rX", "400"},

	// Extensions.
	{"extension", "9112 7.1.1", "5;a=b\r\nhello\r\n" + last, "hello"},
	{"extension without value", "9112 7.1.1", "5;a\r\nhello\r\n" + last, "hello"},
	{"extensions", "9112 7.1.1", "5;a=b;c;d=\"e\"\r\nhello\r\n" + last, "hello"},
	{"extension of the last chunk", "9112 7.1.1", "0;a=b\r\n\r\n", ""},
	{"bad white space everywhere", "9112 7.1.1", "5 \t; a = b\t;c = \"d\" ; e\r\nhello\r\n" + last, "hello"},
	{"quoted value", "9112 7.1.1", "5;a=\"b;c=d, \te\"\r\nhello\r\n" + last, "hello"},
	{"quoted pair", "9112 7.1.1", "5;a=\"\\\"\\\\\\ \"\r\nhello\r\n" + last, "hello"},
	{"empty quotes", "9112 7.1.1", "5;a=\"\"\r\nhello\r\n" + last, "hello"},
	{"quoted obs-text", "9112 7.1.1", "5;a=\"\xc3\xa9\"\r\nhello\r\n" + last, "hello"},
	{"quoted line end", "9112 7.1.1", "5;a=\"\r\n\"\r\nhello\r\n" + last, "400"},
	{"quoted bare LF", "9112 7.1.1", "5;a=\"\n\"\r\nhello\r\n" + last, "400"},
	{"quoted bare CR", "9112 7.1.1", "5;a=\"\r\"\r\nhello\r\n" + last, "400"},
	{"escaped LF", "9112 7.1.1", "5;a=\"\\\n\"\r\nhello\r\n" + last, "400"},
	{"quoted NUL", "9112 7.1.1", "5;a=\"\x00\"\r\nhello\r\n" + last, "400"},
	{"quotes not closed", "9112 7.1.1", "5;a=\"b\r\nhello\r\n" + last, "400"},
	{"rest after quotes", "9112 7.1.1", "5;a=\"b\"c\r\nhello\r\n" + last, "400"},
	{"quoted name", "9112 7.1.1", "5;\"a\"\r\nhello\r\n" + last, "400"},
	{"empty extension", "9112 7.1.1", "5;\r\nhello\r\n" + last, "400"},
	{"empty extension with space", "9112 7.1.1", "5; \r\nhello\r\n" + last, "400"},
	{"two semicolons", "9112 7.1.1", "5;;a\r\nhello\r\n" + last, "400"},
	{"no name", "9112 7.1.1", "5;=b\r\nhello\r\n" + last, "400"},
	{"no value", "9112 7.1.1", "5;a=\r\nhello\r\n" + last, "400"},
	{"no value, next", "9112 7.1.1", "5;a=;b\r\nhello\r\n" + last, "400"},
	{"two equal signs", "9112 7.1.1", "5;a==b\r\nhello\r\n" + last, "400"},
	{"space after name", "9112 7.1.1", "5;a \r\nhello\r\n" + last, "400"},
	{"space after value", "9112 7.1.1", "5;a=b \r\nhello\r\n" + last, "400"},
	{"two values", "9112 7.1.1", "5;a=b c\r\nhello\r\n" + last, "400"},
	{"comma in value", "9112 7.1.1", "5;a=b,c\r\nhello\r\n" + last, "400"},
	{"bare LF in extension", "9112 7.1.1", "5;a\nX\r\nhello\r\n" + last, "400"},
	{"bare LF before name", "9112 7.1.1", "5;\nX\r\nhello\r\n" + last, "400"},
	{"bare LF after value", "9112 7.1.1", "5;a=b\nX\r\nhello\r\n" + last, "400"},
	{"bare CR in extension", "9112 7.1.1", "5;a\rX\r\nhello\r\n" + last, "400"},
	{"NUL in extension", "9112 7.1.1", "5;a\x00\r\nhello\r\n" + last, "400"},
	{"obs-text in name", "9112 7.1.1", "5;\xc3\xa9\r\nhello\r\n" + last, "400"},
	{"longest extension", "9112 7.1.1", "5;" + strings.Repeat("a", maxExtension-1) + "\r\nhello\r\n" + last, "hello"},
	{"extension too long", "9112 7.1.1", "5;" + strings.Repeat("a", maxExtension) + "\r\nhello\r\n" + last, "400"},
	{"quoted extension too long", "9112 7.1.1", "5;a=\"" + strings.Repeat("a", maxExtension) + "\"\r\nhello\r\n" + last, "400"},
	{"white space too long", "9112 7.1.1", "5" + strings.Repeat(" ", maxExtension) + ";a\r\nhello\r\n" + last, "400"},
	{"extensions up to the bound", "9112 7.1.1", strings.Repeat("1;"+strings.Repeat("a", 1023)+"\r\nx\r\n", 16) + last, strings.Repeat("x", 16)},
	{"extensions too long together", "9112 7.1.1", strings.Repeat("1;"+strings.Repeat("a", 1023)+"\r\nx\r\n", 16) + "1;a\r\nx\r\n" + last, "400"},

	// Trailers.
	{"trailer", "9112 7.1.2", "0\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers", "9112 7.1.2", "1\r\nx\r\n0\r\nX: a\r\ngrpc-status: 0\r\nETag: \"b\"\r\n\r\n", "x|X=a|grpc-status=0|ETag=\"b\""},
	{"empty trailer value", "9112 7.1.2", "0\r\nX:\r\n\r\n", "|X="},
	{"trailer with fold", "9112 5.2", "0\r\nX: a\r\n b\r\n\r\n", "400"},
	{"trailer with white space first", "9112 5.2", "0\r\n X: a\r\n\r\n", "400"},
	{"trailer with space before colon", "9112 5.1", "0\r\nX : a\r\n\r\n", "400"},
	{"trailer without colon", "9112 5", "0\r\nX\r\n\r\n", "400"},
	{"trailer without name", "9112 5", "0\r\n: a\r\n\r\n", "400"},
	{"trailer with bare LF", "9112 2.2", "0\r\nX: a\n\r\n", "400"},
	{"trailer with bare CR", "9112 2.2", "0\r\nX: a\rb\r\n\r\n", "400"},
	{"trailer with NUL", "9110 5.5", "0\r\nX: a\x00\r\n\r\n", "400"},
	{"a request for a trailer", "9112 7.1.2", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
	{"trailers that frame", "9110 6.5.1", "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers that route", "9110 6.5.1", "0\r\nHost: a\r\nMax-Forwards: 0\r\nX-Original-URL: /b\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers that authenticate", "9110 6.5.1", "0\r\nAuthorization: a\r\nCookie: b\r\nSet-Cookie: c\r\nProxy-Foo: d\r\nWWW-Authenticate: e\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers about content", "9110 6.5.1", "0\r\nContent-Type: a\r\nCONTENT-ENCODING: b\r\nContent-Range: c\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers that condition", "9110 6.5.1", "0\r\nIf-Match: a\r\nRange: b\r\nCache-Control: c\r\nExpect: d\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers of a proxy", "9110 6.5.1", "0\r\nX-Forwarded-For: a\r\nx-forwarded-foo: b\r\nForwarded: c\r\nX-Real-IP: d\r\nX: a\r\n\r\n", "|X=a"},
	{"hop-by-hop trailers", "9110 7.6.1", "0\r\nConnection: a\r\nKeep-Alive: b\r\nUpgrade: c\r\nTE: d\r\nX: a\r\n\r\n", "|X=a"},
	{"trailers with underscores", "9110 6.5.1", "0\r\nX_Forwarded_For: a\r\nContent_Length: 5\r\nX_Y: b\r\nX: a\r\n\r\n", "|X=a"},
	{"most trailers", "6585 5", "0\r\n" + strings.Repeat("X:\r\n", maxTrailers) + "\r\n", strings.Repeat("|X=", maxTrailers)},
	{"too many trailers", "6585 5", "0\r\n" + strings.Repeat("X:\r\n", maxTrailers+1) + "\r\n", "431"},
	{"longest trailer", "6585 5", "0\r\nX:" + strings.Repeat("a", maxTrailerSection-6) + "\r\n\r\n", "|X=" + strings.Repeat("a", maxTrailerSection-6)},
	{"trailer too long", "6585 5", "0\r\nX:" + strings.Repeat("a", maxTrailerSection-5) + "\r\n\r\n", "431"},
}

// readChunks gives in to c in windows: step more bytes are there each time that c needs more. It returns what was read and
// how many bytes that took.
func readChunks(c *Chunks, in []byte, step int) (string, int) {
	var data []byte
	at, end := 0, min(step, len(in))
	for {
		d, n, done, err := c.Next(in[at:end:end])
		data = append(data, d...)
		at += n
		switch {
		case err != nil:
			var e *Error
			if !errors.As(err, &e) {
				return "not an *Error: " + err.Error(), at
			}
			return fmt.Sprintf("%d %s after %d", e.Status, e.Reason, len(data)), 0
		case done:
			var b strings.Builder
			b.Write(data)
			for _, f := range c.Trailers {
				fmt.Fprintf(&b, "|%s=%s", f.Name, f.Value)
			}
			return b.String(), at
		case len(d) > 0:
			continue
		case at != end:
			return fmt.Sprintf("stopped at %d of %d", at, end), at
		case end == len(in):
			return "more", at
		}
		end = min(end+step, len(in))
	}
}

func TestChunks(t *testing.T) {
	var reused Chunks
	seen := map[string]bool{}
	for _, c := range chunkCases {
		if seen[c.name] || c.section == "" {
			t.Errorf("case %q is there twice, or has no section", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			in := []byte(c.in + "GET /next")
			if c.want == "more" {
				in = []byte(c.in)
			}
			whole, n := readChunks(new(Chunks), in, len(in))
			got := whole
			if len(c.want) == 3 && (c.want == "400" || c.want == "431") && n == 0 {
				got = got[:3]
			} else if n != len(c.in) {
				t.Errorf("Next consumed %d bytes, want %d", n, len(c.in))
			}
			if got != c.want {
				t.Errorf("Next(%q) = %q, want %q (RFC %s)", c.in, got, c.want, c.section)
			}
			for _, step := range []int{1, 2, 3, 5, 100} {
				reused.Reset()
				if got, k := readChunks(&reused, in, step); got != whole || k != n {
					t.Errorf("Next(%q) in steps of %d = %q, %d, at once %q, %d", c.in, step, got, k, whole, n)
				}
			}
		})
	}
}

func TestChunksOrigin(t *testing.T) {
	c := Chunks{Origin: true}
	c.Reset()
	var e *Error
	if _, _, _, err := c.Next([]byte("x")); !errors.As(err, &e) || e.Status != 502 {
		t.Errorf("error of an origin's body = %v, want 502", err)
	}
}

// What is written can be read.
func TestAppendChunk(t *testing.T) {
	var b []byte
	for _, s := range []string{"a", strings.Repeat("b", 16), strings.Repeat("c", 70000)} {
		b = AppendChunkSize(b, int64(len(s)))
		b = append(b, s...)
		b = append(b, "\r\n"...)
	}
	b = AppendLastChunk(b, []Field{{Name: []byte("X"), Value: []byte("y")}, {Name: []byte("Z")}})
	want := "a" + strings.Repeat("b", 16) + strings.Repeat("c", 70000) + "|X=y|Z="
	if got, n := readChunks(new(Chunks), b, 1000); got != want || n != len(b) {
		t.Errorf("read %d bytes of %d as %d, want %d", n, len(b), len(got), len(want))
	}
	if got := string(AppendLastChunk(AppendChunkSize(nil, 255), nil)); got != "ff\r\n0\r\n\r\n" {
		t.Errorf("appended %q", got)
	}
}

func TestChunksAllocs(t *testing.T) {
	in := []byte("5;a=b\r\nhello\r\n400\r\n" + strings.Repeat("x", 1024) + "\r\n0\r\nX: a\r\nHost: b\r\n\r\n")
	var c Chunks
	if got := testing.AllocsPerRun(100, func() {
		c.Reset()
		for at := 0; at < len(in); {
			_, n, _, err := c.Next(in[at:min(at+7, len(in))])
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkChunks(b *testing.B) {
	in := bytes.Repeat([]byte("1000\r\n"+strings.Repeat("x", 4096)+"\r\n"), 16)
	in = append(in, last...)
	var c Chunks
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		c.Reset()
		for at := 0; at < len(in); {
			_, n, _, err := c.Next(in[at:])
			if err != nil {
				b.Fatal(err)
			}
			at += n
		}
	}
}
