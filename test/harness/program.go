package harness

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Need returns the path of a program that the test cannot do without. If it is missing the test is skipped, but fails where
// CI is set: there everything must run.
func Need(t testing.TB, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	text := fmt.Sprintf("%s is not installed: apt-get install %s", program, debian)
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// Program is a real origin: a process that listens.
type Program struct {
	Addr string
	Dir  string // its files; served, where it serves files

	t      testing.TB
	args   []string
	env    []string
	cmd    *exec.Cmd
	out    output
	exited chan struct{}
}

// Start starts it (again) and waits until it accepts.
func (p *Program) Start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Dir = p.Dir
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(p.cmd, p.exited)
	Eventually(p.t, Patience, p.args[0]+" listens", func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("%s ended at its start:\n%s", p.args[0], p.out.tail(30))
		default:
		}
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// Kill is kill -9, for the process and its children.
func (p *Program) Kill() {
	select {
	case <-p.exited:
		return // its ID may be somebody else's by now
	default:
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// Freeze stops the process and its children in their tracks: its sockets stay, and nobody serves them.
func (p *Program) Freeze() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }

// Thaw lets it go on.
func (p *Program) Thaw() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) }

// Log is all that the program has written to its standard outputs.
func (p *Program) Log() string { return p.out.String() }

func program(t testing.TB, dir string, addr string, env []string, args ...string) *Program {
	t.Helper()
	p := &Program{Addr: addr, Dir: dir, t: t, args: args, env: env}
	p.Start()
	t.Cleanup(p.Kill)
	return p
}

// Run starts a program that listens on addr, and waits until it does.
func Run(t testing.TB, addr string, args ...string) *Program {
	t.Helper()
	return program(t, t.TempDir(), addr, nil, args...)
}

// Nginx starts nginx with the given text in its server block ("location / { return 200 ok; }"). Its access log, written at
// once, is access.log in Dir, in the form "status method target".
func Nginx(t testing.TB, server string) *Program {
	t.Helper()
	path := Need(t, "nginx", "nginx-light")
	dir, addr := t.TempDir(), FreeAddr(t)
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "  %s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	// Without a master there is one process to kill, and no change of user that would lose the right to read Dir.
	conf := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {
  worker_connections 4096;
}
http {
  default_type text/plain;
  log_format brief "$status $request_method $request_uri";
  access_log %[1]s/access.log brief;
  client_max_body_size 0;
  keepalive_requests 1000000;
%[2]s
  server {
    listen %[3]s;
    root %[1]s;
%[4]s
  }
}
`, dir, temp.String(), addr, server)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return program(t, dir, addr, nil, path, "-e", filepath.Join(dir, "error.log"), "-c", file)
}

// PHP starts PHP's own web server with a router script, which answers every request.
func PHP(t testing.TB, router string) *Program {
	t.Helper()
	path := Need(t, "php", "php-cli")
	dir, addr := t.TempDir(), FreeAddr(t)
	file := filepath.Join(dir, "router.php")
	if err := os.WriteFile(file, []byte(router), 0o600); err != nil {
		t.Fatal(err)
	}
	return program(t, dir, addr, nil, path, "-S", addr, "-t", dir, file)
}

// NetHTTP starts Go's own server and returns its address.
func NetHTTP(t testing.TB, h http.Handler) string {
	t.Helper()
	l := listen(t)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}
