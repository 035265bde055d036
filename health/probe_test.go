package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/pool"
)

// repeat writes s again and again until somebody stops listening.
func repeat(head, s string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = io.WriteString(c, s)
		}
	}
}

func TestProbe(t *testing.T) {
	long := strings.Repeat("x", maxBody)
	chunk := strings.Repeat("x", 100)
	for _, c := range []struct {
		name   string
		host   func(net.Conn)
		change func(*config.Check)
		ok     bool
		text   string
	}{
		{"204", answer("HTTP/1.1 204 No Content\r\n\r\n"), nil, true, "status 204"},
		{"a redirect is not followed", answer("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"), nil, true, "status 302"},
		{"http/1.0", answer("HTTP/1.0 200 OK\r\n\r\nhi"), nil, true, "status 200"},
		{"early hints", answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), nil, true, "status 200"},
		{"nothing but hints", repeat("", "HTTP/1.1 100 Continue\r\n\r\n"), nil, false, "answer: the head is longer than 64 KiB"},
		{"404", answer("HTTP/1.1 404 Not Found\r\n\r\n"), nil, false, "status 404, want 200-399"},
		{"several ranges", answer("HTTP/1.1 302 Found\r\n\r\n"), func(c *config.Check) {
			c.StatusFrom = []config.StatusRange{{From: 200, To: 200}, {From: 204, To: 206}}
		}, false, "status 302, want 200, 204-206"},
		{"closed", func(net.Conn) {}, nil, false, "request: io: read/write on closed pipe"},
		{"closed after the request", answer(""), nil, false, "answer: the connection was closed"},
		{"cut head", answer("HTTP/1.1 200 OK\r\nServ"), nil, false, `answer: malformed MIME header: missing colon: "Serv"`},
		{"garbage", answer("SSH-2.0-OpenSSH_9.2\r\n\r\n"), nil, false, `answer: malformed HTTP response "SSH-2.0-OpenSSH_9.2"`},
		{"endless line", repeat("", "garbage "), nil, false, "answer: the head is longer than 64 KiB"},
		{"endless head", repeat("HTTP/1.1 200 OK\r\n", "A: b\r\n"), nil, false, "answer: the head is longer than 64 KiB"},
		{"endless body", repeat("HTTP/1.1 200 OK\r\n\r\n", long), nil, true, "status 200"},
		{"hangs", hang, nil, false, "answer: nothing within 1s"},
		{"hangs in the body", answerAndHang("HTTP/1.1 200 OK\r\n\r\nhalf"), body("whole"), false, "body: nothing within 1s"},

		{"body", answer("HTTP/1.1 200 OK\r\n\r\nall is well"), body("is well"), true, "status 200"},
		{
			"wrong body", answer("HTTP/1.1 200 OK\r\n\r\nmaintenance"), body("is well"), false,
			`status 200, but the body does not contain "is well"`,
		},
		{
			"chunked body", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n"), body("l is w"),
			true, "status 200",
		},
		{"body known before it ends", answerAndHang("HTTP/1.1 200 OK\r\n\r\nall is well"), body("is well"), true, "status 200"},
		{"cut body", answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nall"), body("is well"), false, "body: the connection was closed"},
		{"at the end of what is searched", answer("HTTP/1.1 200 OK\r\n\r\n" + long[:maxBody-7] + "is well"), body("is well"), true, "status 200"},
		{
			"beyond what is searched", answer("HTTP/1.1 200 OK\r\n\r\n" + long[:maxBody-6] + "is well"), body("is well"), false,
			`status 200, but the body does not contain "is well"`,
		},
		{
			"endless chunks", repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "64\r\n"+chunk+"\r\n"), body("is well"), false,
			`status 200, but the body does not contain "is well"`,
		},
		{"wrong status, right body", answer("HTTP/1.1 500 Oops\r\n\r\nis well"), body("is well"), false, "status 500, want 200-399"},

		{"tcp", hang, func(c *config.Check) { *c = config.Check{Kind: "tcp", Timeout: time.Second} }, true, "connected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.serve("10.0.0.1:80", c.host)
				cfg := httpCheck()
				if c.change != nil {
					c.change(cfg)
				}
				p := newProbe(cfg, &pool.Member{Network: "tcp", Address: "10.0.0.1:80", Host: "10.0.0.1"}, false, w.dial)
				r := p.run(t.Context())
				if r.OK != c.ok || r.Text != c.text {
					t.Errorf("run() = %v, %q, want %v, %q", r.OK, r.Text, c.ok, c.text)
				}
			})
		})
	}
}

