package origins

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skein/test/harness"
)

// sslOf is nginx's part of TLS with a certificate.
func sslOf(l leaf) string {
	return fmt.Sprintf("    ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_certificate %s;\n    ssl_certificate_key %s;\n", l.cert, l.key)
}

const tellTLS = "    location / { return 200 \"$ssl_protocol $ssl_session_reused $ssl_server_name $ssl_client_s_dn\"; }\n"

func TestCertificatesOfMembers(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	for _, v := range []struct {
		name   string
		cert   func(host string) leaf
		tls    string
		status int
		body   string // contained
		log    string
	}{
		{"own CA", func(h string) leaf { return a.issue("own", hour, h) }, fmt.Sprintf("ca = %q", a.file), 200, "TLSv1.3", ""},
		{"system's CAs", func(h string) leaf { return a.issue("system", hour, h) }, "", 502, "", "its certificate is of an unknown CA"},
		{"another CA", func(h string) leaf { return a.issue("another", hour, h) }, fmt.Sprintf("ca = %q", other.file), 502, "", "its certificate is of an unknown CA"},
		{"another name", func(string) leaf { return a.issue("name", hour, "shop.example") }, fmt.Sprintf("ca = %q", a.file), 502, "", "its certificate is for another name"},
		{"the name of the pool", func(string) leaf { return a.issue("pool", hour, "shop.example") }, fmt.Sprintf("ca = %q\nname = \"shop.example\"", a.file), 200, "shop.example", ""},
		{"expired", func(h string) leaf { return a.issue("expired", time.Now().Add(-time.Hour), h) }, fmt.Sprintf("ca = %q", a.file), 502, "", "its certificate has expired or is not valid yet"},
		{"not verified", func(string) leaf { return a.issue("unverified", hour, "shop.example") }, "verify = false", 200, "TLSv1.3", ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			addr := harness.FreeAddr(t)
			host, _, _ := net.SplitHostPort(addr)
			harness.Nginx(t, fmt.Sprintf("    listen %s ssl;\n", addr)+sslOf(v.cert(host))+tellTLS)
			s := newSite(t, addr, "tls {\n"+v.tls+"\n}\neject {\nerrors = 0\n}\n")
			for range 3 {
				if got := harness.Fetch(t, s.addr, "/"); got.Status != v.status || !strings.Contains(got.Body, v.body) {
					t.Errorf("answer = %d %q, want %d %q", got.Status, got.Body, v.status, v.body)
				}
			}
			if v.log != "" && s.lines("member was not spoken to: "+v.log) != 1 {
				t.Errorf("the log does not say %q once", v.log)
			}
		})
	}
}

// The log says when trouble begins, and when it ends.
func TestTroubleOfMembers(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	addr := harness.FreeAddr(t)
	harness.Nginx(t, fmt.Sprintf("    listen %s ssl;\n", addr)+sslOf(a.good(addr))+tellTLS)
	more := "tls {\n%s\n}\neject {\nerrors = 0\n}\n"
	s := newSite(t, addr, fmt.Sprintf(more, ""))
	for range 3 {
		if got := harness.Fetch(t, s.addr, "/"); got.Status != 502 {
			t.Errorf("answer = %d", got.Status)
		}
	}
	s.Reload(s.config(fmt.Sprintf(more, fmt.Sprintf("ca = %q", a.file))))
	for range 3 {
		if got := harness.Fetch(t, s.addr, "/"); got.Status != 200 {
			t.Errorf("answer = %d %q", got.Status, got.Body)
		}
	}
	if bad, good := s.lines("member was not spoken to"), s.lines("member is spoken to again"); bad != 1 || good != 1 {
		t.Errorf("%d lines of trouble, %d of its end; want one each", bad, good)
	}
	// The connection was opened by settings that are no longer in force.
	s.Reload(s.config(fmt.Sprintf(more, "")))
	if got := harness.Fetch(t, s.addr, "/"); got.Status != 502 {
		t.Errorf("answer = %d %q: an idle connection outlived the settings that it was made by", got.Status, got.Body)
	}
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	addr := harness.FreeAddr(t)
	harness.Nginx(t, fmt.Sprintf("    listen %s ssl;\n    ssl_verify_client on;\n    ssl_client_certificate %s;\n", addr, a.file)+sslOf(a.good(addr))+tellTLS)
	own := a.issue("balancer", time.Now().Add(time.Hour))
	s := newSite(t, addr, fmt.Sprintf("tls {\nca = %q\ncert = %q\nkey = %q\n}\n", a.file, own.cert, own.key))
	if got := harness.Fetch(t, s.addr, "/"); got.Status != 200 || !strings.Contains(got.Body, "CN=balancer") {
		t.Errorf("answer = %d %q, want 200 to CN=balancer", got.Status, got.Body)
	}
	s.Reload(s.config(fmt.Sprintf("tls {\nca = %q\n}\n", a.file)))
	if got := harness.Fetch(t, s.addr, "/"); got.Status != 400 || !strings.Contains(got.Body, "No required SSL certificate") {
		t.Errorf("answer = %d %q, want nginx's own 400", got.Status, got.Body)
	}
}

