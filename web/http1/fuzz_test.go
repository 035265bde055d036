package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The fuzz targets hold the codec against net/http, which is not strict but reads what it accepts well. Whatever both accept
// must have the same meaning; what only we accept must be named here, with the reason.

// source counts what a bufio.Reader on it has given away.
type source struct {
	all  int
	rest *bytes.Reader
	*bufio.Reader
}

func newSource(in []byte) *source {
	rest := bytes.NewReader(in)
	return &source{len(in), rest, bufio.NewReader(rest)}
}

func (s *source) consumed() int { return s.all - s.rest.Len() - s.Buffered() }

func FuzzRequest(f *testing.F) {
	for _, c := range slices.Concat(requestLineCases, targetCases, hostCases, fieldCases) {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in+"5\r\nhello\r\n0\r\n\r\n"), uint8(7))
		}
	}
	f.Add([]byte(browserHead), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		whole := parseSplit(in, max(1, len(in)), false)
		if got := parseSplit(in, int(step)+1, step%2 == 0); len(in) > 0 && got != whole {
			t.Fatalf("in steps of %d = %s, at once %s", step+1, got, whole)
		}
		var r Request
		n, err := r.Parse(in, testLimits)
		if n == 0 || err != nil {
			return
		}
		skip := 0
		if in[0] == '\r' { // net/http does not skip the empty line that RFC 9112 section 2.2 tells us to skip
			skip = 2
		}
		src := newSource(in[skip:])
		req, err := http.ReadRequest(src.Reader)
		if err != nil {
			if strings.Contains(err.Error(), "bad trailer key") { // Trailer names a framing field; we do not read Trailer at all
				return
			}
			t.Fatalf("only we accept: %v", err)
		}
		if got := src.consumed() + skip; got != n {
			t.Errorf("head has %d bytes, net/http says %d", n, got)
		}
		line := bytes.SplitN(in[skip:n], []byte(" "), 3)
		want := fmt.Sprintf("%s %s HTTP/%d.%d host=%s close=%v %s", req.Method, req.RequestURI, req.ProtoMajor, req.ProtoMinor, req.Host,
			req.Close, lengthOf(req.ContentLength, req.TransferEncoding))
		length := max(r.Length, 0)
		var te []string
		if r.Chunked {
			length, te = -1, []string{"chunked"}
		}
		got := fmt.Sprintf("%s %s HTTP/1.%d host=%s close=%v %s", r.Method, line[1], r.Minor, r.Authority, r.Close, lengthOf(length, te))
		if got != want {
			t.Errorf("we read %s, net/http %s", got, want)
		}
		if r.Form != AuthorityForm && r.Form != AsteriskForm && !sameTarget(&r, req) {
			t.Errorf("path %q, query %q, net/http %+v", r.Path, r.Query, req.URL)
		}
		sameFields(t, r.Fields, req.Header, "Host")
		sameBody(t, in[n:], r.Chunked, r.Length, src, req.Body, func() int { return src.consumed() + skip - n })
	})
}

func lengthOf(n int64, te []string) string { return fmt.Sprintf("length=%d coding=%q", n, te) }

func sameTarget(r *Request, req *http.Request) bool {
	path, err := url.PathUnescape(string(r.Path))
	if req.URL.Path != path && (req.URL.Path != "" || path != "/") || err != nil {
		return false
	}
	return string(r.Query) == req.URL.RawQuery && (r.Query != nil) == (req.URL.RawQuery != "" || req.URL.ForceQuery)
}

// sameFields compares values by name, in order; net/http takes some fields out.
func sameFields(t *testing.T, fs []Field, h http.Header, without ...string) {
	t.Helper()
	left := h.Clone()
	for _, name := range without {
		delete(left, name)
	}
	for _, f := range fs {
		name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
		if slices.Contains(without, name) || name == "Transfer-Encoding" || name == "Content-Length" || name == "Trailer" {
			continue
		}
		// Folds are one space to net/http, spaces in place to us.
		got := strings.Join(strings.Fields(string(f.Value)), " ")
		if len(left[name]) == 0 || strings.Join(strings.Fields(left[name][0]), " ") != got {
			t.Errorf("field %s: %q, net/http has %q", f.Name, f.Value, left[name])
			return
		}
		left[name] = left[name][1:]
	}
	for name, values := range left {
		if len(values) > 0 && name != "Content-Length" {
			t.Errorf("net/http has %s: %q too", name, values)
		}
	}
}

// sameBody reads the body from in with our own codec, and compares with what net/http made of it and where it stopped.
func sameBody(t *testing.T, in []byte, chunked bool, length int64, src *source, body io.ReadCloser, consumed func() int) {
	t.Helper()
	if chunked {
		var c Chunks
		got, n := readChunks(&c, in, max(1, len(in)))
		if n == 0 || got == "more" {
			return // FuzzChunks looks at these
		}
		data, err := io.ReadAll(body)
		if err != nil {
			if !narrower(err, in) {
				t.Errorf("only we accept the chunks %q: %v", in, err)
			}
			return
		}
		ours, _, _ := strings.Cut(got, "|")
		if len(c.Trailers) == 0 {
			ours = got
		}
		if !strings.HasPrefix(got, string(data)) || len(c.Trailers) == 0 && ours != string(data) || consumed() != n {
			t.Errorf("body %q in %d bytes, net/http %q in %d", got, n, data, consumed())
		}
		return
	}
	data, err := io.ReadAll(body)
	want := in[:min(max(length, 0), int64(len(in)))]
	if (err == nil) != (int64(len(want)) == max(length, 0)) || !bytes.Equal(data, want) || consumed() != len(want) {
		t.Errorf("body %q, net/http %q, %v", want, data, err)
	}
}