func body(s string) func(*config.Check) { return func(c *config.Check) { c.Body = s } }

func answerAndHang(a string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, a)
			hang(c)
		}
	}
}

func TestRequest(t *testing.T) {
	const rest = "\r\nUser-Agent: skein/check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	for _, c := range []struct {
		name    string
		host    string
		port    string
		check   config.Check
		address string
		request string
		sni     string
	}{
		{"default port", "web1", "80", config.Check{Kind: "http", Path: "/up"}, "web1:80", "GET /up HTTP/1.1\r\nHost: web1", ""},
		{"other port", "web1", "8080", config.Check{Kind: "http", Path: "/"}, "web1:8080", "GET / HTTP/1.1\r\nHost: web1:8080", ""},
		{"port of the check", "web1", "8080", config.Check{Kind: "http", Path: "/", Port: 9000}, "web1:9000", "GET / HTTP/1.1\r\nHost: web1:9000", ""},
		{"ipv6", "fd00::1", "80", config.Check{Kind: "http", Path: "/"}, "[fd00::1]:80", "GET / HTTP/1.1\r\nHost: [fd00::1]", ""},
		{"host", "10.0.0.1", "80", config.Check{Kind: "http", Path: "/", Host: "shop.example.com"}, "10.0.0.1:80", "GET / HTTP/1.1\r\nHost: shop.example.com", ""},
		{"https", "web1", "443", config.Check{Kind: "https", Path: "/"}, "web1:443", "GET / HTTP/1.1\r\nHost: web1", "web1"},
		{"https by address", "fd00::1", "8443", config.Check{Kind: "https", Path: "/"}, "[fd00::1]:8443", "GET / HTTP/1.1\r\nHost: [fd00::1]:8443", "fd00::1"},
		{
			"https with host", "10.0.0.1", "443",
			config.Check{Kind: "https", Path: "/", Host: "shop.example.com:443"},
			"10.0.0.1:443",
			"GET / HTTP/1.1\r\nHost: shop.example.com:443", "shop.example.com",
		},
		{"tcp", "10.0.0.1", "25", config.Check{Kind: "tcp"}, "10.0.0.1:25", "", ""},
	} {
		p := newProbe(&c.check, &pool.Member{Network: "tcp", Host: c.host, Address: net.JoinHostPort(c.host, c.port)}, false, nil)
		want := c.request
		if want != "" {
			want += rest
		}
		if p.address != c.address || string(p.request) != want {
			t.Errorf("%s: probe of %s sends %q, want %s and %q", c.name, p.address, p.request, c.address, want)
		}
		sni := ""
		if p.tls != nil {
			sni = p.tls.ServerName
		}
		if sni != c.sni {
			t.Errorf("%s: certificate name %q, want %q", c.name, sni, c.sni)
		}
	}
}