// Who refuses our certificate does so behind our side of the handshake in TLS 1.3: the log must say it all the same.
func TestClientCertificateIsMissed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	o := tlsOrigin(t, a, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, func(c *tls.Conn) { _, _ = io.Copy(io.Discard, c) })
	s := newSite(t, o, fmt.Sprintf("tls {\nca = %q\n}\neject {\nerrors = 0\n}\n", a.file))
	for range 3 {
		if got := harness.Fetch(t, s.addr, "/"); got.Status != 502 {
			t.Errorf("answer = %d", got.Status)
		}
	}
	if s.lines("member was not spoken to", "certificate required") != 1 {
		t.Error("the log does not say once that a certificate is missed")
	}
}

func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
		t.Run(protocol, func(t *testing.T) {
			a := newAuthority(t)
			addr := harness.FreeAddr(t)
			harness.Nginx(t, fmt.Sprintf("    listen %s ssl;\n    ssl_session_cache shared:s:1m;\n", addr)+strings.Replace(sslOf(a.good(addr)), "TLSv1.2 TLSv1.3", protocol, 1)+tellTLS)
			s := newSite(t, addr, fmt.Sprintf("keepalive = 0\ntls {\nca = %q\n}\n", a.file))
			harness.Fetch(t, s.addr, "/")
			if got := harness.Fetch(t, s.addr, "/"); !strings.HasPrefix(got.Body, protocol+" r ") {
				t.Errorf("second connection = %q, want a resumed session", got.Body)
			}
		})
	}
}

// tlsOrigin speaks TLS as a test says, for each connection.
func tlsOrigin(t *testing.T, a *authority, c *tls.Config, script func(*tls.Conn)) string {
	t.Helper()
	var cert atomic.Pointer[tls.Certificate]
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }
	o := harness.Origin(t, func(p *harness.Peer) {
		tc := tls.Server(p.TCPConn, c)
		defer tc.Close()
		if tc.Handshake() == nil {
			script(tc)
		}
	})
	made := a.good(o.Addr).load(t)
	cert.Store(&made)
	return o.Addr
}

// An origin that ends its idle connections politely, by close_notify, costs no request: not even one that may not be repeated.
func TestCloseNotifyOnIdleConnection(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		a := newAuthority(t)
		closed := make(chan bool, 100)
		o := tlsOrigin(t, a, &tls.Config{}, func(c *tls.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_ = c.CloseWrite()
			closed <- true
			_, _ = io.Copy(io.Discard, c)
		})
		s := newSite(t, o, fmt.Sprintf("retry {\ntries = 1\n}\ntls {\nca = %q\n}\n", a.file), opts...)
		c := harness.Raw(t, s.addr)
		for range 20 {
			c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
			if got := c.Answer("POST"); got.Status != 200 || got.Body != "ok" {
				t.Fatalf("answer = %d %q", got.Status, got.Body)
			}
			<-closed
		}
	})
}