// narrower says whether net/http refuses chunks for one of the reasons that we do not share: its bounds count whole chunk
// lines where ours count extensions, it wants all trailers in its 4 KiB buffer at once, and it does not know the white space before a semicolon that RFC 9112 section 7.1.1
// tells a recipient to read.
func narrower(err error, in []byte) bool {
	return strings.Contains(err.Error(), "header line too long") || strings.Contains(err.Error(), "too much non-data") ||
		strings.Contains(err.Error(), "suspiciously long trailer") ||
		strings.Contains(err.Error(), "invalid byte in chunk length") && blankSemicolon.Match(in)
}

var (
	blankSemicolon = regexp.MustCompile("[ \t];")
	blankColon     = regexp.MustCompile("\n[^ \t:]+[ \t]+:")
)

func FuzzResponse(f *testing.F) {
	for _, c := range responseCases {
		f.Add([]byte(c.in+"5\r\nhello\r\n0\r\n\r\n"), uint8(7))
		f.Add([]byte(c.in), uint8(0))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		whole := parseResponseSplit(in, max(1, len(in)), false)
		if got := parseResponseSplit(in, int(step)+1, step%2 == 0); len(in) > 0 && got != whole {
			t.Fatalf("in steps of %d = %s, at once %s", step+1, got, whole)
		}
		var r Response
		raw := bytes.Clone(in)
		n, err := r.Parse(in, testLimits)
		if n == 0 || err != nil {
			return
		}
		method := "GET"
		if step >= 128 {
			method = "HEAD"
		}
		src := newSource(raw)
		res, err := http.ReadResponse(src.Reader, &http.Request{Method: method})
		if err != nil {
			for _, reason := range []string{
				"bad trailer key",        // as in requests
				"bad Content-Length",     // "5, 5": RFC 9112 section 6.3 lets us fold them
				"unsupported transfer",   // net/http judges the coding before the status
				"malformed MIME header ", // white space before a colon: RFC 9112 section 5.1 tells a proxy to remove it
			} {
				if strings.Contains(err.Error(), reason) {
					return
				}
			}
			t.Fatalf("only we accept: %v", err)
		}
		defer res.Body.Close()
		if got := src.consumed(); got != n {
			t.Errorf("head has %d bytes, net/http says %d", n, got)
		}
		if res.StatusCode != r.Status || res.ProtoMajor != 1 || res.ProtoMinor != int(r.Minor) {
			t.Errorf("1.%d %d, net/http %s %d", r.Minor, r.Status, res.Proto, res.StatusCode)
		}
		if blankColon.Match(raw[:n]) { // net/http keeps the space as a part of the name, and so does not know the field
			return
		}
		sameFields(t, r.Fields, res.Header, "Connection")
		framing := r.Body(method == "HEAD")
		if wantClose := r.Close || framing == UntilClose; res.Close != wantClose && r.Status >= 200 && r.Status != 204 {
			t.Errorf("close %v, net/http %v", wantClose, res.Close)
		}
		length := int64(0)
		switch framing {
		case ByLength:
			length = r.Length
		case UntilClose:
			length = int64(len(in) - n)
		}
		sameBody(t, in[n:], framing == ByChunks, length, src, res.Body, func() int { return src.consumed() - n })
	})
}

func FuzzChunks(f *testing.F) {
	for _, c := range chunkCases {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in), uint64(0))
			f.Add([]byte(c.in+"GET /"), uint64(0x5a5a))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cuts uint64) {
		if len(in) == 0 {
			return
		}
		var c Chunks
		whole, n := readChunks(&c, in, len(in))
		for _, step := range []int{1, int(cuts%64) + 1} {
			if got, k := readChunks(new(Chunks), in, step); got != whole || k != n {
				t.Fatalf("in steps of %d = %q, %d, at once %q, %d", step, got, k, whole, n)
			}
		}
		// Cuts at any 64 places: bit i of cuts ends a window after byte i.
		var split Chunks
		at, data, end := 0, 0, 0
		for at < len(in) {
			for end = max(end, at+1); end < len(in) && (end >= 64 || cuts>>end&1 == 0); {
				end++
			}
			d, k, done, err := split.Next(in[at:end])
			data += len(d)
			at += k
			if done || err != nil {
				if (err != nil) != (n == 0) || done && at != n {
					t.Fatalf("with cuts: %d of %d bytes, %v; at once %q", at, n, err, whole)
				}
				break
			}
		}

		src := newSource(append([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), in...))
		req, err := http.ReadRequest(src.Reader)
		if err != nil {
			t.Fatal(err)
		}
		head := src.consumed()
		body, err := io.ReadAll(req.Body)
		switch {
		case n == 0: // we refuse it; net/http may be less strict
		case whole == "more" && c.state != chunksDone:
			if err == nil {
				t.Errorf("we need more, net/http has %q", body)
			}
		case err != nil:
			if !narrower(err, in) {
				t.Errorf("only we accept: %v", err)
			}
		default:
			if data != len(body) || !strings.HasPrefix(whole, string(body)) {
				t.Errorf("%d bytes of data in %q, net/http %q", data, whole, body)
			}
			if got := src.consumed() - head; got != n {
				t.Errorf("%d bytes, net/http %d", n, got)
			}
			for _, f := range c.Trailers {
				if !slices.Contains(req.Trailer[textproto.CanonicalMIMEHeaderKey(string(f.Name))], string(f.Value)) {
					t.Errorf("trailer %s: %s, net/http %q", f.Name, f.Value, req.Trailer)
				}
			}
		}
	})
}
