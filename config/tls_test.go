package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	mathbig "math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// testPair makes a certificate of its own for a host, and its key, in PEM form. It is valid for two days.
func testPair(t *testing.T, host string, until time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: mathbig.NewInt(1), DNSNames: []string{host}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// place is a directory with a configuration, certificates and secrets.
type testPlace struct {
	*testing.T
	dir string
	o   Options
}

func newPlace(t *testing.T) testPlace {
	t.Helper()
	p := testPlace{t, t.TempDir(), Options{}}
	p.o.SecretDirs = []string{filepath.Join(p.dir, "secrets")}
	cert, key := testPair(t, "a.example.com", time.Now().Add(24*time.Hour))
	p.write("shop.pem", string(cert))
	p.write("shop.key", string(key))
	p.write("secrets/new", strings.Repeat("new hunter2 ", 4))
	p.write("secrets/old", strings.Repeat("old hunter2 ", 4))
	p.write("secrets/eab", "aHVudGVyMg==") // "hunter2"
	p.write("secrets/db", "hunter2\n")
	return p
}

func (p testPlace) write(name, s string) {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p testPlace) load(src string) (*Config, error) {
	p.write("skein.hcl", src)
	return Load(filepath.Join(p.dir, "skein.hcl"), p.o)
}

func (p testPlace) read(name string) []byte {
	p.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.Fatal(err)
	}
	return data
}

func (p testPlace) good(src string) *Config {
	p.Helper()
	c, err := p.load(src)
	if err != nil {
		p.Fatalf("Load:\n%v", err)
	}
	return c
}

const secure = `
acme {
  email = "ops@example.com"
  eab {
    id  = "kid"
    key = secret("eab")
  }
}
tls "shop" {
  cert = "shop.pem"
  key  = "shop.key"
}
http "shop" {
  listen         = ":443"
  hosts          = ["a.example.com"]
  tls            = [tls.shop, "acme"]
  redirect       = ":80"
  proxy_protocol = ["10.0.0.1", "fd00::/8"]
  servers        = ["10.0.0.1:80"]
  https {
    min_version     = "1.3"
    tickets         = [secret("new"), secret("old")]
    client_ca       = "shop.pem"
    hsts            = "365d"
    hsts_subdomains = true
    hsts_preload    = true
  }
}`

