package origins

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// echo answers with what it was told of the client.
func echo(p *harness.Peer) {
	for r := p.Next(); r != nil; r = p.Next() {
		b := fmt.Sprintf("%s %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
		if !p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)) {
			return
		}
	}
}

const header4 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\x04\xd2\x00\x50" // 192.0.2.7:1234

// proxied is a site whose clients on the loopback are trusted to say for whom they speak.
func proxied(t *testing.T, http string, opts ...harness.Option) *site {
	t.Helper()
	o := harness.Origin(t, echo)
	s := &site{addr: harness.FreeAddr(t), origin: o.Addr}
	s.Skein = harness.Start(t, config(s.addr, s.origin, "", "proxy_protocol = \"127.0.0.0/8\"\n"+http)+"\nlog {\n  access = \"json\"\n}\n", opts...)
	return s
}

func TestProxyHeaderIn(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := proxied(t, "", opts...)
		for _, v := range []struct{ name, header, want string }{
			{"version 1", "PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n", "192.0.2.7 http"},
			{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::8 1234 80\r\n", "2001:db8::7 http"},
			{"version 1, UNKNOWN", "PROXY UNKNOWN\r\n", "127.0.0.1 http"},
			{"version 2", header4, "192.0.2.7 http"},
			{"version 2, LOCAL", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "127.0.0.1 http"},
		} {
			t.Run(v.name, func(t *testing.T) {
				c := harness.Raw(t, s.addr)
				c.Send(v.header)
				for range 3 { // it is said once for all requests of the connection
					if got := c.Get("/"); got.Status != 200 || got.Body != v.want {
						t.Errorf("answer = %d %q, want %q", got.Status, got.Body, v.want)
					}
				}
			})
		}
		// Who says it himself is not believed.
		c := harness.Raw(t, s.addr)
		c.Send(header4, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
		if got := c.Answer("GET"); got.Body != "192.0.2.7 http" {
			t.Errorf("answer = %q", got.Body)
		}
		harness.Eventually(t, harness.Patience, "the access log says for whom it was", func() bool { return s.lines(`"192.0.2.7"`) > 0 && s.lines(`"2001:db8::7"`) > 0 })
		for name, bytes := range map[string]string{
			"no header":      "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
			"garbage":        strings.Repeat("\x00\xff", 100),
			"a wrong header": "PROXY TCP4 1.2.3 4.5.6.7 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
			"two headers":    "PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\nPROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		} {
			c := harness.Raw(t, s.addr)
			_ = c.TrySend(bytes)
			if got := c.Rest(); strings.Contains(got, " 200 ") || name != "two headers" && got != "" {
				t.Errorf("%s: answered with %q", name, got)
			}
		}
	})
}

func TestSlowProxyHeader(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := proxied(t, "timeouts {\n  tls = \"300ms\"\n}\n", opts...)
		start := time.Now()
		c := harness.Raw(t, s.addr)
		c.Send("PROXY TCP4 192.0.2.7")
		c.Closed()
		if took := time.Since(start); took < 250*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
		c = harness.Raw(t, s.addr) // in two parts is good enough
		c.Send(header4[:20])
		c.Send(header4[20:])
		if got := c.Get("/"); got.Body != "192.0.2.7 http" {
			t.Errorf("answer = %q", got.Body)
		}
	})
}

// A header from somebody who is not trusted is no HTTP.
func TestProxyHeaderOfAStranger(t *testing.T) {
	t.Parallel()
	o := harness.Origin(t, echo)
	s := newSite(t, o.Addr, "")
	for _, header := range []string{"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n", header4} {
		c := harness.Raw(t, s.addr)
		c.Send(header, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if got := c.Rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("answer = %q, want 400", got)
		}
	}
	if n := len(o.Requests()); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

// Limits are the clients', not the balancer's that speaks for all of them.
func TestProxyHeaderCountsTheClient(t *testing.T) {
	t.Parallel()
	s := proxied(t, "limits {\n  conns_per_client = 2\n}\n")
	open := func(client string) *harness.Conn {
		c := harness.Raw(t, s.addr)
		c.Send("PROXY TCP4 " + client + " 192.0.2.8 1234 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
		return c
	}
	for _, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		for range 2 {
			if got := open(client).Answer("GET"); got.Body != client+" http" {
				t.Errorf("answer = %d %q", got.Status, got.Body)
			}
		}
		if got := open(client).Rest(); got != "" {
			t.Errorf("third connection of %s: %q", client, got)
		}
	}
}

func TestProxyHeaderBeforeTLS(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		a := newAuthority(t)
		l := a.issue("front", time.Now().Add(time.Hour), "shop.example")
		o := harness.Origin(t, echo)
		addr := harness.FreeAddr(t)
		harness.Start(t, fmt.Sprintf("tls \"shop\" {\n  cert = %q\n  key = %q\n}\npool \"web\" {\n  servers = [%q]\n}\nhttp \"site\" {\n  listen = %q\n  hosts = [\"shop.example\"]\n  tls = tls.shop\n  proxy_protocol = \"127.0.0.0/8\"\n  pool = pool.web\n}\n", l.cert, l.key, o.Addr, addr), opts...)
		roots := x509.NewCertPool()
		roots.AddCert(a.cert)
		c := harness.Raw(t, addr)
		c.Send(header4)
		_ = c.SetDeadline(time.Now().Add(harness.Patience))
		tc := tls.Client(c.TCPConn, &tls.Config{RootCAs: roots, ServerName: "shop.example"})
		_, _ = io.WriteString(tc, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
		b, err := io.ReadAll(tc)
		if err != nil || !strings.HasSuffix(string(b), "192.0.2.7 https") {
			t.Errorf("answer = %q, %v", b, err)
		}
		// TLS first is the wrong order.
		c = harness.Raw(t, addr)
		if err := tls.Client(c.TCPConn, &tls.Config{RootCAs: roots, ServerName: "shop.example"}).Handshake(); err == nil {
			t.Error("TLS without a header was taken")
		}
	})
}

