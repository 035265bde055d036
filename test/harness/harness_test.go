package harness

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tools are tried on each other: a raw client, nginx as the proxy, a scripted origin.
func TestThroughNginx(t *testing.T) {
	t.Parallel()
	origin := Origin(t, func(p *Peer) {
		for r := p.Next(); r != nil; r = p.Next() {
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		}
	})
	nginx := Nginx(t, "location / { proxy_pass http://"+origin.Addr+"; }")
	c := Raw(t, nginx.Addr)
	c.Send("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	if a := c.Answer("POST"); a.Status != 200 || a.Body != "hello" {
		t.Errorf("answer = %+v", a)
	}
	if a := c.Get("/b"); a.Status != 200 || a.Body != "hello" {
		t.Errorf("answer = %+v", a)
	}
	c.Send("GE(T / HTTP/1.1\r\n\r\n")
	if a := c.Answer("GET"); a.Status != 400 {
		t.Errorf("answer = %+v", a)
	}
	c.Closed()
	var seen []string
	for _, r := range origin.Requests() {
		seen = append(seen, r.Method+" "+r.RequestURI+" "+r.Content)
	}
	if got, want := strings.Join(seen, ","), "POST /a abc,GET /b "; got != want {
		t.Errorf("origin saw %q, want %q", got, want)
	}
	Eventually(t, Patience, "access log has all lines", func() bool {
		b, err := os.ReadFile(filepath.Join(nginx.Dir, "access.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "\n") >= 3
	})
}

func TestPHP(t *testing.T) {
	t.Parallel()
	php := PHP(t, `<?php echo $_SERVER["REQUEST_METHOD"], " ", $_SERVER["REQUEST_URI"];`)
	if a := Fetch(t, php.Addr, "/x?y"); a.Status != 200 || a.Body != "GET /x?y" {
		t.Errorf("answer = %+v", a)
	}
	php.Kill()
	if _, err := TryFetch(php.Addr, "/"); err == nil {
		t.Error("php answers after its death")
	}
	php.Start()
	Fetch(t, php.Addr, "/")
}

func TestNetHTTP(t *testing.T) {
	t.Parallel()
	addr := NetHTTP(t, http.NotFoundHandler())
	if a := Fetch(t, addr, "/"); a.Status != 404 {
		t.Errorf("answer = %+v", a)
	}
}
