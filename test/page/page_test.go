package page

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/test/harness"
)

// A browser loads the page over each version of HTTP.
func TestBrowser(t *testing.T) {
	dir := t.TempDir()
	cert := certificate(t, dir)
	origin := Origin(t)
	for _, test := range []struct {
		name, protocols, want string
	}{
		{"HTTP/1.1", `"http/1.1"`, "http/1.1"},
		{"HTTP/2", `"http/1.1", "h2"`, "h2"},
		{"HTTP/3", `"http/1.1", "h2", "h3"`, "h3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := harness.FreeAddr(t)
			harness.Start(t, fmt.Sprintf(`
tls "page" {
  cert = %q
  key  = %q
}
http "page" {
  listen    = %q
  tls       = tls.page
  protocols = [%s]
  servers   = [%q]
}
`, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), addr, test.protocols, origin))
			got := Load(t, addr, cert, strings.Contains(test.protocols, "h3"))
			if diff := cmp.Diff(Loaded{"done", map[string]int{test.want: Objects}}, got); diff != "" {
				t.Errorf("the browser says (-want +got):\n%s", diff)
			}
		})
	}
}

// certificate writes a certificate of its own making. A browser that is told to trust its key does not mind the name.
func certificate(t *testing.T, dir string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "page.test"}, DNSNames: []string{"page.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}
