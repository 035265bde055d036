package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skein/config"
)

// testCA signs certificates for tests.
type testCA struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newTestCA(t testing.TB, name string) *testCA {
	t.Helper()
	ca := &testCA{}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	ca.cert, ca.key = ca.sign(t, template, "p256")
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	return ca
}

// sign fills in what the template leaves out; a CA without a certificate signs its own.
func (ca *testCA) sign(t testing.TB, template *x509.Certificate, kind string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	var key crypto.Signer
	var err error
	if kind == "rsa" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(90 * 24 * time.Hour)
	}
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// leaf makes a certificate for names.
func (ca *testCA) leaf(t testing.TB, kind string, names ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	return ca.leafOf(t, kind, &x509.Certificate{DNSNames: names})
}

func (ca *testCA) leafOf(t testing.TB, kind string, template *x509.Certificate) (certPEM, keyPEM []byte) {
	t.Helper()
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	c, key := ca.sign(t, template, kind)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	return append(certPEM, ca.pem...), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// files writes a leaf to dir as NAME.crt and NAME.key.
func (ca *testCA) files(t testing.TB, dir, name, kind string, names ...string) *config.TLS {
	t.Helper()
	c := &config.TLS{Name: name, Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
	certPEM, keyPEM := ca.leaf(t, kind, names...)
	write(t, c.Cert, certPEM)
	write(t, c.Key, keyPEM)
	return c
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// logBook collects log lines.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBook) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

func newStore(t testing.TB, o Options) (*Store, *logBook) {
	t.Helper()
	book := &logBook{}
	return New(book.logger(slog.LevelInfo), o), book
}

// load makes a configuration live.
func load(t testing.TB, s *Store, c *config.Config) {
	t.Helper()
	commit, _, err := s.Prepare(t.Context(), c, nil)
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	commit()
}

func site(f *config.Front, hosts ...string) *config.HTTP {
	return &config.HTTP{Name: "site", Listen: []string{":443"}, Hosts: hosts, TLS: f, Protocols: []string{"http/1.1", "h2"}}
}

func sites(s ...*config.HTTP) *config.Config { return &config.Config{HTTP: s} }

// shake is one handshake in memory, after which the client reads what comes with it (tickets of TLS 1.3).
func shake(t testing.TB, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := tcp(t)
	done := make(chan error, 1)
	go func() {
		defer a.Close()
		c := tls.Server(a, server)
		err := c.Handshake()
		if err == nil {
			_, err = c.Write([]byte("x"))
			c.CloseWrite()
			io.Copy(io.Discard, c)
		}
		done <- err
	}()
	defer b.Close()
	c := tls.Client(b, client)
	err := c.Handshake()
	state := c.ConnectionState()
	if err == nil {
		_, err = io.ReadAll(c)
	}
	b.Close()
	served := <-done
	return state, errors.Join(err, served)
}

// tcp is a connection with itself.
func tcp(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// anyone trusts every server.
func anyone(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true} //nolint:gosec // the test looks at the certificate itself
}
