package parser

import "strings"

// with, post and old are requests with these field lines more; start and target are requests with this part.
func with(lines ...string) string {
	return "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func post(lines ...string) string {
	return "POST / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func old(lines ...string) string {
	return "POST / HTTP/1.0\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func start(line string) string { return line + "\r\nHost: h\r\n\r\n" }
func target(t string) string   { return start("GET " + t + " HTTP/1.1") }

// lineCases are about the request line: its white space, methods and versions.
var lineCases = []requestCase{
	{"baseline", "9112 3", start("GET / HTTP/1.1"), "200", "GET / HTTP/1.1|Host: h|X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: h|!Connection"},
	{"one CRLF before", "9112 2.2", "\r\n" + start("GET / HTTP/1.1"), "200", "GET / HTTP/1.1"},
	{"two CRLF before", "9112 2.2", "\r\n\r\n" + start("GET / HTTP/1.1"), "400", ""},
	{"LF before", "9112 2.2", "\n" + start("GET / HTTP/1.1"), "400", ""},
	{"CR before", "9112 2.2", "\r" + start("GET / HTTP/1.1"), "400", ""},
	{"space before", "9112 3", " " + start("GET / HTTP/1.1"), "400", ""},
	{"tab before", "9112 3", "\t" + start("GET / HTTP/1.1"), "400", ""},
	{"NUL before", "9112 3", "\x00" + start("GET / HTTP/1.1"), "400", ""},
	{"byte order mark", "9112 3", "\xef\xbb\xbf" + start("GET / HTTP/1.1"), "400", ""},
	{"TLS hello", "9112 9.7", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", ""},
	{"SOCKS 5 greeting", "9112 3", "\x05\x01\x00", "400", ""},
	{"PROXY protocol 1", "9112 3", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n", "400", ""},
	{"PROXY protocol 2", "9112 3", "\r\n\r\n\x00\r\nQUIT\n", "400", ""},
	{"HTTP/2 preface", "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", ""},
	{"binary garbage", "9112 3", "\x00\x01\x02\xff\xfe\xfd\x80\x90", "400", ""},
	{"SSH banner", "9112 3", "SSH-2.0-OpenSSH_9.2\r\n", "400", ""},
	{"mail greeting", "9112 3", "EHLO example.com\r\n", "400", ""},
	{"two spaces before target", "9112 3", start("GET  / HTTP/1.1"), "400", ""},
	{"two spaces before version", "9112 3", start("GET /  HTTP/1.1"), "400", ""},
	{"tab before target", "9112 3", start("GET\t/ HTTP/1.1"), "400", ""},
	{"tab before version", "9112 3", start("GET /\tHTTP/1.1"), "400", ""},
	{"VT before version", "9112 3", start("GET /\vHTTP/1.1"), "400", ""},
	{"FF before version", "9112 3", start("GET /\fHTTP/1.1"), "400", ""},
	{"space after version", "9112 3", start("GET / HTTP/1.1 "), "400", ""},
	{"tab after version", "9112 3", start("GET / HTTP/1.1\t"), "400", ""},
	{"space in target", "9112 3.2", start("GET /a b HTTP/1.1"), "400", ""},
	{"no target", "9112 3", start("GET HTTP/1.1"), "400", ""},
	{"no method", "9112 3", start("/ HTTP/1.1"), "400", ""},
	{"an answer", "9112 3", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "400", ""},
	{"bare LF after request line", "9112 2.2", "GET / HTTP/1.1\nHost: h\r\n\r\n", "400", ""},
	{"bare LF everywhere", "9112 2.2", "GET / HTTP/1.1\nHost: h\n\n", "400", ""},
	{"bare CR after request line", "9112 2.2", "GET / HTTP/1.1\rHost: h\r\n\r\n", "400", ""},
	{"bare CR everywhere", "9112 2.2", "GET / HTTP/1.1\rHost: h\r\r", "400", ""},
	{"CR CR LF", "9112 2.2", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "400", ""},
	{"LF CR", "9112 2.2", "GET / HTTP/1.1\n\rHost: h\r\n\r\n", "400", ""},
	{"nothing at all", "9112 2.1", "", "none", ""},
	{"CRLF alone", "9112 2.2", "\r\n", "none", ""},
	{"incomplete request line", "9112 3", "GET / HT", "none", ""},
	{"incomplete head", "9112 2.1", "GET / HTTP/1.1\r\nHost: h\r\n", "none", ""},
	{"incomplete last line", "9112 2.1", "GET / HTTP/1.1\r\nHost: h\r\n\r", "none", ""},

	{"POST without body", "9110 9.3.3", start("POST / HTTP/1.1"), "200", "POST / HTTP/1.1|body="},
	{"PUT", "9110 9.3.4", "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "200", "PUT /p HTTP/1.1|body=x"},
	{"DELETE", "9110 9.3.5", start("DELETE / HTTP/1.1"), "200", "DELETE / HTTP/1.1"},
	{"PATCH", "5789 2", "PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "200", "PATCH / HTTP/1.1|body=x"},
	{"HEAD", "9110 9.3.2", start("HEAD / HTTP/1.1"), "200", "HEAD / HTTP/1.1"},
	{"unknown method", "9110 9.1", start("FROB / HTTP/1.1"), "200", "FROB / HTTP/1.1"},
	{"lower case method", "9110 9.1", start("get / HTTP/1.1"), "200", "get / HTTP/1.1"},
	{"one letter method", "9110 9.1", start("M / HTTP/1.1"), "200", "M / HTTP/1.1"},
	{"method with token marks", "9110 9.1", start("M-SEARCH!#$%&'*+.^`|~ / HTTP/1.1"), "200", "M-SEARCH!#$%&'*+.^`|~ / HTTP/1.1"},
	{"method too long", "9110 9.1", start(strings.Repeat("A", 64) + " / HTTP/1.1"), "400", ""},
	{"method of 10,000 bytes", "9110 9.1", start(strings.Repeat("A", 10000) + " / HTTP/1.1"), "400", ""},
	{"method with colon", "9110 9.1", start("GET: / HTTP/1.1"), "400", ""},
	{"method with slash", "9110 9.1", start("GE/T / HTTP/1.1"), "400", ""},
	{"method in quotes", "9110 9.1", start("\"GET\" / HTTP/1.1"), "400", ""},
	{"method with parenthesis", "9110 9.1", start("(GET / HTTP/1.1"), "400", ""},
	{"method with comma", "9110 9.1", start("GET,POST / HTTP/1.1"), "400", ""},
	{"method with NUL", "9110 9.1", start("GE\x00T / HTTP/1.1"), "400", ""},
	{"method with DEL", "9110 9.1", start("GE\x7fT / HTTP/1.1"), "400", ""},
	{"method in UTF-8", "9110 9.1", start("G\xc3\x89T / HTTP/1.1"), "400", ""},

	{"HTTP/1.0", "9112 9.3", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "200 close", "GET / HTTP/1.1|Host: h"},
	{"HTTP/1.0 keep-alive", "9112 9.3", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "200 keep", "GET / HTTP/1.1"},
	{"HTTP/1.0 POST", "9112 9.3", "POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "200 close", "body=abc"},
	{"HTTP/1.2", "9110 2.5", start("GET / HTTP/1.2"), "505", ""},
	{"HTTP/1.9", "9110 2.5", start("GET / HTTP/1.9"), "505", ""},
	{"HTTP/2.0", "9110 2.5", start("GET / HTTP/2.0"), "505", ""},
	{"HTTP/3.0", "9110 2.5", start("GET / HTTP/3.0"), "505", ""},
	{"HTTP/0.9 with version", "9110 2.5", start("GET / HTTP/0.9"), "505", ""},
	{"HTTP/9.9", "9110 2.5", start("GET / HTTP/9.9"), "505", ""},
	{"HTTP/0.9 simple request", "9112 3", "GET /\r\n", "400", ""},
	{"HTTP/0.9 with fields", "9112 3", "GET /\r\nHost: h\r\n\r\n", "400", ""},
	{"HTTP/0.9 with space", "9112 3", "GET / \r\nHost: h\r\n\r\n", "400", ""},
	{"lower case version", "9112 2.3", start("GET / http/1.1"), "400", ""},
	{"mixed case version", "9112 2.3", start("GET / Http/1.1"), "400", ""},
	{"HTTP/1", "9112 2.3", start("GET / HTTP/1"), "400", ""},
	{"HTTP/2", "9112 2.3", start("GET / HTTP/2"), "400", ""},
	{"HTTP/1.", "9112 2.3", start("GET / HTTP/1."), "400", ""},
	{"HTTP/1.10", "9112 2.3", start("GET / HTTP/1.10"), "400", ""},
	{"HTTP/1.32", "9112 2.3", start("GET / HTTP/1.32"), "400", ""},
	{"HTTP/01.1", "9112 2.3", start("GET / HTTP/01.1"), "400", ""},
	{"HTTP/1.01", "9112 2.3", start("GET / HTTP/1.01"), "400", ""},
	{"HTTP/1,1", "9112 2.3", start("GET / HTTP/1,1"), "400", ""},
	{"HTTP/1.1.1", "9112 2.3", start("GET / HTTP/1.1.1"), "400", ""},
	{"HTTP 1.1", "9112 2.3", start("GET / HTTP 1.1"), "400", ""},
	{"HTTP/+1.1", "9112 2.3", start("GET / HTTP/+1.1"), "400", ""},
	{"HTTPS/1.1", "9112 2.3", start("GET / HTTPS/1.1"), "400", ""},
	{"RTSP/1.0", "9112 2.3", start("OPTIONS * RTSP/1.0"), "400", ""},
	{"version with NUL", "9112 2.3", start("GET / HTTP/1.1\x00"), "400", ""},
	{"version in wide digits", "9112 2.3", start("GET / HTTP/1.\xef\xbc\x91"), "400", ""},
}
