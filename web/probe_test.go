package web

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Over TLS, too, also where a certificate of the client is required, and on a backup that does not have the address.
func TestServingTLS(t *testing.T) {
	good := origin(t, always(hello))
	crt := testCertificate(t)
	leaf, err := x509.ParseCertificate(crt.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(leaf)
	inner := func(c *tls.Config) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c, nil }}
	}
	byName := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName != "h" {
			return nil, errors.New("no certificate for it")
		}
		return &crt, nil
	}
	for _, tt := range []struct {
		name, listen, more string
		front              *tls.Config
		want               string
	}{
		{"TLS", wildcard, "", &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}}, ""},
		{"HTTP/2 alone", wildcard, `protocols = ["h2"]`, &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"h2"}}, ""},
		{"a certificate of the client", wildcard, "", inner(&tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}), ""},
		{"not here", "192.0.2.1:0", "", &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}}, ""},
		{"not here, HTTP/2 alone", "192.0.2.1:0", `protocols = ["h2"]`, &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"h2"}}, ""},
		{"by the block's name", wildcard, `hosts = ["*.h", "h"]`, &tls.Config{GetCertificate: byName, NextProtos: []string{"http/1.1"}}, ""},
		{"no certificate for its name", wildcard, `hosts = ["g"]`, &tls.Config{GetCertificate: byName, NextProtos: []string{"http/1.1"}}, `http "site" on 0.0.0.0:0: tls: `},
		{"names that nobody knows before", wildcard, `hosts = ["*.h"]`, &tls.Config{GetCertificate: byName, NextProtos: []string{"http/1.1"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serveTLS(t, tt.front, fmt.Sprintf("http \"site\" {\n listen = %q\n servers = [%q]\n tls = \"self-signed\"\n %s\n}\n", tt.listen, good, tt.more))
			s.wants("it", tt.want, "192.0.2.1")
			if n := s.stats.HandshakeErrors.Load() + s.stats.Handshakes.Load(); n != 0 {
				t.Errorf("%d handshakes were counted", n)
			}
			if tt.name == "a certificate of the client" { // others still need one
				_, port, _ := net.SplitHostPort(s.addr(wildcard))
				c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{InsecureSkipVerify: true})
				if err == nil {
					_ = c.SetDeadline(time.Now().Add(10 * time.Second))
					_, err = c.Read(make([]byte, 1)) // TLS 1.3 says it behind the handshake
					c.Close()
				}
				if !isAlert(err) {
					t.Errorf("a visitor without a certificate: %v, want an alert", err)
				}
			}
		})
	}
	t.Run("redirect", func(t *testing.T) {
		s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{crt}, NextProtos: []string{"http/1.1"}},
			fmt.Sprintf("http \"site\" {\n listen = %q\n redirect = \"127.0.0.7:0\"\n servers = [%q]\n tls = \"self-signed\"\n}\n", wildcard, good))
		s.wants("both listeners", "", "127.0.0.7")
	})
}

// A node asks itself over IPv6, too: at the loopback address where it listens on all, at the address that it has.
func TestServingIPv6(t *testing.T) {
	good := origin(t, always(hello))
	for _, listen := range []string{"[::]:0", "[::1]:0"} {
		s := serveFile(t, false, "")
		if err := s.reloadWhole(fmt.Sprintf("http \"site\" {\n listen = %q\n servers = [%q]\n}\n", listen, good)); err != nil {
			t.Fatal(err)
		}
		s.wants(listen, "", "::1")
		if n := s.probes.open.Load(); n != 0 {
			t.Errorf("%s: %d probes are left", listen, n)
		}
	}
}

// A probe takes no place in the log, and nobody else can send one.
func TestProbesAreSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	s := serveFile(t, false, "")
	hcl := siteAnywhere(origin(t, always(hello)), "") + fmt.Sprintf("log {\n access = \"combined\"\n access_file = %q\n}\n", file)
	if err := s.reloadWhole(hcl); err != nil {
		t.Fatal(err)
	}
	if err := s.serving("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	c, r := s.dialBy("127.0.0.1")
	right := string(s.probes.path)
	for _, path := range []string{right[:len(right)-1] + "!", right[:len(right)-1], right + "0", right + "?x=1", "/.well-known/skein/serving/"} {
		a, body, err := ask(t, c, r, "GET", "GET "+path+" HTTP/1.1\nHost: h\n\n")
		if path == right+"?x=1" { // who knows the path may ask
			if err != nil || a.StatusCode != 204 {
				t.Errorf("the secret: %v, %v", a, err)
			}
			continue
		}
		if err != nil || a.StatusCode != 200 || body != "hello" || a.Header.Get(servingField) != "" {
			t.Errorf("%s: %v, %q, %v; want the site's answer", path, a, body, err)
		}
	}
	s.stop()
	<-s.ended
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n != 4 || strings.Contains(string(b), right+" ") || strings.Contains(string(b), "skein/check") {
		t.Errorf("the access log has %d lines, want 4:\n%s", n, b)
	}
	if err := s.serving("127.0.0.1"); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("after the stop: %v", err)
	}
}