func TestFront(t *testing.T) {
	p := newPlace(t)
	c := p.good(secure)
	h := c.HTTP[0]
	want := &Front{
		Certificates: []*TLS{{Name: "shop", Pos: Pos{c.File, 9}, Cert: filepath.Join(p.dir, "shop.pem"), Key: filepath.Join(p.dir, "shop.key")}},
		ACME:         true, MinVersion: tls.VersionTLS13, ClientCA: p.read("shop.pem"), ClientAuth: "require",
		Tickets: Secrets{p.read("secrets/new"), p.read("secrets/old")},
	}
	if diff := cmp.Diff(want, h.TLS); diff != "" {
		t.Errorf("front (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(HSTS{365 * 24 * time.Hour, true, true}, h.HSTS); diff != "" {
		t.Errorf("HSTS (-want +got):\n%s", diff)
	}
	got := [][]string{h.Redirect, h.Protocols, h.ProxyFrom}
	if diff := cmp.Diff([][]string{{":80"}, {"http/1.1", "h2"}, {"10.0.0.1/32", "fd00::/8"}}, got); diff != "" {
		t.Errorf("redirect, protocols, proxy (-want +got):\n%s", diff)
	}
	if len(c.TLS) != 1 || c.TLS[0] != h.TLS.Certificates[0] {
		t.Errorf("TLS = %v, want the block's certificate", c.TLS)
	}
	if c.ACME == nil || len(c.Warnings) > 0 {
		t.Errorf("ACME = %v, warnings:\n%s", c.ACME, Text(c.Warnings))
	}
}

func TestFrontDefaults(t *testing.T) {
	c := parse(t, `
http "a" {
  listen  = ":443"
  tls     = "self-signed"
  servers = ["10.0.0.1:80"]
}
http "b" {
  listen    = ":80"
  protocols = "h2c"
  servers   = ["10.0.0.1:80"]
}`, Options{})
	if diff := cmp.Diff(&Front{SelfSigned: true, MinVersion: tls.VersionTLS12}, c.HTTP[0].TLS); diff != "" {
		t.Errorf("front (-want +got):\n%s", diff)
	}
	if h := c.HTTP[1]; h.TLS != nil || !cmp.Equal(h.Protocols, []string{"h2c"}) {
		t.Errorf("plain: %v, %v", h.TLS, h.Protocols)
	}
}

func TestACME(t *testing.T) {
	p := newPlace(t)
	state := "state = \"/var/lib/here\"\n"
	c := p.good(state + secure)
	want := &ACME{
		Pos: Pos{c.File, 3}, Email: "ops@example.com", Directory: letsEncrypt, Challenges: []string{"tls-alpn-01", "http-01"}, Key: "p256",
		EAB: &EAB{ID: "kid", Key: "aHVudGVyMg"}, Storage: "/var/lib/here/acme",
	}
	if diff := cmp.Diff(want, c.ACME); diff != "" {
		t.Errorf("ACME (-want +got):\n%s", diff)
	}
	c = p.good(`
acme {
  email      = "ops@example.com"
  directory  = "https://localhost:14000/dir"
  ca         = "shop.pem"
  challenges = "dns-01"
  dns        = ["bin/hook", "--zone"]
  key        = "rsa2048"
  on_demand  = ["*.Shops.example.com", "b.example.com"]
  storage    = "certs"
}
http "shop" {
  listen  = ":443"
  tls     = "acme"
  servers = ["10.0.0.1:80"]
}`)
	want = &ACME{
		Pos: Pos{c.File, 2}, Email: "ops@example.com", Directory: "https://localhost:14000/dir", CA: p.read("shop.pem"),
		Challenges: []string{"dns-01"}, DNS: []string{filepath.Join(p.dir, "bin/hook"), "--zone"}, Key: "rsa2048",
		OnDemand: []string{"*.shops.example.com", "b.example.com"}, Storage: filepath.Join(p.dir, "certs"),
	}
	if diff := cmp.Diff(want, c.ACME); diff != "" {
		t.Errorf("ACME (-want +got):\n%s", diff)
	}
}

// TestPairs gives a tls block files that are there and wrong, or doubtful.
func TestPairs(t *testing.T) {
	p := newPlace(t)
	for name, until := range map[string]time.Time{
		"other": time.Now().Add(time.Hour), "expired": time.Now().Add(-time.Hour), "early": time.Now().Add(72 * time.Hour),
	} {
		cert, key := testPair(t, "b.example.com", until)
		p.write(name+".pem", string(cert))
		p.write(name+".key", string(key))
	}
	p.write("chain.pem", string(p.read("shop.pem"))+string(p.read("other.pem")))
	p.write("backwards.pem", string(p.read("other.pem"))+string(p.read("shop.pem")))
	p.write("open.key", string(p.read("shop.key")))
	if err := os.Chmod(filepath.Join(p.dir, "open.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cert, key, fails, warns string }{
		{"shop.pem", "shop.key", "", ""},
		{"chain.pem", "shop.key", "", ""},
		{"shop.pem", "other.key", "this is not the key of the first certificate", ""},
		{"backwards.pem", "shop.key", "this is not the key of the first certificate", ""},
		{"shop.pem", "shop.pem", "no private key in PEM form", ""},
		{"shop.key", "shop.key", "a PRIVATE KEY, not a certificate", ""},
		{"shop.pem", "secrets", "not a regular file", ""},
		{"expired.pem", "expired.key", "", "Certificate has expired"},
		{"early.pem", "early.key", "", "Certificate not valid yet"},
		{"shop.pem", "open.key", "", "Key readable by everybody"},
	} {
		const site = `
tls "a" {
  cert = %q
  key  = %q
}
http "a" {
  listen  = ":443"
  tls     = tls.a
  servers = ["10.0.0.1:80"]
}`
		got, err := p.load(fmt.Sprintf(site, c.cert, c.key))
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s and %s: %v, want %s", c.cert, c.key, err, c.fails)
			}
		case err != nil:
			t.Errorf("%s and %s: %v", c.cert, c.key, err)
		case c.warns == "" && len(got.Warnings) > 0, c.warns != "" && (len(got.Warnings) != 1 || got.Warnings[0].Summary != c.warns):
			t.Errorf("%s and %s: warnings\n%s\nwant %q", c.cert, c.key, Text(got.Warnings), c.warns)
		}
	}
}

