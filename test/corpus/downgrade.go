package corpus

import "strings"

// Stream is a request as HTTP/2 and HTTP/3 carry it, by field lines with the pseudo fields among them, and what must become
// of it on its way to an origin that speaks HTTP/1.1. What RFC 9113 section 8 and RFC 9114 section 4 say is the same for both
// versions, so one table is read by the tests of both.
//
// Want is "pass" or "refuse": the stream is reset, or answered with a 4xx, and no origin sees anything of it. Saw is as in
// [Request].
type Stream struct {
	Name, Section string
	Fields        []Line
	Body          string
	Trailers      []Line
	Want, Saw     string
}

// Line is one field line.
type Line struct{ Name, Value string }

// head is a request that nobody can object to, with lines changed: "-name" takes one out, "name: value" replaces the first of
// that name or comes last, "+name: value" comes last whatever there is, "^name: value" comes first.
func head(changes ...string) []Line {
	lines := []Line{{":method", "GET"}, {":scheme", "https"}, {":authority", "h"}, {":path", "/case"}}
	for _, c := range changes {
		lines = change(lines, c)
	}
	return lines
}

func change(lines []Line, c string) []Line {
	if name, ok := strings.CutPrefix(c, "-"); ok {
		for i, l := range lines {
			if l.Name == name {
				return append(lines[:i:i], lines[i+1:]...)
			}
		}
		return lines
	}
	kind := c[0]
	if kind == '+' || kind == '^' {
		c = c[1:]
	}
	i := strings.Index(c[1:], ":") + 1 // a pseudo field's own colon is not the one
	l := Line{c[:i], strings.TrimPrefix(c[i+1:], " ")}
	switch kind {
	case '^':
		return append([]Line{l}, lines...)
	case '+':
		return append(lines, l)
	}
	for i := range lines {
		if lines[i].Name == l.Name {
			lines[i].Value = l.Value
			return lines
		}
	}
	return append(lines, l)
}

