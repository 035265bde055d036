package message

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var usual = Bounds{Size: 16 << 10, Fields: 100}

func get(more ...string) []string {
	return append([]string{":method: GET", ":scheme: http", ":path: /", ":authority: example.com"}, more...)
}

func post(more ...string) []string {
	return append([]string{":method: POST", ":scheme: http", ":path: /", ":authority: example.com"}, more...)
}

// describe shows a request as one line.
func describe(r *Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s", r.Method, r.Scheme, r.Authority, r.Path)
	if r.Protocol != "" {
		b.WriteString(" over " + r.Protocol)
	}
	fmt.Fprintf(&b, " %d", r.Length)
	for _, f := range r.Fields {
		fmt.Fprintf(&b, " [%s: %s]", f.Name, f.Value)
	}
	return b.String()
}

func judge(b Bounds, extended, trailer, end bool, fields ...string) string {
	var l List
	var r Request
	l.Reset(b, trailer)
	for _, f := range fields {
		i := strings.Index(f[min(1, len(f)):], ":") + min(1, len(f))
		if l.Add(f[:i], strings.TrimPrefix(f[i+1:], " ")) {
			break
		}
	}
	if l.Large {
		return "large"
	}
	if trailer {
		if l.Bad != "" {
			return "bad: " + l.Bad
		}
		return describe(&Request{Fields: l.Fields})
	}
	if bad := l.Request(&r, extended, end); bad != "" {
		return "bad: " + bad
	}
	return describe(&r)
}