// TestTLSHash: what is read by value is part of the hash; a certificate that is read again when it changes is not.
func TestTLSHash(t *testing.T) {
	p := newPlace(t)
	src := `
acme {
  email = "ops@example.com"
  ca    = "ca.pem"
}
tls "shop" {
  cert = "shop.pem"
  key  = "shop.key"
}
pool "web" {
  servers = ["10.0.0.1:80"]
  tls {
    ca   = "members.pem"
    cert = "own.pem"
    key  = "own.key"
  }
}
http "shop" {
  listen = ":443"
  hosts  = ["a.example.com"]
  tls    = [tls.shop, "acme"]
  pool   = pool.web
  https {
    client_ca = "clients.pem"
    tickets   = secret("new")
  }
}`
	fresh := func(cert, key string) {
		t.Helper()
		c, k := testPair(t, "b.example.com", time.Now().Add(time.Hour))
		p.write(cert, string(c))
		if key != "" {
			p.write(key, string(k))
		}
	}
	for _, f := range []string{"ca.pem", "members.pem", "clients.pem"} {
		fresh(f, "")
	}
	fresh("own.pem", "own.key")
	last := p.good(src).Hash
	for _, step := range []struct {
		name    string
		change  func()
		changes bool
	}{
		{"nothing", func() {}, false},
		{"certificate", func() { fresh("shop.pem", "shop.key") }, false},
		{"the CA's roots", func() { fresh("ca.pem", "") }, true},
		{"roots of members", func() { fresh("members.pem", "") }, true},
		{"roots of clients", func() { fresh("clients.pem", "") }, true},
		{"certificate for members", func() { fresh("own.pem", "own.key") }, true},
		{"tickets", func() { p.write("secrets/new", strings.Repeat("x", 40)) }, true},
	} {
		step.change()
		h := p.good(src).Hash
		if (h != last) != step.changes {
			t.Errorf("%s: the hash has changed: %v, want %v", step.name, h != last, step.changes)
		}
		last = h
	}
}

// TestTLSElsewhere: files and secrets of what only other nodes use are not looked at, and what they are for is left out.
func TestTLSElsewhere(t *testing.T) {
	p := newPlace(t)
	src := `servers = { lb1 = "10.0.0.1", lb2 = "10.0.0.2" }
pool "far" {
  servers = ["10.0.0.3:80"]
  tls {
    ca   = "none.pem"
    cert = "none.pem"
    key  = "none.key"
  }
}
acme {
  ca = "none.pem"
  eab {
    id  = "kid"
    key = secret("none")
  }
}
tls "there" {
  cert = "none.pem"
  key  = "none.key"
}
http "there" {
  listen = ":443"
  hosts  = ["a.example.com"]
  nodes  = [server.lb2]
  tls    = ["acme", tls.there]
  pool   = pool.far
  https {
    client_ca = "none.pem"
    tickets   = secret("none")
  }
}
http "here" {
  listen  = ":80"
  servers = ["10.0.0.4:80"]
}`
	p.o.Node = "lb1"
	if c := p.good(src); c.ACME != nil || len(c.TLS) > 0 || len(c.HTTP) != 1 || len(c.Pools) != 1 {
		t.Errorf("ACME %v, %d certificates, %d blocks, %d pools; want what is here alone", c.ACME, len(c.TLS), len(c.HTTP), len(c.Pools))
	}
	p.o.Node = "lb2"
	if _, err := p.load(src); err == nil || strings.Count(err.Error(), "none.pem") < 5 || !strings.Contains(err.Error(), "No such secret") {
		t.Errorf("where they are used: %v", err)
	}
	p.o.Elsewhere = true
	p.good(src)
}

