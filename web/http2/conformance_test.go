package http2

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// h2spec asks some 150 questions about RFC 7540 and 7541. None is waived.
func TestH2spec(t *testing.T) {
	if testing.Short() {
		t.Skip("h2spec takes a while")
	}
	s := serve(t, nil, config(func(c *Config) { c.Glitches = 1000 }), hello)
	host, port, _ := net.SplitHostPort(s.addr)
	cmd := h2spec(t)
	cmd.Args = append(cmd.Args, "-h", host, "-p", port, "-o", "5", "-P", "/")
	out, err := cmd.CombinedOutput()
	text := string(out)
	t.Log(text[max(0, len(text)-200):])
	if err != nil || !strings.Contains(text, " 0 failed") {
		t.Errorf("h2spec: %v\n%s", err, text)
	}
	if !strings.Contains(text, " passed") || strings.Contains(text, " 0 passed") {
		t.Errorf("h2spec has tested nothing:\n%s", text)
	}
}

func h2spec(t *testing.T) *exec.Cmd {
	t.Helper()
	if p, err := exec.LookPath("h2spec"); err == nil {
		return exec.Command(p)
	}
	out, _ := exec.Command("go", "env", "GOPATH").Output()
	p := filepath.Join(strings.TrimSpace(string(out)), "bin", "h2spec")
	if _, err := os.Stat(p); err == nil {
		return exec.Command(p)
	}
	cmd := exec.Command("go", "run", "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible", "--version")
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("h2spec cannot be fetched: %v\n%s", err, out)
	}
	run := exec.Command("go", "run", "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible")
	run.Dir = cmd.Dir
	return run
}