// Cases are RFC 9113 section 8 unless they say otherwise. want "bad" is any refusal.
func TestRequests(t *testing.T) {
	with := func(f ...string) []string { return get(f...) }
	path := func(method, p string) []string {
		return []string{":method: " + method, ":scheme: https", ":path: " + p, ":authority: a.example"}
	}
	const plain = "GET http example.com / 0"
	for _, c := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"plain", with(), plain},
		{"fields", with("accept: */*", "x-a: "), plain + " [accept: */*] [x-a: ]"},
		{"obs-text in value", with("x: \xe4"), plain + " [x: \xe4]"},
		{"tab in value", with("x: a\tb"), plain + " [x: a\tb]"},
		{"underscore name", with("a_b: c"), plain + " [a_b: c]"},
		{"te trailers", with("te: trailers"), plain + " [te: trailers]"},
		{"te Trailers", with("te: Trailers"), plain + " [te: Trailers]"},
		{"cookie", with("cookie: a=1"), plain + " [cookie: a=1]"},
		{"cookie crumbs", with("cookie: a=1", "x: y", "cookie: b=2", "cookie: c=3"), plain + " [cookie: a=1; b=2; c=3] [x: y]"},
		{"host as authority", []string{":method: GET", ":scheme: http", ":path: /", "host: h.example"}, "GET http h.example / 0"},
		{"same host", with("host: EXAMPLE.com"), plain},
		{"query", path("GET", "/a?b=c&d"), "GET https a.example /a?b=c&d 0"},
		{"asterisk", path("OPTIONS", "*"), "OPTIONS https a.example * 0"},
		{"own method", path("BREW", "/"), "BREW https a.example / 0"},
		{"authority with port", []string{":method: GET", ":scheme: http", ":path: /", ":authority: [::1]:80"}, "GET http [::1]:80 / 0"},
		{"connect", []string{":method: CONNECT", ":authority: a.example:443"}, "CONNECT  a.example:443  0"},
		{"extended connect", append(path("CONNECT", "/chat"), ":protocol: websocket"), "CONNECT https a.example /chat over websocket 0"},

		{"connection", with("connection: close"), "bad"},
		{"proxy-connection", with("proxy-connection: close"), "bad"},
		{"keep-alive", with("keep-alive: 5"), "bad"},
		{"transfer-encoding", with("transfer-encoding: chunked"), "bad"},
		{"upgrade", with("upgrade: websocket"), "bad"},
		{"te gzip", with("te: gzip"), "bad"},
		{"te trailers and more", with("te: trailers, gzip"), "bad"},
		{"te empty", with("te: "), "bad"},
		{"capital in name", with("X-a: b"), "bad"},
		{"empty name", append(with(), ": b"), "bad"},
		{"space in name", with("x a: b"), "bad"},
		{"space after name", with("x : b"), "bad"},
		{"NUL in name", with("x\x00: b"), "bad"},
		{"LF in name", with("x\ny: b"), "bad"},
		{"obs-text in name", with("\xe4: b"), "bad"},
		{"parenthesis in name", with("x(: b"), "bad"},
		{"LF in value", with("x: a\nb: c"), "bad"},
		{"CR in value", with("x: a\rb"), "bad"},
		{"NUL in value", with("x: a\x00b"), "bad"},
		{"DEL in value", with("x: a\x7f"), "bad"},
		{"ESC in value", with("x: a\x1b[0m"), "bad"},
		{"leading space", with("x:  a"), "bad"},
		{"trailing space", with("x: a "), "bad"},
		{"leading tab", with("x: \ta"), "bad"},
		{"trailing tab", with("x: a\t"), "bad"},
		{"LF in cookie crumb", with("cookie: a=1", "cookie: b\nc"), "bad"},

		{"no method", []string{":scheme: http", ":path: /", ":authority: a"}, "bad"},
		{"empty method", path("", "/"), "bad"},
		{"method with space", path("GET /", "/"), "bad"},
		{"method with LF", path("GET\n", "/"), "bad"},
		{"no scheme", []string{":method: GET", ":path: /", ":authority: a"}, "bad"},
		{"ftp", []string{":method: GET", ":scheme: ftp", ":path: /", ":authority: a"}, "bad"},
		{"scheme with space", []string{":method: GET", ":scheme: http ", ":path: /", ":authority: a"}, "bad"},
		{"no path", []string{":method: GET", ":scheme: http", ":authority: a"}, "bad"},
		{"empty path", path("GET", ""), "bad"},
		{"path without slash", path("GET", "a"), "bad"},
		{"absolute path", path("GET", "http://b/"), "bad"},
		{"asterisk with GET", path("GET", "*"), "bad"},
		{"two asterisks", path("OPTIONS", "**"), "bad"},
		{"space in path", path("GET", "/ HTTP/1.1"), "bad"},
		{"LF in path", path("GET", "/\n"), "bad"},
		{"NUL in path", path("GET", "/\x00"), "bad"},
		{"fragment", path("GET", "/a#b"), "bad"},
		{"obs-text in path", path("GET", "/\xe4"), "bad"},
		{"no authority", []string{":method: GET", ":scheme: http", ":path: /"}, "bad"},
		{"empty authority", []string{":method: GET", ":scheme: http", ":path: /", ":authority: "}, "bad"},
		{"empty authority with host", []string{":method: GET", ":scheme: http", ":path: /", ":authority: ", "host: a"}, "bad"},
		{"userinfo", []string{":method: GET", ":scheme: http", ":path: /", ":authority: u@a"}, "bad"},
		{"slash in authority", []string{":method: GET", ":scheme: http", ":path: /", ":authority: a/b"}, "bad"},
		{"space in authority", []string{":method: GET", ":scheme: http", ":path: /", ":authority: a b"}, "bad"},
		{"comma in authority", []string{":method: GET", ":scheme: http", ":path: /", ":authority: a,b"}, "bad"},
		{"other host", with("host: b.example"), "bad"},
		{"two hosts", with("host: example.com", "host: example.com"), "bad"},
		{"userinfo in host", []string{":method: GET", ":scheme: http", ":path: /", "host: u@a"}, "bad"},
		{"method twice", append([]string{":method: GET"}, with()...), "bad"},
		{"path twice", append([]string{":path: /"}, with()...), "bad"},
		{"scheme twice", append([]string{":scheme: http"}, with()...), "bad"},
		{"authority twice", append([]string{":authority: example.com"}, with()...), "bad"},
		{"unknown pseudo field", append([]string{":foo: bar"}, with()...), "bad"},
		{"status", append([]string{":status: 200"}, with()...), "bad"},
		{"late pseudo field", []string{":method: GET", ":scheme: http", "x: y", ":path: /", ":authority: a"}, "bad"},
		{"protocol without connect", append(path("GET", "/"), ":protocol: websocket"), "bad"},
		{"empty protocol", append(path("CONNECT", "/"), ":protocol: "), "bad"},
		{"connect with path", []string{":method: CONNECT", ":authority: a:1", ":path: /"}, "bad"},
		{"connect with scheme", []string{":method: CONNECT", ":authority: a:1", ":scheme: http"}, "bad"},
		{"connect without authority", []string{":method: CONNECT", "host: a:1"}, "bad"},
		{"extended connect without path", []string{":method: CONNECT", ":scheme: http", ":authority: a", ":protocol: websocket"}, "bad"},
		{"body that never comes", with("content-length: 1"), "bad"},

		{"largest list", with("x: " + strings.Repeat("a", 1000-4*32-len(":methodGET:schemehttp:path/:authorityexample.com")-33)), plain},
		{"too large", with("x: " + strings.Repeat("a", 1000-4*32-len(":methodGET:schemehttp:path/:authorityexample.com")-32)), "large"},
		{"too many", with("a: ", "b: ", "c: ", "d: ", "e: "), "large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := judge(Bounds{1000, 4}, true, false, true, c.fields...)
			if c.name == "largest list" {
				got, _, _ = strings.Cut(got, " [x")
			}
			if c.want == "bad" && strings.HasPrefix(got, "bad: ") {
				return
			}
			if got != c.want {
				t.Errorf("%q\n got %s\nwant %s", c.fields, got, c.want)
			}
		})
	}
}