func TestLargeBodiesOverTLS(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		a := newAuthority(t)
		const size = 20 << 20
		o := tlsOrigin(t, a, &tls.Config{}, func(c *tls.Conn) {
			in := bufio.NewReader(c)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				h := sha256.New()
				n, _ := io.Copy(h, r.Body)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Got: %d %x\r\nContent-Length: %d\r\n\r\n", n, h.Sum(nil), size)
				_, _ = io.CopyN(c, endless{}, size)
			}
		})
		s := newSite(t, o, fmt.Sprintf("tls {\nca = %q\n}\n", a.file), opts...)
		b := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		want := fmt.Sprintf("%d %x", size, sha256.Sum256(b))
		for range 2 {
			resp, err := http.Post("http://"+s.addr+"/", "text/plain", bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || n != size || resp.Header.Get("X-Got") != want {
				t.Errorf("answer = %d bytes, %v, to %q; want %d to %q", n, err, resp.Header.Get("X-Got"), size, want)
			}
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// An answer that comes before the request is complete is passed on, over TLS as without.
func TestEarlyAnswerOverTLS(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		a := newAuthority(t)
		o := tlsOrigin(t, a, &tls.Config{}, func(c *tls.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
			_, _ = io.Copy(io.Discard, c)
		})
		s := newSite(t, o, fmt.Sprintf("tls {\nca = %q\n}\n", a.file), opts...)
		c := harness.Raw(t, s.addr)
		c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n", strings.Repeat("x", 100_000))
		if got := c.Answer("POST"); got.Status != 413 || got.Body != "big" {
			t.Errorf("answer = %d %q, want 413 big", got.Status, got.Body)
		}
	})
}

func TestTunnelOverTLS(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		a := newAuthority(t)
		o := tlsOrigin(t, a, &tls.Config{}, func(c *tls.Conn) {
			in := bufio.NewReader(c)
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
			_, _ = io.Copy(c, in)
		})
		s := newSite(t, o, fmt.Sprintf("tls {\nca = %q\n}\n", a.file), opts...)
		c := harness.Raw(t, s.addr)
		c.Send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if got := c.Answer("GET"); got.Status != 101 {
			t.Fatalf("answer = %d", got.Status)
		}
		c.Expect("early")
		b := strings.Repeat("frame ", 50_000)
		go func() { _ = c.TrySend(b) }()
		c.Expect(b)
		c.CloseWrite()
		c.Closed()
	})
}

// A member that is killed costs no GET while there is another, and one that comes back is used again.
func TestKilledMemberOverTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var nginx [2]*harness.Program
	var addrs [2]string
	for i := range nginx {
		addrs[i] = harness.FreeAddr(t)
		nginx[i] = harness.Nginx(t, fmt.Sprintf("    listen %s ssl;\n", addrs[i])+sslOf(a.good(addrs[i]))+tellTLS)
		if err := os.WriteFile(filepath.Join(nginx[i].Dir, "file"), bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := harness.FreeAddr(t)
	harness.Start(t, fmt.Sprintf("pool \"web\" {\n  servers = [%q, %q]\n  tls {\n ca = %q\n }\n eject {\n errors = 0\n }\n}\nhttp \"site\" {\n  listen = %q\n  pool   = pool.web\n}\n", addrs[0], addrs[1], a.file, addr))
	for i := range 300 {
		if i%100 == 20 {
			nginx[i/100%2].Kill()
		}
		if i%100 == 70 {
			nginx[i/100%2].Start()
		}
		if got, err := harness.TryFetch(addr, "/"); err != nil || got.Status != 200 {
			t.Fatalf("request %d: %v, %v", i, got, err)
		}
	}
}
