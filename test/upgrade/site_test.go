// Package upgrade tests that a skein is replaced by a newer one in place, and nobody notices: not those who are connected, not
// those who come in that moment, not those who steer it. And that a new program which does not work costs nothing.
package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// chain is a skein and its successors.
type chain struct {
	*harness.Skein

	t       testing.TB
	addr    string
	program string // the file that is replaced by newer ones
	origin  *harness.Named
	big     string // address of the origin of /big and /socket
	drain   string

	first int
	mu    sync.Mutex // guards pids, which only the test's goroutine changes
	pids  []int      // of all generations that may still run, the oldest first
}

// quiet is no access log.
const quiet = "log {\n  access = \"off\"\n}\n"

// start starts the first one. more is added to the file.
func start(t *testing.T, drain, more string, opts ...harness.Option) *chain {
	t.Helper()
	// Who has lost its parent becomes ours, so that we learn how it ended, as an init does.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	c := &chain{t: t, addr: harness.FreeAddr(t), program: filepath.Join(t.TempDir(), "skein"), origin: harness.Name(t, "a"), drain: drain}
	c.big = harness.NetHTTP(t, http.HandlerFunc(big))
	c.install(harness.Binary(t))
	opts = append(opts, func(cmd *exec.Cmd) { cmd.Path, cmd.Args[0] = c.program, c.program })
	c.Skein = harness.Start(t, c.file(more), opts...)
	c.first = c.Skein.PID()
	c.pids = []int{c.first}
	t.Cleanup(c.stop)
	return c
}

func (c *chain) file(more string) string {
	return fmt.Sprintf(`
servers = {
  a = %q
  b = %q
}
pool "web" {
  servers = [server.a]
}
pool "big" {
  servers = [server.b]
}
http "site" {
  listen = %q
  pool   = pool.web
  timeouts {
    drain = %q
  }
  route "/big" {
    pool = pool.big
  }
  route "/socket" {
    pool = pool.big
  }
}
%s
`, c.origin.Addr, c.big, c.addr, c.drain, more)
}

// install puts a copy of a program where the next upgrade finds it. A rename, as the file that runs cannot be written.
func (c *chain) install(from string) {
	c.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(c.program+".new", b, 0o755)
	}
	if err == nil {
		err = os.Rename(c.program+".new", c.program)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// script puts a shell script there.
func (c *chain) script(text string) {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.install(file)
}

// pid is the process that serves.
func (c *chain) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pids[len(c.pids)-1]
}

var started = regexp.MustCompile(`msg="upgrade: the new process serves" pid=(\d+)`)

// upgrade replaces the process by a new one and returns when that serves.
func (c *chain) upgrade() {
	c.t.Helper()
	n := len(started.FindAllString(c.Log(), -1))
	c.signal(syscall.SIGUSR2)
	var all [][]string
	harness.Eventually(c.t, harness.Patience, "the new process serves", func() bool {
		all = started.FindAllStringSubmatch(c.Log(), -1)
		return len(all) > n
	})
	pid, err := strconv.Atoi(all[n][1])
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.pids = append(c.pids, pid)
	c.mu.Unlock()
	harness.Eventually(c.t, harness.Patience, "the new process says so", func() bool {
		return strings.Contains(c.Log(), fmt.Sprintf("msg=started version=devel pid=%d ", pid))
	})
}

// fails upgrades to a program that does not work, and returns what the log says of it.
func (c *chain) fails() string {
	c.t.Helper()
	before := len(c.Log())
	c.signal(syscall.SIGUSR2)
	return c.failed(before)
}

// failed waits for the end of an upgrade, the log of which begins at a place.
func (c *chain) failed(from int) (line string) {
	c.t.Helper()
	harness.Eventually(c.t, harness.Patience, "the upgrade fails", func() bool {
		_, after, ok := strings.Cut(c.Log()[from:], "upgrade failed: this process goes on")
		line, _, _ = strings.Cut(after, "\n")
		return ok && strings.Contains(after, "\n")
	})
	return line
}

func (c *chain) signal(s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.pid(), s); err != nil {
		c.t.Fatalf("signal %v: %v", s, err)
	}
}

