package matrix

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/test/harness"
)

// domain is what all hosts end in.
const domain = ".matrix.test"

// site is one skein with the http blocks of all cells.
type site struct {
	*harness.Skein

	t       *testing.T
	dir     string // where tests and members meet, and files are
	log     string // the access log
	roots   *x509.CertPool
	cert    string // files
	key     string
	members []member
	cells   []*cell
	asking  sync.Mutex // held while a test looks at the metrics again and again
	hashed  sync.Map   // by feature: where the keys of hash went
}

func memberNames() []string { return []string{"h1", "h1s", "h2", "h2c", "fcgi"} }

func newSite(t *testing.T, watched bool) *site {
	t.Helper()
	s := prepare(t)
	s.write("pages/502.html", "<p>502</p>")
	s.write("pages/4xx.html", "<p>4xx</p>")
	s.write("files/a.txt", text(5000))
	s.write("files/big.bin", text(3<<20))
	s.write("files/.secret", "secret")
	s.write("files/sub/index.html", "index")
	var file strings.Builder
	fmt.Fprintf(&file, "log {\n  access = \"json\"\n  access_file = %q\n}\ntls \"main\" {\n  cert = %q\n  key = %q\n}\n", s.log, s.cert, s.key)
	dead := harness.FreeAddr(t)
	table := tried(watched)
	for i := range table {
		f := &table[i]
		plain, secure := harness.FreeAddr(t), harness.FreeAddr(t)
		for _, c := range clients() {
			for _, m := range s.members {
				if !f.each && m.name != "h1" || f.skipped(c, m) != "" {
					continue
				}
				x := &cell{site: s, f: f, client: c, member: m, name: f.name + "-" + c.name + "-" + m.name, addr: plain}
				if c.tls {
					x.addr = secure
				}
				s.cells = append(s.cells, x)
				file.WriteString(x.config(dead))
			}
		}
	}
	s.Skein = harness.Start(t, file.String())
	return s
}

// tried is the table, or what of it SKEIN_MATRIX names.
func tried(watched bool) []feature {
	only := os.Getenv("SKEIN_MATRIX")
	var some []feature
	for _, f := range features() {
		if f.watched == watched && (only == "" || strings.HasPrefix(f.name, only)) {
			some = append(some, f)
		}
	}
	return some
}

// prepare makes what a skein needs around it.
func prepare(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), roots: x509.NewCertPool()}
	s.log = filepath.Join(s.dir, "access.log")
	pair := s.certify()
	ca := fmt.Sprintf("tls {\n    ca = %q\n    name = \"member%s\"\n  }", s.cert, domain)
	for _, name := range memberNames() {
		m := member{name: name}
		switch name {
		case "fcgi":
			a, b, root, ok := startFPM(t, s.dir)
			if !ok {
				t.Log("php-fpm is not installed: FastCGI is left out")
				continue
			}
			m.a, m.b = a, b
			m.pool = `protocol = "fastcgi"`
			m.http = fmt.Sprintf("files {\n    root = %q\n  }", root)
		default:
			h2, secure := strings.HasPrefix(name, "h2"), name == "h1s" || name == "h2"
			var cert *tls.Certificate
			if secure {
				cert, m.pool = &pair, ca
			}
			if h2 {
				m.pool += "\n  protocol = \"h2\""
			}
			m.a, m.b = serve(t, "a", s.dir, h2, cert), serve(t, "b", s.dir, h2, cert)
		}
		s.members = append(s.members, m)
	}
	return s
}

// certify makes one certificate that clients and members trust, as it is its own CA.
func (s *site) certify() tls.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "matrix"}, DNSNames: []string{"*" + domain}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	s.roots.AddCert(parsed)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	s.cert, s.key = s.write("cert.pem", string(certPEM)), s.write("key.pem", string(keyPEM))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		s.t.Fatal(err)
	}
	return pair
}

// write puts a file into the directory and returns its path.
func (s *site) write(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// config is the cell's pool and http block.
func (x *cell) config(dead string) string {
	var servers []string
	for _, w := range strings.Fields(x.f.servers + " ") {
		servers = append(servers, fmt.Sprintf("%q", map[string]string{"a": x.member.a, "b": x.member.b, "dead": dead}[w]))
	}
	if len(servers) == 0 {
		servers = []string{fmt.Sprintf("%q", x.member.a)}
	}
	protocols, more := `["http/1.1", "h2c"]`, ""
	if x.client.tls {
		protocols, more = `["http/1.1", "h2", "h3"]`, "tls = tls.main\n  "+x.f.https
	}
	if !x.f.routes {
		more += "\n  pool = {pool}"
	}
	b := fmt.Sprintf(`
pool %[1]q {
  servers = [%[2]s]
  %[3]s
  %[4]s
}
http %[1]q {
  listen    = %[5]q
  protocols = %[6]s
  hosts     = [%[7]q]
  %[8]s
  %[9]s
  %[10]s
}
`, x.name, strings.Join(servers, ", "), x.member.pool, x.f.pool, x.addr, protocols, x.host(), more, x.member.http, x.f.http)
	return strings.NewReplacer("{pool}", "pool."+x.name, "{dir}", x.site.dir).Replace(b)
}
