package https

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"skein/test/harness"
)

// waived are findings of testssl that are not skein's, with their reasons.
func waived() map[string]string {
	return map[string]string{
		"engine_problem": "the openssl that testssl itself runs with knows no GOST ciphers",
	}
}

// testssl.sh finds nothing to object to of MEDIUM severity or above, with what is the default but HSTS.
func TestScanner(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	testssl := harness.Need(t, "testssl", "testssl.sh")
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		io.WriteString(w, "hello")
	}))
	addr, c := harness.FreeAddr(t), newCA(t, "test CA")
	cert := c.issue(nil, func(x *x509.Certificate) {
		// Nobody answers there, and testssl does not ask unless told to; without them it says that nothing can be revoked.
		x.CRLDistributionPoints = []string{"http://127.0.0.1:9/test.crl"}
		x.OCSPServer = []string{"http://127.0.0.1:9/ocsp"}
	}, "localhost")
	s := harness.Start(t, cert.block("site")+block1(addr, origin, "https {\n hsts = \"365d\"\n hsts_subdomains = true\n}")+quiet)
	file := filepath.Join(t.TempDir(), "findings.json")
	ip, port := split(t, addr)
	// All but the simulated clients, who find nothing, and the list of ciphers, which the categories (-s) have: half of the time.
	cmd := exec.Command(testssl, "-p", "-s", "-f", "-P", "-S", "-h", "-U", "--add-ca", c.file(), "--severity", "MEDIUM", "--jsonfile", file, "--warnings", "off", "--color", "0",
		"--ip", ip, "localhost:"+port)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput() // its exit code counts findings
	var findings []struct{ ID, Severity, Finding string }
	b, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatalf("testssl: %v, %v\n%s", err, readErr, out)
	}
	if err := json.Unmarshal(b, &findings); err != nil {
		t.Fatalf("findings: %v\n%s\n%s", err, b, out)
	}
	for _, f := range findings {
		if !slices.Contains([]string{"MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"}, f.Severity) {
			continue
		}
		if why, ok := waived()[f.ID]; ok {
			t.Logf("%s, %s: %s; waived: %s", f.ID, f.Severity, f.Finding, why)
			continue
		}
		t.Errorf("%s, %s: %s", f.ID, f.Severity, f.Finding)
	}
	if !bytes.Contains(out, []byte("Done ")) {
		t.Errorf("the scan was not completed: %v\n%s", err, out)
	}
	if n := s.Metric("skein_http_tls_handshakes_total"); n < 20 {
		t.Errorf("testssl completed %v handshakes, want at least 20: has it tried anything?\n%s", n, out)
	}
	s.Stop()
}
