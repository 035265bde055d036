// Package harness starts the real skein binary from a real file, and everything that a test puts around it: raw clients,
// scripted origins that remember every byte, and real origins (Go's net/http, nginx, php -S).
//
// Start at [Start] for skein, [Raw] for a client and [Origin] for an origin. Everything that is started ends with the test.
//
// It imports nothing of ours, so that a test sees what a user sees: bytes on sockets, lines in the log, exit codes. It
// promises to fail a test whose skein raced, panicked, or did not stop when told to.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTime is how long skein may take to stop when nobody is connected. The machine may be busy.
const stopTime = 15 * time.Second

// Skein is a running `skein run FILE`.
type Skein struct {
	File   string // the configuration
	Socket string // of the admin API
	State  string // directory

	t      testing.TB
	cmd    *exec.Cmd
	log    output
	exited chan struct{} // closed when the process has ended; then err is set
	err    error
	admin  *http.Client
	check  sync.Once
}

// Option changes how skein is started.
type Option func(*exec.Cmd)

// Env adds an environment variable, as "NAME=value".
func Env(setting string) Option { return func(c *exec.Cmd) { c.Env = append(c.Env, setting) } }

// Plain makes skein do its I/O by net.Conn's Read and Write, without write-then-park.
func Plain() Option { return Env("SKEIN_SOCK=plain") }

// Args adds arguments after `run FILE`.
func Args(args ...string) Option { return func(c *exec.Cmd) { c.Args = append(c.Args, args...) } }

// Start writes the file, adds an admin socket and a state directory of its own, starts skein and waits until it serves.
func Start(t testing.TB, hcl string, opts ...Option) *Skein {
	t.Helper()
	s := Launch(t, hcl, opts...)
	s.Await()
	return s
}

// Await waits until skein serves.
func (s *Skein) Await() {
	s.t.Helper()
	Eventually(s.t, Patience, "skein serves", func() bool {
		select {
		case <-s.exited:
			s.t.Fatalf("skein ended at its start: %v\n%s", s.err, s.log.tail(100))
		default:
		}
		status, _, err := s.get("/healthz")
		return err == nil && status == http.StatusOK
	})
}

// Launch is Start without the waiting: skein may refuse the file, or end.
func Launch(t testing.TB, hcl string, opts ...Option) *Skein {
	t.Helper()
	return LaunchIn(t, nil, hcl, opts...)
}

// LaunchIn is Launch with a place to start the process from: in calls its argument on a thread of a network namespace, say. That
// thread must last as long as skein shall. The process and its children are then a group of their own, so that they can be
// signalled together. The admin socket is a file, and is reached from anywhere. A nil in is the test's own place.
func LaunchIn(t testing.TB, in func(func() error) error, hcl string, opts ...Option) *Skein {
	t.Helper()
	binary := Binary(t)
	dir, err := os.MkdirTemp("", "skein") // not t.TempDir: a socket's path may have 107 bytes, and it holds the test's name
	if err != nil {
		t.Fatal(err)
	}
	s := &Skein{
		File:   filepath.Join(dir, "skein.hcl"),
		Socket: filepath.Join(dir, "admin.sock"),
		State:  filepath.Join(dir, "state"),
		t:      t,
		exited: make(chan struct{}),
	}
	s.admin = &http.Client{Timeout: Patience, Transport: &http.Transport{
		DisableKeepAlives: true, // an idle connection would count as a leak
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.Socket)
		},
	}}
	s.Write(hcl)
	s.cmd = exec.Command(binary, "run", s.File)
	// The race detector waits a second at the end for others to report; with dozens of programs that adds up.
	s.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=100")
	for _, o := range opts {
		o(s.cmd)
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: in != nil}
	start := s.cmd.Start
	if in != nil {
		start = func() error { return in(s.cmd.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		s.end()
		os.RemoveAll(dir)
	})
	return s
}

