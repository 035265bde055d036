package https

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ca issues certificates that the tests trust.
type ca struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCA(t testing.TB, name string) *ca {
	t.Helper()
	c := &ca{t: t}
	c.key = ecdsaKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return c
}

func ecdsaKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pool is what verifies c's certificates.
func (c *ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

// file writes c's own certificate and returns the path.
func (c *ca) file() string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, c.pem, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// leaf is a certificate with its key.
type leaf struct {
	t         testing.TB
	x509      *x509.Certificate
	tls       tls.Certificate
	cert, key []byte // PEM
}

// server issues a certificate for hosts, or addresses, with a new ECDSA key.
func (c *ca) server(hosts ...string) *leaf { return c.issue(nil, nil, hosts...) }

// issue issues a certificate. A nil key is a new one; edit changes what the certificate says.
func (c *ca) issue(key crypto.Signer, edit func(*x509.Certificate), names ...string) *leaf {
	c.t.Helper()
	if key == nil {
		key = ecdsaKey(c.t)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	l := &leaf{
		t:    c.t,
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
	if l.x509, err = x509.ParseCertificate(der); err != nil {
		c.t.Fatal(err)
	}
	l.tls = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: l.x509}
	return l
}

// write puts cert.pem and key.pem into a directory, which is made.
func (l *leaf) write(dir string) {
	l.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cert.pem": l.cert, "key.pem": l.key} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
}

// block writes l to files and returns the `tls "NAME"` block that names them.
func (l *leaf) block(name string) string {
	l.t.Helper()
	dir := l.t.TempDir()
	l.write(dir)
	return tlsBlock(name, dir)
}
