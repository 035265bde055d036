package http1

import "strings"

// with, post and old are requests with these field lines more; start, target and host are requests with this part.
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
func host(h string) string     { return "GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\n" }

const plain = "GET origin h / 1.1"

// The accept/reject tables of the codec. This one is for the request line.
var requestLineCases = []requestCase{
	// The request line.
	{"simplest", "9112 3", start("GET / HTTP/1.1"), plain},
	{"one empty line before", "9112 2.2", "\r\n" + start("GET / HTTP/1.1"), plain},
	{"two empty lines before", "9112 2.2", "\r\n\r\n" + start("GET / HTTP/1.1"), "400"},
	{"LF before", "9112 2.2", "\n" + start("GET / HTTP/1.1"), "400"},
	{"CR before", "9112 2.2", "\r" + start("GET / HTTP/1.1"), "400"},
	{"space before", "9112 3", " " + start("GET / HTTP/1.1"), "400"},
	{"tab before", "9112 3", "\t" + start("GET / HTTP/1.1"), "400"},
	{"NUL before", "9112 3", "\x00" + start("GET / HTTP/1.1"), "400"},
	{"byte order mark before", "9112 3", "\xef\xbb\xbf" + start("GET / HTTP/1.1"), "400"},
	{"TLS hello", "9112 9.7", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"},
	{"socks 5", "9112 3", "\x05\x01\x00", "400"},
	{"proxy protocol 2", "9112 3", "\r\n\r\n\x00\r\nQUIT\n", "400"},
	{"proxy protocol 1", "9112 3", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n", "400"},
	{"http2 preface", "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
	{"two spaces before target", "9112 3", start("GET  / HTTP/1.1"), "400"},
	{"two spaces before version", "9112 3", start("GET /  HTTP/1.1"), "400"},
	{"tab before target", "9112 3", start("GET\t/ HTTP/1.1"), "400"},
	{"tab before version", "9112 3", start("GET /\tHTTP/1.1"), "400"},
	{"vertical tab before version", "9112 3", start("GET /\vHTTP/1.1"), "400"},
	{"form feed before version", "9112 3", start("GET /\fHTTP/1.1"), "400"},
	{"space after version", "9112 3", start("GET / HTTP/1.1 "), "400"},
	{"tab after version", "9112 3", start("GET / HTTP/1.1\t"), "400"},
	{"space in target", "9112 3.2", start("GET /a b HTTP/1.1"), "400"},
	{"no target", "9112 3", start("GET HTTP/1.1"), "400"},
	{"empty target", "9112 3", start("GET  HTTP/1.1"), "400"},
	{"no method", "9112 3", start("/ HTTP/1.1"), "400"},
	{"version alone", "9112 3", start("HTTP/1.1"), "400"},
	{"an answer", "9112 3", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "400"},
	{"bare LF after request line", "9112 2.2", "GET / HTTP/1.1\nHost: h\r\n\r\n", "400"},
	{"bare LF everywhere", "9112 2.2", "GET / HTTP/1.1\nHost: h\n\n", "400"},
	{"bare CR after request line", "9112 2.2", "GET / HTTP/1.1\rHost: h\r\n\r\n", "400"},
	{"CR CR LF after request line", "9112 2.2", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "400"},
	{"LF CR after request line", "9112 2.2", "GET / HTTP/1.1\n\rHost: h\r\n\r\n", "400"},
	{"incomplete request line", "9112 3", "GET / HT", "more"},
	{"incomplete head", "9112 2.1", "GET / HTTP/1.1\r\nHost: h\r\n", "more"},
	{"incomplete last line end", "9112 2.1", "GET / HTTP/1.1\r\nHost: h\r\n\r", "more"},
	{"lone CR", "9112 2.2", "\r", "more"},

	// Methods.
	{"POST", "9110 9", start("POST / HTTP/1.1"), "POST origin h / 1.1"},
	{"unknown method", "9110 9", start("FROB / HTTP/1.1"), "FROB origin h / 1.1"},
	{"lower case method is another one", "9110 9.1", start("get / HTTP/1.1"), "get origin h / 1.1"},
	{"method of one byte", "9110 9.1", start("M / HTTP/1.1"), "M origin h / 1.1"},
	{"method with token marks", "9110 9.1", start("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1"), "M-SEARCH!#$%&'*+.^_`|~ origin h / 1.1"},
	{"method of 32 bytes", "9110 9.1", start(strings.Repeat("A", 32) + " / HTTP/1.1"), strings.Repeat("A", 32) + " origin h / 1.1"},
	{"method of 33 bytes", "9110 9.1", start(strings.Repeat("A", 33) + " / HTTP/1.1"), "400"},
	{"method with colon", "9110 9.1", start("GET: / HTTP/1.1"), "400"},
	{"method with slash", "9110 9.1", start("GE/T / HTTP/1.1"), "400"},
	{"method with quotes", "9110 9.1", start("\"GET\" / HTTP/1.1"), "400"},
	{"method with parenthesis", "9110 9.1", start("(GET / HTTP/1.1"), "400"},
	{"method with comma", "9110 9.1", start("GET,POST / HTTP/1.1"), "400"},
	{"method with NUL", "9110 9.1", start("GE\x00T / HTTP/1.1"), "400"},
	{"method with DEL", "9110 9.1", start("GE\x7fT / HTTP/1.1"), "400"},
	{"method in UTF-8", "9110 9.1", start("G\xc3\x89T / HTTP/1.1"), "400"},

	// Versions.
	{"HTTP/1.0", "9112 2.3", "GET / HTTP/1.0\r\n\r\n", "GET origin  / 1.0 close"},
	{"HTTP/1.0 with Host", "9112 2.3", start("GET / HTTP/1.0"), "GET origin h / 1.0 close"},
	{"HTTP/1.2", "9110 2.5", start("GET / HTTP/1.2"), "505"},
	{"HTTP/1.9", "9110 2.5", start("GET / HTTP/1.9"), "505"},
	{"HTTP/2.0", "9110 2.5", start("GET / HTTP/2.0"), "505"},
	{"HTTP/3.0", "9110 2.5", start("GET / HTTP/3.0"), "505"},
	{"HTTP/0.9 with version", "9110 2.5", start("GET / HTTP/0.9"), "505"},
	{"HTTP/9.9", "9110 2.5", start("GET / HTTP/9.9"), "505"},
	{"HTTP/0.9 simple request", "9112 3", "GET /\r\n", "400"},
	{"HTTP/0.9 with fields", "9112 3", "GET /\r\nHost: h\r\n\r\n", "400"},
	{"HTTP/0.9 with space", "9112 3", "GET / \r\nHost: h\r\n\r\n", "400"},
	{"lower case version", "9112 2.3", start("GET / http/1.1"), "400"},
	{"mixed case version", "9112 2.3", start("GET / Http/1.1"), "400"},
	{"HTTP/1", "9112 2.3", start("GET / HTTP/1"), "400"},
	{"HTTP/1.", "9112 2.3", start("GET / HTTP/1."), "400"},
	{"HTTP/2", "9112 2.3", start("GET / HTTP/2"), "400"},
	{"HTTP/1.10", "9112 2.3", start("GET / HTTP/1.10"), "400"},
	{"HTTP/1.32", "9112 2.3", start("GET / HTTP/1.32"), "400"},
	{"HTTP/01.1", "9112 2.3", start("GET / HTTP/01.1"), "400"},
	{"HTTP/1.01", "9112 2.3", start("GET / HTTP/1.01"), "400"},
	{"HTTP/1,1", "9112 2.3", start("GET / HTTP/1,1"), "400"},
	{"HTTP/1.1.1", "9112 2.3", start("GET / HTTP/1.1.1"), "400"},
	{"HTTP 1.1", "9112 2.3", start("GET / HTTP 1.1"), "400"},
	{"HTTP/ 1.1", "9112 2.3", start("GET / HTTP/ 1.1"), "400"},
	{"HTTP/+1.1", "9112 2.3", start("GET / HTTP/+1.1"), "400"},
	{"HTTPS/1.1", "9112 2.3", start("GET / HTTPS/1.1"), "400"},
	{"ICAP/1.0", "9112 2.3", start("GET / ICAP/1.0"), "400"},
	{"RTSP/1.0", "9112 2.3", start("OPTIONS * RTSP/1.0"), "400"},
	{"version with NUL", "9112 2.3", start("GET / HTTP/1.1\x00"), "400"},
	{"version in wide digits", "9112 2.3", start("GET / HTTP/1.\xef\xbc\x91"), "400"},
}
