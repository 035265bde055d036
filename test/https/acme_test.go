package https

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/pebble"
)

// Certificates that a CA renews cost nobody a request, nor does the CA's death in the middle.
func TestRenewedByACMEUnderLoad(t *testing.T) {
	t.Parallel()
	addr, plain := harness.FreeAddr(t), harness.FreeAddr(t)
	ip, _ := split(t, addr)
	p := pebble.Start(t, pebble.Options{Host: ip, TLSPort: portOf(t, addr), HTTPPort: portOf(t, plain)})
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, p.RootPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	origin := hello(t)
	// Each reload makes skein ask the CA at once; the time-out only makes it another file.
	file := func(n int) string {
		return fmt.Sprintf(`
acme {
  email     = "admin@site.test"
  directory = %q
  ca        = %q
}
http "site" {
  listen   = %q
  redirect = %q
  hosts    = [%q]
  tls      = "acme"
  servers  = [%q]
  timeouts {
    tunnel = "%ds"
  }
}
`, p.Directory, root, addr, plain, host, origin, 100+n) + quiet
	}
	s := harness.Start(t, file(0))
	config := &tls.Config{RootCAs: p.Roots(), ServerName: host}
	cert := func() *x509.Certificate {
		if _, state, err := ask(addr, config, host, "/"); err == nil {
			return state.PeerCertificates[0]
		}
		return nil
	}
	var now *x509.Certificate
	harness.Eventually(t, 3*harness.Patience, "the first certificate is there", func() bool {
		now = cert()
		return now != nil
	})
	load := visit(t, addr, host, config, 20, false)
	load.more(100)
	n := harness.Count(1, 3, 20)
	for i := range n {
		before := now
		p.SetRenewal(before, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
		s.Reload(file(i + 1))
		harness.Eventually(t, 3*harness.Patience, "the certificate is renewed", func() bool {
			now = cert()
			return now != nil && !now.Equal(before)
		})
	}
	load.more(100)
	if met := load.met(); met != n+1 {
		t.Errorf("visitors have met %d certificates, want %d", met, n+1)
	}
	load.good("renewals by ACME")

	p.SetRenewal(now, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	obtained := strings.Count(s.Log(), "certificate was obtained")
	s.Reload(file(n + 1))
	// The moment is not exact on purpose: in the middle of an order, whose middle it is changes.
	load.more(int64(5 + time.Now().Nanosecond()%50))
	p.Kill()
	load.more(500)
	harness.Eventually(t, 3*harness.Patience, "the order ended, well or not", func() bool {
		log := s.Log()
		return strings.Contains(log, "certificate was not renewed") || strings.Count(log, "certificate was obtained") > obtained
	})
	s.Reload(file(n + 2))
	load.more(100)
	load.good("the CA's death")
	load.undisturbed()
	load.end()
	s.Stop()
}

func portOf(t testing.TB, addr string) int {
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
