package page

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

// object is what /object/i answers.
func object(i int) string { return strings.Repeat(fmt.Sprintf("/object/%d ", i), 200) }

// start starts skein before the page, with every version, and returns its address and certificate.
func start(t *testing.T) (addr, dir string, cert []byte) {
	t.Helper()
	dir = t.TempDir()
	cert = certificate(t, dir)
	addr = harness.FreeAddr(t)
	harness.Start(t, fmt.Sprintf(`
tls "page" {
  cert = %q
  key  = %q
}
http "page" {
  listen    = %q
  tls       = tls.page
  protocols = ["http/1.1", "h2", "h3"]
  servers   = [%q]
}
`, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), addr, Origin(t)))
	return addr, dir, cert
}

// Curl loads all objects over HTTP/1.1 and over HTTP/2, many at once, and says which version each came by.
func TestCurl(t *testing.T) {
	curl := harness.Need(t, "curl", "curl")
	addr, dir, _ := start(t)
	_, port, _ := net.SplitHostPort(addr)
	for version, option := range map[string]string{"1.1": "--http1.1", "2": "--http2"} {
		t.Run("HTTP/"+version, func(t *testing.T) {
			out := t.TempDir()
			cmd := exec.Command(curl, option, "--silent", "--show-error", "--fail", "--parallel", "--parallel-max", "20",
				"--cacert", filepath.Join(dir, "cert.pem"), "--resolve", "page.test:"+port+":"+addr[:strings.LastIndex(addr, ":")],
				"--write-out", "%{http_version}\n", "--output", filepath.Join(out, "#1"),
				fmt.Sprintf("https://page.test:%s/object/[0-%d]", port, Objects-1))
			said, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("curl: %v\n%s", err, said)
			}
			if n := strings.Count(string(said), version+"\n"); n != Objects {
				t.Errorf("%d objects came over HTTP/%s, want %d:\n%s", n, version, Objects, said)
			}
			for i := range Objects {
				if got := read(t, filepath.Join(out, fmt.Sprint(i))); got != object(i) {
					t.Errorf("object %d has %d bytes, want %d", i, len(got), len(object(i)))
				}
			}
		})
	}
}

// A QUIC client, Go's, loads the page and all objects at once on one connection.
func TestQUICClient(t *testing.T) {
	addr, _, cert := start(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "page.test"}}
	t.Cleanup(func() { tr.Close() })
	client := &http.Client{Transport: tr, Timeout: harness.Patience}
	fetch := func(path string) string {
		a, err := client.Get("https://" + addr + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return ""
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err != nil || a.Proto != "HTTP/3.0" || a.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s, %v", path, a.Proto, a.Status, err)
		}
		return string(b)
	}
	if page := fetch("/"); !strings.Contains(page, "<title>loading</title>") {
		t.Errorf("page = %q", page)
	}
	var all sync.WaitGroup
	for i := range Objects {
		all.Go(func() {
			if got := fetch(fmt.Sprintf("/object/%d", i)); got != object(i) {
				t.Errorf("object %d has %d bytes, want %d", i, len(got), len(object(i)))
			}
		})
	}
	all.Wait()
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