// gone reports whether a process has ended and somebody has waited for it, and with which code; -1 after a signal. The code of
// those that others wait for is not known, and 0 then: the harness waits for the first one, and an elder for its heir if that
// ends before it.
func (c *chain) gone(pid int) (code int, ok bool) {
	var status syscall.WaitStatus
	if pid != c.first {
		if got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); err == nil && got == pid {
			return status.ExitStatus(), true
		}
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return 0, err != nil
}

// ended waits for the end of all processes but the one that serves, and fails the test unless each ended with code 0.
func (c *chain) ended() {
	c.t.Helper()
	for len(c.pids) > 1 {
		c.end(0)
	}
}

// end waits for the end of the oldest process and forgets it.
func (c *chain) end(code int) {
	c.t.Helper()
	pid, got := c.pids[0], 0
	harness.Eventually(c.t, harness.Patience, fmt.Sprintf("process %d ends", pid), func() (ok bool) {
		got, ok = c.gone(pid)
		return ok
	})
	if got != code && pid != c.first {
		c.t.Errorf("process %d ended with code %d, want %d", pid, got, code)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pids = c.pids[1:]
}

// stop ends all of them.
func (c *chain) stop() {
	c.t.Helper()
	how := syscall.SIGTERM
	if c.t.Failed() {
		how = syscall.SIGKILL
	}
	for _, pid := range c.pids {
		if how == syscall.SIGKILL { // what it is starting would outlive it
			for _, child := range children(c.t, pid) {
				if n, err := strconv.Atoi(child); err == nil {
					_ = syscall.Kill(n, how)
				}
			}
		}
		_ = syscall.Kill(pid, how)
	}
	c.Exit(harness.Patience) // of all: it ends when nobody can write to the log any more
	for _, pid := range c.pids {
		c.gone(pid)
	}
}

// children are the processes that a process has started and not waited for.
func children(t testing.TB, pid int) []string {
	t.Helper()
	var all []string
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that has ended
		}
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

// descriptors counts those of the process that serves.
func (c *chain) descriptors() int {
	c.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.pid()))
	if err != nil {
		c.t.Fatal(err)
	}
	return len(entries)
}

// status is what the tests look at of a status.
type status struct {
	State   string    `json:"state"`
	Started time.Time `json:"started"`
	Drains  []struct {
		Server string `json:"server"`
	} `json:"drains"`
}

func (c *chain) status() (s status, err error) {
	_, body, err := c.ask("GET", "/api/v1/status", "")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}

// ask asks the admin socket, over a connection of its own. Unlike the harness's ways it can be called from any goroutine.
func (c *chain) ask(method, path, body string) (code int, answer string, err error) {
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}}
	r, err := http.NewRequest(method, "http://skein"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: tr, Timeout: harness.Patience}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// serves fails the test unless visitors and operators are answered.
func (c *chain) serves() {
	c.t.Helper()
	if a := harness.Fetch(c.t, c.addr, "/"); a.Status != 200 {
		c.t.Errorf("status %d", a.Status)
	}
	if s, err := c.status(); err != nil || s.State != "serving" {
		c.t.Errorf("state is %q, %v", s.State, err)
	}
}

// piece is a part of /big, and pieces is how many there are. With the pause between them a transfer takes a second.
const (
	piece  = 32 << 10
	pieces = 50
	pause  = 20 * time.Millisecond
)

// big is an origin of long transfers, and of connections that speak WebSocket as far as a balancer can tell.
func big(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, rw)
		return
	}
	times, err := strconv.Atoi(r.URL.Query().Get("times"))
	if err != nil {
		times = 1
	}
	w.Header().Set("Content-Length", strconv.Itoa(times*pieces*piece))
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range times * pieces {
		b := strings.Repeat(string(rune('a'+i%26)), piece)
		if _, err := io.WriteString(w, b); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-tick.C // this is the slow line that the origin pretends to have
	}
}

// whole says what is wrong with a body of /big, "" if nothing.
func whole(body string) string {
	if len(body) != pieces*piece {
		return fmt.Sprintf("%d bytes, want %d", len(body), pieces*piece)
	}
	for i := range pieces {
		if want := strings.Repeat(string(rune('a'+i%26)), piece); body[i*piece:(i+1)*piece] != want {
			return fmt.Sprintf("piece %d is wrong", i)
		}
	}
	return ""
}
