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
)

// testPair makes a certificate of its own for hosts, and its key, in PEM form. It is valid for two days.
func testPair(t *testing.T, until time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: mathbig.NewInt(1), DNSNames: hosts, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
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
	cert, key := testPair(t, time.Now().Add(24*time.Hour), "a.example.com")
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
		host := "a.example.com"
		if name == "other" {
			host = "b.example.com"
		}
		cert, key := testPair(t, until, host)
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
		{"other.pem", "other.key", "", "No certificate for the host"},
	} {
		const site = `
tls "a" {
  cert = %q
  key  = %q
}
http "a" {
  listen  = ":443"
  hosts   = ["a.example.com"]
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
		c, k := testPair(t, time.Now().Add(time.Hour), "b.example.com")
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

// TestCovered: a wildcard of a certificate is for one label, and one of a block's hosts needs one of a certificate's.
func TestCovered(t *testing.T) {
	p := newPlace(t)
	cert, key := testPair(t, time.Now().Add(time.Hour), "*.example.com")
	p.write("wild.pem", string(cert))
	p.write("wild.key", string(key))
	for host, want := range map[string]int{
		"a.example.com": 0, "*.example.com": 0, "A.EXAMPLE.COM": 0, "example.com": 1, "a.b.example.com": 1, "*.b.example.com": 1, "192.0.2.1": 1,
	} {
		c := p.good(fmt.Sprintf(`
tls "wild" {
  cert = "wild.pem"
  key  = "wild.key"
}
http "a" {
  listen  = ":443"
  hosts   = %q
  tls     = tls.wild
  servers = ["10.0.0.1:80"]
}`, host))
		if len(c.Warnings) != want {
			t.Errorf("%s: %d warnings, want %d\n%s", host, len(c.Warnings), want, Text(c.Warnings))
		}
	}
}

// TestACMEPort: http-01 needs something on port 80, as a redirect or a site in plain text, and tls-alpn-01 a site on port 443; one
// of the two is enough.
func TestACMEPort(t *testing.T) {
	p := newPlace(t)
	const site = `
acme {
  email      = "ops@example.com"
  challenges = %s
}
http "a" {
  listen  = %q
  hosts   = ["a.example.com"]
  tls     = "acme"
  servers = ["10.0.0.1:80"]
  %s
}
http "b" {
  listen  = %q
  servers = ["10.0.0.1:80"]
}`
	for _, tt := range []struct {
		challenges, listen, line, plain string
		warnings                        int
	}{
		{`"http-01"`, ":443", "", ":81", 1},
		{`"http-01"`, ":443", "redirect = \"10.0.0.9:80\"", ":81", 0},
		{`"http-01"`, ":443", "", ":80", 0},
		{`"tls-alpn-01"`, ":443", "", ":81", 0},
		{`["http-01", "tls-alpn-01"]`, ":443", "", ":81", 0},
		{`["http-01", "tls-alpn-01"]`, ":8443", "", ":81", 1},
		{`["http-01", "tls-alpn-01"]`, ":8443", "", ":80", 0},
		{`"tls-alpn-01"`, ":8443", "", ":80", 1},
	} {
		c := p.good(fmt.Sprintf(site, tt.challenges, tt.listen, tt.line, tt.plain))
		if len(c.Warnings) != tt.warnings {
			t.Errorf("%s on %s with %q and a site on %s: %d warnings, want %d\n%s", tt.challenges, tt.listen, tt.line, tt.plain, len(c.Warnings), tt.warnings, Text(c.Warnings))
		}
	}
}
