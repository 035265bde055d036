package pebble_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/pebble"
)

const patience = 3 * time.Minute // an order that fails is tried again after about one

// site is skein between visitors, an origin and a CA.
type site struct {
	*pebble.Pebble
	t             testing.TB
	https, http   string // skein's addresses
	origin        string
	storage, root string
}

func newSite(t *testing.T, o pebble.Options) *site {
	t.Helper()
	s := &site{t: t, https: harness.FreeAddr(t), http: harness.FreeAddr(t), storage: filepath.Join(t.TempDir(), "acme")}
	host, _, err := net.SplitHostPort(s.https)
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.TLSPort, o.HTTPPort = host, number(t, s.https), number(t, s.http)
	s.Pebble = pebble.Start(t, o)
	s.root = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(s.root, s.RootPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Forwarded-Proto")+" "+r.Host)
	}))
	t.Cleanup(origin.Close)
	s.origin = origin.Listener.Addr().String()
	return s
}

func number(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// file is a configuration; acme is added to the acme block, hosts is the block's.
func (s *site) file(acme, hosts string) string {
	return fmt.Sprintf(`
acme {
  email     = "admin@site.test"
  directory = %q
  ca        = %q
  storage   = %q
%s
}
http "site" {
  listen   = %q
  redirect = %q
  tls      = "acme"
  servers  = [%q]
%s
}
`, s.Directory, s.root, s.storage, acme, s.https, s.http, s.origin, hosts)
}

// get is a visitor who verifies the certificate.
func (s *site) get(name string, roots *x509.CertPool) (body string, leaf *x509.Certificate, err error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.https)
		},
	}}
	w, err := client.Get("https://" + name + "/")
	if err != nil {
		return "", nil, err
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	return string(b), w.TLS.PeerCertificates[0], err
}

// serves waits until visitors of name are served.
func (s *site) serves(skein *harness.Skein, name string, roots *x509.CertPool) *x509.Certificate {
	s.t.Helper()
	var body string
	var leaf *x509.Certificate
	var err error
	if !harness.Soon(patience, func() bool {
		body, leaf, err = s.get(name, roots)
		return err == nil
	}) {
		s.t.Fatalf("%s is not served: %v\nlog:\n%s", name, err, skein.Log())
	}
	if want := "https " + name; body != want {
		s.t.Errorf("answer for %s = %q, want %q", name, body, want)
	}
	return leaf
}

// Each way to prove a name, from the file to a visitor who verifies the certificate.
func TestChallengesOfTheProgram(t *testing.T) {
	s := newSite(t, pebble.Options{})
	roots := s.Roots()
	hook := filepath.Join(t.TempDir(), "hook")
	harness.Need(t, "curl", "curl")
	script := "#!/bin/sh\nset -e\nif [ $1 = present ]; then\n  curl -fsS -d \"{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}\" " + s.Management + "/set-txt\nfi\n"
	if err := os.WriteFile(hook, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	skein := harness.Start(t, s.file(`  challenges = ["http-01"]`, `  hosts = ["http.test"]`))
	s.serves(skein, "http.test", roots)
	skein.Reload(s.file(`  challenges = ["tls-alpn-01"]`, `  hosts = ["http.test", "alpn.test"]`))
	s.serves(skein, "alpn.test", roots)
	skein.Reload(s.file(fmt.Sprintf("  challenges = [\"dns-01\"]\n  dns = [%q]", hook), `  hosts = ["http.test", "alpn.test", "*.wild.test"]`))
	s.serves(skein, "any.wild.test", roots)
	if log := skein.Log(); strings.Contains(log, "PRIVATE") {
		t.Error("the log has a key")
	}
}

// The CA and skein both die; skein comes back alone and serves, and the CA's return brings what is missing.
func TestTheProgramWithoutItsCA(t *testing.T) {
	s := newSite(t, pebble.Options{})
	roots := s.Roots()
	skein := harness.Start(t, s.file("", `  hosts = ["a.test"]`))
	leaf := s.serves(skein, "a.test", roots)
	s.Kill()
	skein.Kill()
	skein = harness.Start(t, s.file("", `  hosts = ["a.test", "b.test"]`))
	if again := s.serves(skein, "a.test", roots); !again.Equal(leaf) {
		t.Error("a restart shows another certificate")
	}
	if _, _, err := s.get("b.test", roots); err == nil {
		t.Error("a name without a certificate is served")
	}
	harness.Eventually(t, patience, "the log says that the CA is away", func() bool {
		return strings.Contains(skein.Log(), "certificate was not obtained")
	})
	s.Restart()
	s.serves(skein, "b.test", s.Roots())
}

func TestTheProgramOnDemand(t *testing.T) {
	s := newSite(t, pebble.Options{})
	roots := s.Roots()
	skein := harness.Start(t, s.file(`  on_demand = ["*.shops.test"]`, `  hosts = ["main.test", "*.shops.test"]
  timeouts {
    tls = "30s"
  }`))
	s.serves(skein, "main.test", roots)
	if body, _, err := s.get("one.shops.test", roots); err != nil || body != "https one.shops.test" {
		t.Errorf("first visitor of a shop: %q, %v\nlog:\n%s", body, err, skein.Log())
	}
	if _, _, err := s.get("one.strangers.test", roots); err == nil {
		t.Error("a stranger's name has a certificate")
	}
}