// Streams returns all cases.
func Streams() []Stream {
	post := func(changes ...string) []Line { return head(append([]string{":method: POST"}, changes...)...) }
	return []Stream{
		{Name: "plain", Section: "8.3.1", Fields: head(), Want: "pass", Saw: "GET /case HTTP/1.1|Host: h"},
		{Name: "query", Section: "8.3.1", Fields: head(":path: /case?a=b&c"), Want: "pass", Saw: "GET /case?a=b&c HTTP/1.1"},
		{Name: "host in place of authority", Section: "8.3.1", Fields: head("-:authority", "host: h"), Want: "pass", Saw: "Host: h"},
		{Name: "host that agrees", Section: "8.3.1", Fields: head("host: h"), Want: "pass", Saw: "Host: h"},
		{Name: "host that differs", Section: "8.3.1", Fields: head("host: other"), Want: "refuse"},
		{Name: "two hosts", Section: "8.3.1", Fields: head("-:authority", "host: h", "+host: h"), Want: "refuse"},
		{Name: "neither host nor authority", Section: "8.3.1", Fields: head("-:authority"), Want: "refuse"},
		{Name: "empty authority", Section: "8.3.1", Fields: head(":authority: "), Want: "refuse"},
		{Name: "authority with userinfo", Section: "8.3.1", Fields: head(":authority: me@h"), Want: "refuse"},
		{Name: "authority with a path", Section: "8.3.1", Fields: head(":authority: h/x"), Want: "refuse"},
		{Name: "authority with a comma", Section: "8.3.1", Fields: head(":authority: h,evil"), Want: "refuse"},
		{Name: "two authorities", Section: "8.3", Fields: head("^:authority: h"), Want: "refuse"},
		{Name: "two methods", Section: "8.3", Fields: head("^:method: GET"), Want: "refuse"},
		{Name: "two paths", Section: "8.3", Fields: head("^:path: /other"), Want: "refuse"},
		{Name: "two schemes", Section: "8.3", Fields: head("^:scheme: https"), Want: "refuse"},
		{Name: "no method", Section: "8.3.1", Fields: head("-:method"), Want: "refuse"},
		{Name: "no scheme", Section: "8.3.1", Fields: head("-:scheme"), Want: "refuse"},
		{Name: "no path", Section: "8.3.1", Fields: head("-:path"), Want: "refuse"},
		{Name: "empty path", Section: "8.3.1", Fields: head(":path: "), Want: "refuse"},
		{Name: "empty method", Section: "8.3.1", Fields: head(":method: "), Want: "refuse"},
		{Name: "unknown pseudo field", Section: "8.3", Fields: head("^:version: 2"), Want: "refuse"},
		{Name: "pseudo field of answers", Section: "8.3", Fields: head("^:status: 200"), Want: "refuse"},
		{Name: "pseudo field behind others", Section: "8.3", Fields: head("-:path", "a: b", "+:path: /case"), Want: "refuse"},
		{Name: "pseudo field in trailers", Section: "8.1", Fields: post(), Body: "x", Trailers: []Line{{":path", "/evil"}}, Want: "refuse"},

		{Name: "method with a space", Section: "8.3.1", Fields: head(":method: GET /evil"), Want: "refuse"},
		{Name: "method with a line end", Section: "8.3.1", Fields: head(":method: GET / HTTP/1.1\r\nevil: x"), Want: "refuse"},
		{Name: "path with a space", Section: "8.3.1", Fields: head(":path: /case HTTP/1.1"), Want: "refuse"},
		{Name: "path with a line end", Section: "8.3.1", Fields: head(":path: /case\r\nevil: x"), Want: "refuse"},
		{Name: "path with a tab", Section: "8.3.1", Fields: head(":path: /ca\tse"), Want: "refuse"},
		{Name: "path with a fragment", Section: "8.3.1", Fields: head(":path: /case#x"), Want: "refuse"},
		{Name: "path without a slash", Section: "8.3.1", Fields: head(":path: case"), Want: "refuse"},
		{Name: "absolute path", Section: "8.3.1", Fields: head(":path: https://evil/case"), Want: "refuse"},
		{Name: "star with GET", Section: "8.3.1", Fields: head(":path: *"), Want: "refuse"},
		{Name: "star with OPTIONS", Section: "8.3.1", Fields: head(":method: OPTIONS", ":path: *"), Want: "pass", Saw: "OPTIONS * HTTP/1.1"},
		{Name: "scheme with a line end", Section: "8.3.1", Fields: head(":scheme: https\r\nevil: x"), Want: "refuse"},
		{Name: "another scheme", Section: "8.3.1", Fields: head(":scheme: ftp"), Want: "refuse"},
		{Name: "CONNECT", Section: "8.5", Fields: []Line{{":method", "CONNECT"}, {":authority", "evil:80"}}, Want: "refuse"},

		{Name: "upper case", Section: "8.2", Fields: head("X-Upper: a"), Want: "refuse"},
		{Name: "empty name", Section: "8.2.1", Fields: append(head(), Line{"", "a"}), Want: "refuse"},
		{Name: "name with a space", Section: "8.2.1", Fields: append(head(), Line{"a b", "a"}), Want: "refuse"},
		{Name: "name with a colon", Section: "8.2.1", Fields: append(head(), Line{"a:b", "a"}), Want: "refuse"},
		{Name: "name with a line end", Section: "8.2.1", Fields: append(head(), Line{"a\r\nevil", "a"}), Want: "refuse"},
		{Name: "name with NUL", Section: "8.2.1", Fields: append(head(), Line{"a\x00", "a"}), Want: "refuse"},
		{Name: "name with a letter beyond ASCII", Section: "8.2.1", Fields: append(head(), Line{"ä", "a"}), Want: "refuse"},
		{Name: "value with a line end", Section: "8.2.1", Fields: append(head(), Line{"a", "b\r\nevil: x"}), Want: "refuse"},
		{Name: "value with a bare CR", Section: "8.2.1", Fields: append(head(), Line{"a", "b\rc"}), Want: "refuse"},
		{Name: "value with a bare LF", Section: "8.2.1", Fields: append(head(), Line{"a", "b\nc"}), Want: "refuse"},
		{Name: "value with NUL", Section: "8.2.1", Fields: append(head(), Line{"a", "b\x00c"}), Want: "refuse"},
		{Name: "value that begins with a space", Section: "8.2.1", Fields: append(head(), Line{"a", " b"}), Want: "refuse"},
		{Name: "value that ends with a tab", Section: "8.2.1", Fields: append(head(), Line{"a", "b\t"}), Want: "refuse"},
		{Name: "connection", Section: "8.2.2", Fields: head("connection: close"), Want: "refuse"},
		{Name: "proxy-connection", Section: "8.2.2", Fields: head("proxy-connection: keep-alive"), Want: "refuse"},
		{Name: "keep-alive", Section: "8.2.2", Fields: head("keep-alive: timeout=5"), Want: "refuse"},
		{Name: "transfer-encoding", Section: "8.2.2", Fields: post("transfer-encoding: chunked"), Body: "0\r\n\r\n" + Evil, Want: "refuse"},
		{Name: "upgrade", Section: "8.2.2", Fields: head("upgrade: websocket"), Want: "refuse"},
		{Name: "te gzip", Section: "8.2.2", Fields: head("te: gzip"), Want: "refuse"},
		{Name: "te trailers", Section: "8.2.2", Fields: head("te: trailers"), Want: "pass", Saw: "GET /case HTTP/1.1"},
		{Name: "cookie crumbs", Section: "8.2.3", Fields: head("cookie: a=b", "+cookie: c=d"), Want: "pass", Saw: "Cookie: a=b; c=d"},
		{Name: "underscore", Section: "lb.md", Fields: head("x_forwarded_for: 1.2.3.4"), Want: "pass", Saw: "!x_forwarded_for"},
		{Name: "forwarded by a stranger", Section: "lb.md", Fields: head("x-real-ip: 1.2.3.4"), Want: "pass", Saw: "!X-Real-IP"},
		{Name: "identity of a stranger", Section: "RFC 9440 2.4", Fields: head("client-cert: :AAAA:"), Want: "pass", Saw: "!Client-Cert"},

		{Name: "body", Section: "8.1", Fields: post(), Body: "hello", Want: "pass", Saw: "POST /case HTTP/1.1|body=hello"},
		{Name: "body with its length", Section: "8.1.1", Fields: post("content-length: 5"), Body: "hello", Want: "pass", Saw: "Content-Length: 5|!Transfer-Encoding|body=hello"},
		{Name: "body that is an attack", Section: "8.1.1", Fields: post(), Body: "0\r\n\r\n" + Evil, Want: "pass", Saw: "body=0\r\n\r\n" + Evil},
		{Name: "length too small", Section: "8.1.1", Fields: post("content-length: 4"), Body: "hello", Want: "refuse"},
		{Name: "length too large", Section: "8.1.1", Fields: post("content-length: 6"), Body: "hello", Want: "refuse"},
		{Name: "length without a body", Section: "8.1.1", Fields: post("content-length: 5"), Want: "refuse"},
		{Name: "length that is no number", Section: "8.1.1", Fields: post("content-length: +5"), Body: "hello", Want: "refuse"},
		{Name: "two lengths", Section: "8.1.1", Fields: post("content-length: 5", "+content-length: 6"), Body: "hello", Want: "refuse"},
		{Name: "trailers", Section: "8.1", Fields: post(), Body: "hello", Trailers: []Line{{"x-sum", "1"}}, Want: "pass", Saw: "body=hello|trailer X-Sum=1"},
	}
}
