// Package php puts skein before the real php-fpm, over a unix socket and over TCP, with programs that are built like Laravel's
// and WordPress's: a front controller beside its assets, and a tree of scripts. The site's files are compared with what nginx
// makes of them.
//
// Start at newFPM and newSite. php-fpm is started by each test with a configuration of its own and ends with it.
package php

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// fpm is a php-fpm.
type fpm struct {
	Server string // as skein's file names it
	Dir    string
	Addr   string // of the socket

	t       testing.TB
	network string
	path    string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// newFPM starts php-fpm on "unix" or "tcp". More goes into its pool's configuration.
func newFPM(t testing.TB, network, more string) *fpm {
	t.Helper()
	f := &fpm{t: t, network: network, path: findFPM(t)}
	dir, err := os.MkdirTemp("", "skein-php") // not t.TempDir: the path of a socket may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	f.Dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	f.Addr = filepath.Join(dir, "php.sock")
	f.Server = "unix:" + f.Addr
	if network == "tcp" {
		f.Addr = harness.FreeAddr(t)
		f.Server = f.Addr
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user = root\ngroup = root\n" // the test's directories are its own
	}
	conf := fmt.Sprintf(`[global]
error_log = %[1]s/fpm.log
daemonize = no
process_control_timeout = 1s
[www]
%[2]slisten = %[3]s
listen.backlog = 511
pm = static
pm.max_children = 4
php_admin_value[post_max_size] = 2G
php_admin_value[upload_max_filesize] = 2G
php_admin_value[upload_tmp_dir] = %[1]s
php_admin_value[session.save_path] = %[1]s
php_admin_flag[display_errors] = off
php_admin_flag[log_errors] = on
php_admin_value[memory_limit] = 64M
%[4]s
`, dir, user, f.Addr, more)
	if err := os.WriteFile(filepath.Join(dir, "fpm.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Start()
	t.Cleanup(f.Kill)
	return f
}

// findFPM returns Debian's php-fpm, whose name has a version.
func findFPM(t testing.TB) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if found, _ := filepath.Glob(filepath.Join(dir, "php-fpm*")); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	return harness.Need(t, "php-fpm", "php-fpm")
}

// Start starts it (again) and waits until it accepts.
func (f *fpm) Start() {
	f.t.Helper()
	f.cmd = exec.Command(f.path, "-F", "-R", "-y", filepath.Join(f.Dir, "fpm.conf"))
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(f.cmd, f.exited)
	harness.Eventually(f.t, harness.Patience, "php-fpm listens", func() bool {
		select {
		case <-f.exited:
			log, _ := os.ReadFile(filepath.Join(f.Dir, "fpm.log"))
			f.t.Fatalf("php-fpm ended at its start:\n%s", log)
		default:
		}
		c, err := net.Dial(f.network, f.Addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// Kill is kill -9, for the master and its children.
func (f *fpm) Kill() {
	select {
	case <-f.exited:
		return // its ID may be somebody else's by now
	default:
	}
	_ = syscall.Kill(-f.cmd.Process.Pid, syscall.SIGKILL)
	<-f.exited
}

// site is skein before a php-fpm.
type site struct {
	*harness.Skein

	t    testing.TB
	addr string
	root string
}

// newSite starts skein for the scripts below root. More goes into the pool, files into the files block.
func newSite(t testing.TB, f *fpm, root, more, files string, opts ...harness.Option) *site {
	t.Helper()
	addr := harness.FreeAddr(t)
	return &site{harness.Start(t, config(addr, f.Server, root, more, files), opts...), t, addr, root}
}

func config(addr, server, root, more, files string) string {
	return fmt.Sprintf(`
pool "php" {
  servers  = [%q]
  protocol = "fastcgi"
  %s
}
http "app" {
  listen   = %q
  pool     = pool.php
  max_body = 0
  files {
    root = %q
    %s
  }
}
`, server, more, addr, root, files)
}

// write puts files below root.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// answer is what came back, body read.
type answer struct {
	*http.Response

	Body string
}

// do sends a request; lines are "Name: value". It follows no redirect.
func (s *site) do(method, target string, body io.Reader, lines ...string) answer {
	s.t.Helper()
	a, err := try(s.addr, method, target, body, lines...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func try(addr, method, target string, body io.Reader, lines ...string) (answer, error) {
	req, err := http.NewRequest(method, "http://"+addr+target, body)
	if err != nil {
		return answer{}, err
	}
	req.Host = "app.test"
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		if name == "Content-Length" {
			_, err = fmt.Sscan(value, &req.ContentLength)
		}
		req.Header.Add(name, value)
	}
	if err != nil {
		return answer{}, err
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true, ResponseHeaderTimeout: 5 * time.Minute}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp, string(b)}, err
}

// expect fails the test unless the request is answered so.
func (s *site) expect(method, target string, body io.Reader, status int, want string, lines ...string) answer {
	s.t.Helper()
	a := s.do(method, target, body, lines...)
	if a.StatusCode != status || a.Body != want {
		s.t.Errorf("%s %s = %d %.300q, want %d %.300q", method, target, a.StatusCode, a.Body, status, want)
	}
	return a
}

// when is the time of the file that was answered with.
func (a answer) when(t testing.TB) time.Time {
	t.Helper()
	at, err := http.ParseTime(a.Header.Get("Last-Modified"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}
