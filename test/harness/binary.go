package harness

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The binary of this test process. It is the one global beside the port counter: a process has one source tree, and building
// twice what it says would only cost time.
var build = sync.OnceValues(buildSkein)

// Binary returns the path of the skein binary, built from the sources around the test.
func Binary(t testing.TB) string {
	t.Helper()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// buildSkein runs go build. The file lies in the user's cache, so that a second package that is tested in the same run does
// not link again: go build leaves a target alone that is up to date. A lock keeps packages that are tested at the same time
// from each other's half-written file.
func buildSkein() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	kind := "plain"
	if race {
		kind = "race"
	}
	dir := filepath.Join(cache, "skein-test", fmt.Sprintf("%x-%s", sha256.Sum256([]byte(root)), kind))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	file := filepath.Join(dir, "skein")
	args := []string{"build", "-o", file}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return file, nil
}