// haproxy starts it with the given frontend and backend; it listens on the address.
func haproxy(t *testing.T, addr, conf string) {
	t.Helper()
	path := harness.Need(t, "haproxy", "haproxy")
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte("defaults\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, addr, path, "-db", "-f", file)
}

func TestBehindHAProxy(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options ssl,unique-id,crc32c"} {
		for _, mode := range []string{"tcp", "http"} {
			t.Run(option+" "+mode, func(t *testing.T) {
				s := proxied(t, "")
				addr := harness.FreeAddr(t)
				id := ""
				if strings.Contains(option, "unique-id") && mode == "http" {
					id = "  unique-id-format %pid\n"
				}
				haproxy(t, addr, fmt.Sprintf("frontend f\n  mode %s\n  bind %s\n%s  default_backend b\nbackend b\n  mode %s\n  server s %s %s\n", mode, addr, id, mode, s.addr, option))
				c := harness.Raw(t, addr)
				for range 3 {
					if got := c.Get("/"); got.Status != 200 || got.Body != "127.0.0.1 http" {
						t.Errorf("answer = %d %q", got.Status, got.Body)
					}
				}
			})
		}
	}
}

// behind checks what a member says of the client: "address port" as it knows them by the header.
func behind(t *testing.T, member string) {
	t.Helper()
	s := newSite(t, member, "send_proxy = true\n")
	for range 3 {
		c := harness.Raw(t, s.addr)
		for range 2 {
			want := strings.Replace(c.LocalAddr().String(), ":", " ", 1)
			if got := c.Get("/"); got.Status != 200 || strings.TrimSpace(got.Body) != want {
				t.Errorf("the member was told %q, want %q (%d)", got.Body, want, got.Status)
			}
		}
	}
	s.Reload(s.config(""))
	if got := harness.Fetch(t, s.addr, "/"); got.Status == 200 {
		t.Errorf("answer without a header = %d %q: the member does not need it, and the test shows nothing", got.Status, got.Body)
	}
}

func TestBeforeHAProxy(t *testing.T) {
	t.Parallel()
	addr := harness.FreeAddr(t)
	haproxy(t, addr, fmt.Sprintf("frontend f\n  mode http\n  bind %s accept-proxy\n  http-request return status 200 content-type text/plain lf-string \"%%[src] %%[src_port]\"\n", addr))
	behind(t, addr)
}

func TestBeforeNginx(t *testing.T) {
	t.Parallel()
	_, addr := nginxOn(t, "proxy_protocol", "    location / { return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }\n")
	behind(t, addr)
}

func TestProxyHeaderBeforeTLSOfMember(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	addr := harness.FreeAddr(t)
	harness.Nginx(t, fmt.Sprintf("    listen %s ssl proxy_protocol;\n", addr)+sslOf(a.good(addr))+"    location / { return 200 \"$proxy_protocol_addr $proxy_protocol_port $https\"; }\n")
	s := newSite(t, addr, fmt.Sprintf("send_proxy = true\ntls {\nca = %q\n}\ncheck {\nhttps = \"/\"\nevery = \"100ms\"\n}\n", a.file))
	c := harness.Raw(t, s.addr)
	want := strings.Replace(c.LocalAddr().String(), ":", " ", 1) + " on"
	if got := c.Get("/"); got.Body != want {
		t.Errorf("the member was told %q, want %q", got.Body, want)
	}
	harness.Eventually(t, harness.Patience, "a check", func() bool { return strings.Contains(s.Admin("/api/v1/status"), "status 200") })
	if s.lines("member is unhealthy") != 0 {
		t.Error("the check found the member unhealthy")
	}
}

// Many clients at once: no connection to a member may be used for another client than it was opened for.
func TestNoConnectionForTwoClients(t *testing.T) {
	t.Parallel()
	_, addr := nginxOn(t, "proxy_protocol", "    location / { return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }\n")
	s := newSite(t, addr, "send_proxy = true\n")
	done := make(chan error)
	for range 20 {
		go func() {
			tr := &http.Transport{MaxConnsPerHost: 1}
			defer tr.CloseIdleConnections()
			done <- func() error {
				for range 20 {
					var local string
					trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { local = c.Conn.LocalAddr().String() }})
					r, err := http.NewRequestWithContext(trace, "GET", "http://"+s.addr+"/", nil)
					if err != nil {
						return err
					}
					resp, err := tr.RoundTrip(r)
					if err != nil {
						return err
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if want := strings.Replace(local, ":", " ", 1); err != nil || string(b) != want {
						return fmt.Errorf("the member was told %q, want %q (%v)", b, want, err)
					}
				}
				return nil
			}()
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
