package matrix

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"skein/test/harness"
)

//go:embed index.php
var script []byte

// startFPM starts one php-fpm with two pools, a and b, and returns their sockets, the directory of the script, and false if
// there is no php-fpm on this machine.
func startFPM(t testing.TB, dir string) (a, b, root string, ok bool) {
	t.Helper()
	found, _ := filepath.Glob("/usr/sbin/php-fpm*")
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("php-fpm is not installed: apt-get install php-fpm")
		}
		return "", "", "", false
	}
	run, err := os.MkdirTemp("", "skein-fpm") // not t.TempDir: the path of a socket may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	root = filepath.Join(run, "public")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "index.php"), script, 0o644); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("[global]\nerror_log = %s/fpm.log\ndaemonize = no\nprocess_control_timeout = 1s\n", run)
	for _, name := range []string{"a", "b"} {
		conf += fmt.Sprintf("[%[1]s]\nlisten = %[2]s/%[1]s.sock\nlisten.backlog = 511\npm = static\npm.max_children = 24\n"+
			"env[MATRIX_NAME] = %[1]s\nenv[MATRIX_DIR] = %[3]s\nphp_admin_value[post_max_size] = 64M\nphp_admin_value[memory_limit] = 64M\n", name, run, dir)
		if os.Getuid() == 0 {
			conf += "user = root\ngroup = root\n" // the test's directories are its own
		}
	}
	file := filepath.Join(run, "fpm.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(found[len(found)-1], "-F", "-R", "-y", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	a, b = filepath.Join(run, "a.sock"), filepath.Join(run, "b.sock")
	for _, socket := range []string{a, b} {
		harness.Eventually(t, harness.Patience, "php-fpm listens", func() bool {
			c, err := net.Dial("unix", socket)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return "unix:" + a, "unix:" + b, root, true
}