// Write replaces the file without telling skein.
func (s *Skein) Write(hcl string) {
	s.t.Helper()
	// At the end, so that the lines of the test's own text keep their numbers in error messages.
	hcl += fmt.Sprintf("\nstate = %q\nadmin {\n  socket = %q\n}\n", s.State, s.Socket)
	if err := os.WriteFile(s.File, []byte(hcl), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Reload replaces the file and returns once it is in force. It fails the test if skein refuses it.
func (s *Skein) Reload(hcl string) {
	s.t.Helper()
	if status, body := s.TryReload(hcl); status/100 != 2 {
		s.t.Fatalf("reload: %d %s", status, body)
	}
}

// TryReload replaces the file and returns skein's verdict.
func (s *Skein) TryReload(hcl string) (status int, body string) {
	s.t.Helper()
	s.Write(hcl)
	return s.Post("/api/v1/reload", "")
}

// Admin gets a path of the admin API and returns the body; anything but a 200 fails the test.
func (s *Skein) Admin(path string) string {
	s.t.Helper()
	status, body, err := s.get(path)
	if err != nil || status != http.StatusOK {
		s.t.Fatalf("admin %s: %d %s %v", path, status, body, err)
	}
	return body
}

// Post sends JSON to a path of the admin API.
func (s *Skein) Post(path, json string) (status int, body string) {
	s.t.Helper()
	resp, err := s.admin.Post("http://skein"+path, "application/json", strings.NewReader(json))
	if err != nil {
		s.t.Fatalf("admin %s: %v\n%s", path, err, s.log.tail(30))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("admin %s: %v", path, err)
	}
	return resp.StatusCode, string(b)
}

func (s *Skein) get(path string) (int, string, error) {
	resp, err := s.admin.Get("http://skein" + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Command runs another command of the same binary against this skein and returns what it printed and its exit code.
func (s *Skein) Command(args ...string) (out string, code int) {
	s.t.Helper()
	cmd := exec.Command(s.cmd.Path, args...)
	cmd.Env = append(os.Environ(), "SKEIN_SOCKET="+s.Socket)
	b, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("skein %s: %v", strings.Join(args, " "), err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// PID is the process.
func (s *Skein) PID() int { return s.cmd.Process.Pid }

// Log is all that skein has written so far, access log included.
func (s *Skein) Log() string { return s.log.String() }

// Signal sends a signal.
func (s *Skein) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal %v: %v\n%s", sig, err, s.log.tail(30))
	}
}

// Stop sends SIGTERM and fails the test unless skein ends in time with code 0.
func (s *Skein) Stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	s.Stopped(stopTime)
}

// Stopped waits for skein's end and fails the test unless it comes in time with code 0.
func (s *Skein) Stopped(within time.Duration) {
	s.t.Helper()
	if code := s.Exit(within); code != 0 {
		s.t.Fatalf("skein ended with code %d, want 0\n%s", code, s.log.tail(100))
	}
	s.healthy()
}

// Exit waits for skein's end and returns the exit code.
func (s *Skein) Exit(within time.Duration) int {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(within):
	}
	s.cmd.Process.Signal(syscall.SIGQUIT) // the goroutines' stacks say where it hangs
	select {
	case <-s.exited:
	case <-time.After(5 * time.Second):
	}
	_, stacks, _ := strings.Cut(s.log.String(), "SIGQUIT")
	s.t.Fatalf("skein did not end within %v\n%s", within, stacks)
	return -1
}

// Kill ends skein at once, as a power failure would.
func (s *Skein) Kill() {
	s.cmd.Process.Kill()
	<-s.exited
}

// end is the cleanup: it stops what still runs, politely unless the test has failed anyway.
func (s *Skein) end() {
	s.t.Helper()
	defer func() {
		s.healthy()
		if s.t.Failed() {
			s.t.Logf("last lines of skein's log:\n%s", s.log.tail(60))
		}
	}()
	select {
	case <-s.exited:
		return
	default:
	}
	if s.t.Failed() {
		s.Kill()
		return
	}
	defer s.cmd.Process.Kill()
	s.Stop()
}

// healthy fails the test if the log shows a race or a panic.
func (s *Skein) healthy() {
	s.t.Helper()
	s.check.Do(func() {
		if sign := s.log.crash(); sign != "" {
			s.t.Errorf("skein: %s", sign)
		}
	})
}
