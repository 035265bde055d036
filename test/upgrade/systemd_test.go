package upgrade

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/test/harness"
)

// systemd is told who the main process is before the old one ends, by the old one, whom it believes with any NotifyAccess, and
// by the new one. Nobody tells it that the service stops before it does.
func TestNotify(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "skein") // short: a socket lives there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	told := func() string {
		t.Helper()
		b := make([]byte, 512)
		if err := l.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(b)
		if err != nil {
			t.Fatalf("systemd was told nothing more: %v", err)
		}
		return string(b[:n])
	}
	c := start(t, "10s", quiet, harness.Env("NOTIFY_SOCKET="+path))
	got, want := []string{told()}, []string{"READY=1"}
	for range 3 {
		c.upgrade()
		got = append(got, told(), told())
		want = append(want, fmt.Sprintf("MAINPID=%d", c.pid()), fmt.Sprintf("MAINPID=%d\nREADY=1", c.pid()))
		c.ended()
	}
	c.signal(syscall.SIGTERM)
	c.end(0)
	got, want = append(got, told()), append(want, "STOPPING=1")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	_ = l.SetReadDeadline(time.Now())
	b := make([]byte, 512)
	if n, err := l.Read(b); err == nil {
		t.Errorf("systemd was told %q at the end", b[:n])
	}
}

// systemd understands every line of the unit, and of what a node with virtual addresses adds to it.
func TestUnit(t *testing.T) {
	t.Parallel()
	analyze := harness.Need(t, "systemd-analyze", "systemd")
	b, err := os.ReadFile("../../packaging/skein.service")
	if err != nil {
		t.Fatal(err)
	}
	rights, err := os.ReadFile("../../packaging/vip.conf")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "skein.service")
	text := strings.ReplaceAll(string(b), "/usr/local/bin/skein", harness.Binary(t)) // it must be there
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func() {
		t.Helper()
		out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "skein.service") {
				t.Errorf("systemd-analyze verify: %v: %s", err, line)
			}
		}
	}
	verify()
	if err := os.Mkdir(unit+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unit+".d", "vip.conf"), rights, 0o600); err != nil {
		t.Fatal(err)
	}
	verify()
}