// loopback serves h on a real socket and returns a probe of it. The test does not end before each of its connections has.
func loopback(t *testing.T, h func(net.Conn), c *config.Check) *probe {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				h(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return newProbe(c, &pool.Member{Network: "tcp", Address: l.Addr().String(), Host: "127.0.0.1"}, false, (&net.Dialer{}).DialContext)
}

func TestProbeOnSockets(t *testing.T) {
	short := httpCheck()
	short.Timeout = 100 * time.Millisecond
	search := httpCheck()
	search.Body = "is well"
	for _, c := range []struct {
		name  string
		host  func(net.Conn)
		check *config.Check
		ok    bool
		text  string
	}{
		{"good", ok(), httpCheck(), true, "status 200"},
		{"hangs", hang, short, false, "answer: nothing within 100ms"},
		{"garbage", answer("\x00\x01\x02\r\n\r\n"), httpCheck(), false, `answer: malformed HTTP response "\x00\x01\x02"`},
		{"endless head", repeat("HTTP/1.1 200 OK\r\n", "A: b\r\n"), httpCheck(), false, "answer: the head is longer than 64 KiB"},
		{
			"endless body", repeat("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 4096)), search, false,
			`status 200, but the body does not contain "is well"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := loopback(t, c.host, c.check)
			if r := p.run(t.Context()); r.OK != c.ok || r.Text != c.text {
				t.Errorf("run() = %v, %q, want %v, %q", r.OK, r.Text, c.ok, c.text)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		p := newProbe(httpCheck(), &pool.Member{Network: "tcp", Address: l.Addr().String()}, false, (&net.Dialer{}).DialContext)
		if r := p.run(t.Context()); r.OK || r.Text != "connect: connection refused" {
			t.Errorf("run() = %v, %q, want a refused connection", r.OK, r.Text)
		}
	})
}

// TestProbeBehindProxyProtocol: members that expect a PROXY header get one that speaks for nobody, before TLS or a request.
func TestProbeBehindProxyProtocol(t *testing.T) {
	for _, kind := range []string{"http", "https"} {
		got := make(chan string, 1)
		c := httpCheck()
		c.Kind, c.SendProxy = kind, true
		p := loopback(t, func(conn net.Conn) {
			head := make([]byte, len(proxyLocal)+3)
			n, _ := io.ReadFull(conn, head)
			got <- string(head[:n])
		}, c)
		p.run(t.Context())
		next := map[string]string{"http": "GET", "https": "\x16\x03\x01"}[kind] // RFC 8446 section 5.1: a handshake record
		if head := <-got; head != proxyLocal+next {
			t.Errorf("%s begins with %q, want %q", kind, head, proxyLocal+next)
		}
	}
}

// TestProbeOnUnixSocket checks members that have a path in place of host and port.
func TestProbeOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "localhost" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	}), ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	m := &pool.Member{Network: "unix", Address: path}
	dial := (&net.Dialer{}).DialContext
	if r := newProbe(httpCheck(), m, false, dial).run(t.Context()); !r.OK || r.Text != "status 200" {
		t.Errorf("http: %v, %q", r.OK, r.Text)
	}
	if r := newProbe(&config.Check{Kind: "tcp", Timeout: time.Second}, m, false, dial).run(t.Context()); !r.OK || r.Text != "connected" {
		t.Errorf("tcp: %v, %q", r.OK, r.Text)
	}
	m.Address += ".gone"
	if r := newProbe(httpCheck(), m, false, dial).run(t.Context()); r.OK || !strings.HasPrefix(r.Text, "connect: ") {
		t.Errorf("no socket: %v, %q", r.OK, r.Text)
	}
}

// authority is s's certificate, which has signed itself.
func authority(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s asks %s with %d certificates", r.UserAgent(), r.Host, len(r.TLS.PeerCertificates))
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := authority(s)
	for _, c := range []struct {
		name   string
		change func(*config.Check)
		ok     bool
		text   string
	}{
		{"own authority", func(c *config.Check) { c.CA = ca }, true, "status 200"},
		{"name of the certificate", func(c *config.Check) {
			c.CA, c.Host, c.Body = ca, "example.com", "skein/check asks example.com"
		}, true, "status 200"},
		{
			"other name", func(c *config.Check) { c.CA, c.Host = ca, "shop.test" }, false,
			"tls: failed to verify certificate: x509: certificate is valid for example.com, *.example.com, not shop.test",
		},
		{
			"unknown authority", func(*config.Check) {}, false,
			"tls: failed to verify certificate: x509: certificate signed by unknown authority",
		},
		{"any certificate will do", func(c *config.Check) { c.Insecure, c.Body = true, "with 0 certificates" }, true, "status 200"},
		{"certificate of our own", func(c *config.Check) {
			c.CA, c.Cert, c.Key, c.Body = ca, ca, key, "with 1 certificates"
		}, true, "status 200"},
		{"http to https", func(c *config.Check) { c.Kind = "http" }, false, "status 400, want 200-399"},
	} {
		cfg := httpCheck()
		cfg.Kind = "https"
		c.change(cfg)
		m := &pool.Member{Network: "tcp", Address: s.Listener.Addr().String(), Host: "127.0.0.1"}
		r := newProbe(cfg, m, false, (&net.Dialer{}).DialContext).run(context.Background())
		if r.OK != c.ok || r.Text != c.text {
			t.Errorf("%s: run() = %v, %q, want %v, %q", c.name, r.OK, r.Text, c.ok, c.text)
		}
	}
	plain := loopback(t, ok(), &config.Check{Kind: "https", Path: "/", Timeout: time.Second})
	if r := plain.run(t.Context()); r.OK || !strings.HasPrefix(r.Text, "tls: ") {
		t.Errorf("https to http: run() = %v, %q, want a TLS error", r.OK, r.Text)
	}
}