func TestExtendedConnectMustBeOffered(t *testing.T) {
	got := judge(usual, false, false, false,
		":method: CONNECT", ":scheme: http", ":path: /", ":authority: a", ":protocol: websocket")
	if !strings.HasPrefix(got, "bad: ") {
		t.Errorf("extended CONNECT that was not offered = %s, want a refusal", got)
	}
}

func TestLengths(t *testing.T) {
	for value, want := range map[string]string{
		"": "bad", "0": "0", "5": "5", "007": "7", "999999999999999999": "999999999999999999", "1000000000000000000": "bad",
		"-1": "bad", "+1": "bad", "1 ": "bad", "1,1": "bad", "0x1": "bad", "1.0": "bad", "a": "bad", "\xef\xbc\x95": "bad",
	} {
		got := judge(usual, true, false, false, post("content-length: "+value)...)
		if want != "bad" {
			want = "POST http example.com / " + want
		} else if strings.HasPrefix(got, "bad: ") {
			got = "bad"
		}
		if got != want {
			t.Errorf("content-length %q: %s, want %s", value, got, want)
		}
	}
	if got := judge(usual, true, false, false, post("content-length: 1", "content-length: 1")...); !strings.HasPrefix(got, "bad") {
		t.Errorf("two lengths: %s, want a refusal", got)
	}
	if got, want := judge(usual, true, false, false, post()...), "POST http example.com / -1"; got != want {
		t.Errorf("no length: %s, want %s", got, want)
	}
}

func TestTrailerFields(t *testing.T) {
	for _, c := range []struct{ name, field, want string }{
		{"useful", "grpc-status: 0", "    0 [grpc-status: 0]"},
		{"etag", "etag: x", "    0 [etag: x]"},
		{"length is dropped", "content-length: 5", "    0"},
		{"host is dropped", "host: x", "    0"},
		{"identity is dropped", "authorization: x", "    0"},
		{"forwarding is dropped", "x-forwarded-for: ::1", "    0"},
		{"underscore is dropped", "content_length: 5", "    0"},
		{"cookie is dropped", "cookie: a", "    0"},
		{"pseudo field", ":path: /", "bad"},
		{"connection", "connection: x", "bad"},
		{"capital", "Etag: x", "bad"},
		{"LF", "etag: x\n", "bad"},
	} {
		got := judge(usual, true, true, true, c.field)
		if c.want == "bad" && strings.HasPrefix(got, "bad: ") {
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// Trailers that would change what has been judged are left out, others are kept.
func TestTrailersLeftOut(t *testing.T) {
	var l List
	l.Reset(Bounds{1000, 10}, true)
	for _, n := range []string{"x-sum", "content-length", "authorization", "cookie", "x_y", "etag"} {
		l.Add(n, "1")
	}
	var got []string
	for _, f := range l.Fields {
		got = append(got, string(f.Name))
	}
	if diff := cmp.Diff([]string{"x-sum", "etag"}, got); diff != "" || l.Bad != "" {
		t.Errorf("kept (-want +got):\n%s%s", diff, l.Bad)
	}
	l.Add(":path", "/")
	if l.Bad == "" {
		t.Error("a pseudo field in trailers was taken")
	}
}

// A list that went back to a pool keeps nothing of its request alive.
func TestForget(t *testing.T) {
	var l List
	l.Reset(usual, false)
	for _, f := range get("cookie: a=b", "cookie: c=d", "x: y") {
		i := strings.Index(f[1:], ":") + 1
		l.Add(f[:i], f[i+2:])
	}
	l.Forget()
	for i, f := range l.Fields[:cap(l.Fields)] {
		if f.Name != nil || f.Value != nil {
			t.Errorf("field %d is still %q: %q", i, f.Name, f.Value)
		}
	}
	if l.path != "" || l.auth != "" || l.method != "" {
		t.Errorf("still %q %q %q", l.method, l.auth, l.path)
	}
}