// TestKeysHidden dumps a Config with a secret at each place that takes one.
func TestKeysHidden(t *testing.T) {
	p := newPlace(t)
	c := p.good(secure + `
pool "php" {
  servers  = ["unix:/run/php.sock"]
  protocol = "fastcgi"
}
pool "own" {
  servers = ["10.0.0.1:443"]
  tls {
    cert = "shop.pem"
    key  = "shop.key"
  }
}
http "php" {
  listen = ":81"
  pool   = pool.php
  files {
    root   = "."
    params = { DB = secret("db") }
  }
  route "/own" {
    pool = pool.own
  }
}`)
	front, files, member := c.HTTP[0].TLS, c.HTTP[1].Default.Files, c.Pools[2].TLS
	if c.Pools[2].Name != "own" || files.Params[0].Value != "hunter2" || c.ACME.EAB.Key == "" || len(front.Tickets) != 2 || len(member.Key) == 0 {
		t.Fatalf("the secrets are not where they are looked for")
	}
	dump, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(dump)}
	for _, v := range []any{*front, front.Tickets, *files, files.Params[0], *member, member.Key, *c.ACME, c.ACME.EAB, *c.ACME.EAB} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
	}
	key := member.Key
	for _, s := range texts {
		for _, secret := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), "aHVudGVyMg", "104 117 110", fmt.Sprint([]byte(key[40:50])), string(key[40:60])} {
			if strings.Contains(s, secret) || strings.Contains(s, strings.Trim(secret, "[]")) {
				t.Errorf("a dump shows %q: %.300s", secret, s)
			}
		}
	}
}

func TestMemberTLS(t *testing.T) {
	p := newPlace(t)
	c := p.good(`
pool "web" {
  servers  = ["10.0.0.1:443"]
  protocol = "h2"
  tls {
    ca   = "shop.pem"
    name = "Origin.internal."
    cert = "shop.pem"
    key  = "shop.key"
  }
  check {
    https = "/up"
  }
}
pool "plain" {
  servers = ["10.0.0.1:443"]
  tls {
  }
  check {
    https = "/up"
    host  = "own.example.com"
  }
}
pool "proxied" {
  servers    = ["10.0.0.1:80"]
  send_proxy = true
}
pool "php" {
  servers  = ["unix:/run/php.sock", "10.0.0.1"]
  port     = 9000
  protocol = "fastcgi"
}
http "a" {
  listen = ":80"
  pool   = pool.web
  route "/plain" {
    pool = pool.plain
  }
  route "/proxied" {
    pool = pool.proxied
  }
  route "/php" {
    pool = pool.php
    files {
      root = "."
    }
  }
}`)
	cert := p.read("shop.pem")
	web, plain, proxied, php := c.Pools[0], c.Pools[1], c.Pools[2], c.Pools[3]
	if diff := cmp.Diff(&MemberTLS{CA: cert, Name: "origin.internal", Cert: cert, Key: p.read("shop.key"), Verify: true}, web.TLS); diff != "" {
		t.Errorf("tls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&MemberTLS{Verify: true}, plain.TLS); diff != "" {
		t.Errorf("empty tls (-want +got):\n%s", diff)
	}
	// Checks believe whom the pool believes, unless they say something else.
	if web.Check.Host != "origin.internal" || string(web.Check.CA) != string(cert) || plain.Check.Host != "own.example.com" || plain.Check.CA != nil {
		t.Errorf("checks: %+v, %+v", web.Check, plain.Check)
	}
	for _, tt := range []struct {
		*Pool
		protocol  string
		keepalive int
	}{{web, "h2", 256}, {plain, "http/1.1", 256}, {proxied, "http/1.1", 0}, {php, "fastcgi", 0}} {
		if tt.Protocol != tt.protocol || tt.KeepAlive != tt.keepalive {
			t.Errorf("pool %s: %s, keepalive %d; want %s and %d", tt.Name, tt.Protocol, tt.KeepAlive, tt.protocol, tt.keepalive)
		}
	}
	want := []Member{
		{Server: &Server{Name: "unix:/run/php.sock", Unix: "/run/php.sock", Weight: 1}, Weight: 1},
		{Server: &Server{Name: "10.0.0.1", Host: "10.0.0.1", Weight: 1}, Port: 9000, Weight: 1},
	}
	if diff := cmp.Diff(want, php.Members, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}
