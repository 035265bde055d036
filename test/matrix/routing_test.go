package matrix

import (
	"strings"
)

func plain(x *cell) {
	s := x.echo(request{path: "/echo/a%20b?x=1&y", header: map[string]string{"X-One": "1", "X-Two": "1\n2", "Cookie": "a=1; b=2; c=3"}})
	x.is("method", s.Method, "GET")
	x.is("URI", s.URI, "/echo/a%20b?x=1&y")
	x.is("host", s.Host, x.host())
	x.is("X-One", s.Headers["x-one"], "1")
	x.is("X-Two", s.Headers["x-two"], "1, 2")
	x.is("Cookie", s.Headers["cookie"], "a=1; b=2; c=3") // in one line, however many it came in (RFC 9113 section 8.2.3)
	x.is("X-Forwarded-For", s.Headers["x-forwarded-for"], "127.0.0.1")
	x.is("X-Forwarded-Proto", s.Headers["x-forwarded-proto"], x.client.scheme())
	x.is("X-Forwarded-Host", s.Headers["x-forwarded-host"], x.host())
	switch {
	case x.member.fastCGI():
		x.is("the member's protocol", s.Proto, x.client.proto) // CGI speaks of the visitor's
	case strings.HasPrefix(x.member.name, "h2"):
		x.is("the member's protocol", s.Proto, "HTTP/2.0")
	default:
		x.is("the member's protocol", s.Proto, "HTTP/1.1")
	}
	x.get("/echo")
	x.is("connections", x.dials.Load(), 1)
	x.logs("200 done", "200 done")
}

func methods(x *cell) {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		q := request{method: m, path: "/echo"}
		length := 0
		if strings.HasPrefix(m, "P") {
			length = 1000
			q.body, q.length = body(length, true)
		}
		s := x.echo(q)
		x.is("method", s.Method, m)
		x.is("length", s.Length, length)
	}
	a := x.expect(200, request{method: "HEAD", path: "/echo"})
	x.is("body of HEAD", a.body, "")
	x.logs(times(8, "200 done")...)
}

func routing(x *cell) {
	route := func(status int, method, path, want string) *answer {
		x.Helper()
		a := x.expect(status, request{method: method, path: path})
		x.is("route of "+path, a.Header.Get("X-Route"), want)
		return a
	}
	route(200, "GET", "/echo/x", "")
	route(200, "POST", "/echo/only", "only")
	route(200, "GET", "/echo/only", "") // the next one that fits
	route(200, "GET", "/echo/exact", "exact")
	route(200, "GET", "/echo/exact/x", "")
	route(404, "GET", "/else", "")
	a := route(405, "DELETE", "/echo/x", "")
	x.is("Allow", a.Header.Get("Allow"), "GET, POST")
	route(404, "GET", "/echo/../else", "") // what counts is the normal form
	x.logs("200 done", "200 done", "200 done", "200 done", "200 done", "404 local", "405 local", "404 local")
	// Another host is another site, and there is none.
	x.expect(421, request{path: "/echo/x", host: "nobody" + domain})
}

func strip(x *cell) {
	uri := "/echo/x?y=1"
	if x.member.fastCGI() {
		uri = "/app" + uri // SCRIPT_NAME has the prefix, and REQUEST_URI is what the visitor wrote
	}
	x.is("URI", x.echo(request{path: "/app/echo/x?y=1"}).URI, uri)
	x.is("URI", x.echo(request{path: "/echo/app/"}).URI, "/echo/app/")
	x.logs("200 done", "200 done")
}

func redirects(x *cell) {
	a := x.expect(308, request{path: "/old/a?b=c"})
	x.is("Location", a.Header.Get("Location"), x.client.scheme()+"://"+x.host()+"/new/old/a?b=c")
	reader, length := body(100, true)
	a = x.expect(302, request{method: "POST", path: "/moved?b=c", body: reader, length: length})
	x.is("Location", a.Header.Get("Location"), "/there?b=c")
	x.get("/echo")
	x.is("connections", x.dials.Load(), 1)
	x.logs("308 local", "302 local", "200 done")
}

func edits(x *cell) {
	s := x.echo(request{path: "/echo", header: map[string]string{"X-Set": "client", "X-Add": "client", "X-Remove": "client"}})
	x.is("X-Set", s.Headers["x-set"], "route")
	x.is("X-Add", s.Headers["x-add"], "client, route")
	x.is("X-Remove", s.Headers["x-remove"], "")
	x.is("host", s.Host, "inner.test")
	x.is("X-Forwarded-Host", s.Headers["x-forwarded-host"], x.host())
	a := x.get("/edits")
	x.is("X-Set", a.Header.Values("X-Set"), []string{"route"})
	x.is("X-Add", a.Header.Values("X-Add"), []string{"member", "route"})
	x.is("X-Remove", a.Header.Values("X-Remove"), []string{})
}

// claims are what a visitor, or a proxy before us, says of where the request came from.
func claims() map[string]string {
	return map[string]string{
		"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "ftp", "X-Forwarded-Host": "outer.test", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9",
	}
}

// forwarded tests what members are told, and that a visitor's own words are not.
func forwarded(mode string) func(*cell) {
	return func(x *cell) {
		s := x.echo(request{path: "/echo", header: claims()})
		want := map[string]string{}
		if strings.Contains(mode, "X-Forwarded-For") {
			want["x-forwarded-for"], want["x-forwarded-proto"], want["x-forwarded-host"] = "127.0.0.1", x.client.scheme(), x.host()
		}
		if strings.HasSuffix(mode, "Forwarded") {
			want["forwarded"] = `for=127.0.0.1;host="` + x.host() + `";proto=` + x.client.scheme()
		}
		x.told(s, want)
	}
}

// trusted tests the same for a proxy that is believed.
func trusted(mode string) func(*cell) {
	return func(x *cell) {
		s := x.echo(request{path: "/echo", header: claims()})
		want := map[string]string{"x-real-ip": "203.0.113.9"}
		for name, v := range claims() {
			want[strings.ToLower(name)] = v
		}
		if strings.Contains(mode, "X-Forwarded-For") {
			want["x-forwarded-for"] += ", 127.0.0.1"
		}
		if strings.HasSuffix(mode, "Forwarded") {
			want["forwarded"] += `, for=127.0.0.1;host="` + x.host() + `";proto=` + x.client.scheme()
		}
		x.told(s, want)
	}
}

func (x *cell) told(s seen, want map[string]string) {
	x.Helper()
	for name := range claims() {
		name = strings.ToLower(name)
		x.is(name, s.Headers[name], want[name])
	}
}
