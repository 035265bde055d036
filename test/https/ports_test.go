package https

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"skein/test/harness"
)

// exchange2 gets / of a host over a connection that has agreed on h2.
func exchange2(t testing.TB, v *visitor, host string) *http.Response {
	t.Helper()
	tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return v.Conn, nil }}
	t.Cleanup(tr.CloseIdleConnections)
	r, err := http.NewRequest("GET", "https://"+host+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Plain HTTP at a port of TLS is told so, however much of it comes; TLS at a plain port gets a 400.
func TestWrongPort(t *testing.T) {
	t.Parallel()
	plain := harness.FreeAddr(t)
	origin := hello(t)
	s := start(t, origin, "", fmt.Sprintf("http \"plain\" {\n listen = %q\n servers = [%q]\n}\n", plain, origin))
	for name, request := range map[string]string{
		"GET":    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST":   "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000),
		"DELETE": "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := harness.Raw(t, s.addr)
			sent := make(chan error, 1)
			go func() { sent <- c.TrySend(request) }()
			if a := c.Answer("GET"); a.Status != 400 || !strings.Contains(a.Body, "https") || a.Err != nil || !a.Close {
				t.Errorf("answer = %+v", a)
			}
			if err := <-sent; err != nil {
				t.Errorf("send: %v", err)
			}
			c.CloseWrite()
			c.Closed()
		})
	}
	for name, garbage := range map[string]string{
		"another protocol": "SSH-2.0-OpenSSH_9.2\r\n", "zeros": strings.Repeat("\x00", 2000), "SSLv2": "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + strings.Repeat("a", 50),
		"method alone": "GET /", "a record of another type": "\x17\x03\x03\x00\x05hello", "an alert": "\x15\x03\x03\x00\x02\x02\x28",
		"a huge record": "\x16\x03\x01\xff\xff" + strings.Repeat("\x01", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			c := harness.Raw(t, s.addr)
			if err := c.TrySend(garbage); err != nil {
				t.Fatal(err)
			}
			c.CloseWrite()
			if rest := c.Rest(); len(rest) > 300 {
				t.Errorf("answer to garbage: %q", rest)
			}
		})
	}
	if _, err := tryDial(plain, s.client()); err == nil || !strings.Contains(err.Error(), "first record does not look like a TLS handshake") {
		t.Errorf("TLS to a plain port: %v, want an answer in HTTP", err)
	}
	c := harness.Raw(t, plain)
	c.Send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	if a := c.Answer("GET"); a.Status != 400 {
		t.Errorf("TLS to a plain port: %d, want 400", a.Status)
	}
	s.fine()
	s.Stop()
}

// Redirecting addresses send each host on to where it is served, and never speak of HSTS; pages over TLS do.
func TestRedirects(t *testing.T) {
	t.Parallel()
	c := newCA(t, "test CA")
	one, two, plain := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	_, onePort := split(t, one)
	_, twoPort := split(t, two)
	s := harness.Start(t, c.server("a.test", "b.test").block("site")+fmt.Sprintf(`
http "a" {
  listen   = %q
  redirect = %q
  hosts    = ["a.test"]
  tls      = tls.site
  servers  = [%q]
  https {
    hsts = "365d"
    hsts_subdomains = true
  }
}
http "b" {
  listen   = %q
  redirect = %q
  hosts    = ["b.test"]
  tls      = tls.site
  servers  = [%q]
}
`, one, plain, named(t, "a"), two, plain, named(t, "b"))+quiet)
	for _, test := range []struct{ method, host, target, location string }{
		{"GET", "a.test", "/x/y?z=1&w=%2F", "https://a.test:" + onePort + "/x/y?z=1&w=%2F"},
		{"GET", "b.test", "/", "https://b.test:" + twoPort + "/"},
		{"GET", "A.TEST:80", "/", "https://a.test:" + onePort + "/"},
		{"POST", "b.test", "/form", "https://b.test:" + twoPort + "/form"},
		{"HEAD", "a.test", "//evil.example/", "https://a.test:" + onePort + "//evil.example/"},
		{"GET", "unknown.test", "/", ""},
		{"GET", "a.test", "/.well-known/acme-challenge/token", "https://a.test:" + onePort + "/.well-known/acme-challenge/token"},
	} {
		r := harness.Raw(t, plain)
		r.Send(test.method, " ", test.target, " HTTP/1.1\r\nHost: ", test.host, "\r\nContent-Length: 0\r\n\r\n")
		a := r.Answer(test.method)
		location := a.Header.Get("Location")
		if test.location == "" {
			if a.Status != 421 || location != "" {
				t.Errorf("%s %s%s = %d to %q, want 421", test.method, test.host, test.target, a.Status, location)
			}
		} else if a.Status != 308 || !strings.EqualFold(location, test.location) {
			t.Errorf("%s %s%s = %d to %q, want 308 to %q", test.method, test.host, test.target, a.Status, location, test.location)
		}
		if h := a.Header.Get("Strict-Transport-Security"); h != "" {
			t.Errorf("%s %s%s over plain HTTP has HSTS %q (RFC 6797 section 7.2)", test.method, test.host, test.target, h)
		}
	}
	config := &tls.Config{RootCAs: c.pool(), ServerName: "a.test"}
	for addr, want := range map[string]string{one: "max-age=31536000; includeSubDomains", two: ""} {
		config.ServerName = map[string]string{one: "a.test", two: "b.test"}[addr]
		a, _, err := ask(addr, config, config.ServerName, "/")
		if err != nil {
			t.Fatal(err)
		}
		if h := a.Header.Get("Strict-Transport-Security"); h != want {
			t.Errorf("%s: HSTS %q, want %q", config.ServerName, h, want)
		}
	}
	s.Stop()
}

// HSTS is on answers of skein's own as well, and replaces what the origin says.
func TestHSTSOnce(t *testing.T) {
	t.Parallel()
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		io.WriteString(w, "hello")
	}))
	s := start(t, origin, "https {\n hsts = \"1h\"\n}\nroute \"/moved\" {\n redirect = \"/\"\n}", "")
	v := dial(t, s.addr, s.client())
	for _, target := range []string{"/", "/moved"} {
		if h := v.get(target).Header.Values("Strict-Transport-Security"); len(h) != 1 || h[0] != "max-age=3600" {
			t.Errorf("%s: HSTS %q, want one of an hour", target, h)
		}
	}
	v.Close()
	s.Stop()
}
