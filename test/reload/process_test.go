package reload

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// Drains survive a restart, kill -9 too, and end when they are told to.
func TestDrainSurvives(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a", "b")
	s := harness.Start(t, f.String())
	if out, code := s.Command("drain", "a", "--reason", "new kernel"); code != 0 {
		t.Fatalf("drain = %d %s", code, out)
	}
	s.Kill()
	// The state directory goes on to the next process; the harness makes a new one for each.
	keep := filepath.Join(t.TempDir(), "state")
	if err := os.Rename(s.State, keep); err != nil {
		t.Fatal(err)
	}
	again := harness.Start(t, f.String(), func(c *exec.Cmd) {
		if err := os.Rename(keep, filepath.Join(filepath.Dir(c.Args[2]), "state")); err != nil { // skein run FILE
			t.Fatal(err)
		}
	})
	if got := members(t, again)["a"].State; got != "drained" {
		t.Errorf("a is %s after a restart, want drained", got)
	}
	for range 10 {
		good(t, harness.Fetch(t, f.addr, "/"), "b")
	}
	if out := again.Admin("/api/v1/status"); !strings.Contains(out, "new kernel") {
		t.Error("the drain's reason is lost")
	}
	if out, code := again.Command("ready", "a", "--all"); code != 0 {
		t.Fatalf("ready = %d %s", code, out)
	}
	if got := members(t, again)["a"].State; got != "up" {
		t.Errorf("a is %s after ready, want up", got)
	}
}

// slowFile is a site whose requests take long, and that waits so long for them at its end.
func slowFile(t *testing.T, takes time.Duration, drain string) file {
	t.Helper()
	f := newFile(t, "a")
	f.servers[0].Delay.Store(int64(takes))
	f.block = fmt.Sprintf("timeouts {\n drain = %q\n }", drain)
	return f
}

// running sends a request and waits until the origin works on it.
func running(t *testing.T, f file) *harness.Conn {
	t.Helper()
	n := f.servers[0].Active.Load()
	c := harness.Raw(t, f.addr)
	c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	harness.Eventually(t, harness.Patience, "the request runs", func() bool { return f.servers[0].Active.Load() == n+1 })
	return c
}

// SIGTERM waits for requests that run, as long as they take.
func TestStopWaits(t *testing.T) {
	t.Parallel()
	f := slowFile(t, time.Second, "30s")
	s := harness.Start(t, f.String())
	c := running(t, f)
	s.Signal(syscall.SIGTERM)
	good(t, c.Answer("GET"), "a")
	c.Closed()
	s.Stopped(harness.Patience)
}

// The drain time is its bound: what runs then is cut off, WebSockets too.
func TestStopCeiling(t *testing.T) {
	t.Parallel()
	f := slowFile(t, time.Minute, "1s")
	s := harness.Start(t, f.String())
	c := running(t, f)
	began := time.Now()
	s.Signal(syscall.SIGTERM)
	rest := c.Rest()
	took := time.Since(began)
	if strings.Contains(rest, " 200 ") || took < time.Second {
		t.Errorf("after %v the client got %q", took, rest)
	}
	s.Stopped(10 * time.Second)
	if !strings.Contains(s.Log(), "cut off") {
		t.Error("the log does not say that requests were cut off")
	}
}

// A second SIGTERM stops at once.
func TestStopNow(t *testing.T) {
	t.Parallel()
	f := slowFile(t, time.Minute, "1m")
	s := harness.Start(t, f.String())
	running(t, f)
	s.Signal(syscall.SIGTERM)
	harness.Eventually(t, harness.Patience, "skein stops", func() bool { return strings.Contains(s.Log(), "stopping") })
	began := time.Now()
	s.Signal(syscall.SIGTERM)
	s.Exit(10 * time.Second)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// The access log is switched by a reload, and its file is opened again on SIGUSR1, after logrotate has moved it. No line is lost
// or written twice on the way.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a")
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log")
	with := func(format, path string) string {
		n := f
		n.more = fmt.Sprintf("log {\n access = %q\n access_file = %q\n}\n", format, path)
		if format == "off" {
			n.more = "log {\n access = \"off\"\n}\n"
		}
		return n.String()
	}
	s := harness.Start(t, with("combined", first))
	c := harness.Raw(t, f.addr)
	next := 0
	get := func(n int) {
		for range n {
			good(t, c.Get(fmt.Sprintf("/n%d-", next)), "a")
			next++
		}
	}
	// from waits until a file holds exactly the requests from..to-1, one line each.
	holds := func(path string, from, to int) {
		t.Helper()
		text := ""
		if !harness.Soon(harness.Patience, func() bool {
			b, _ := os.ReadFile(path)
			text = string(b)
			return strings.Count(text, "\n") >= to-from
		}) {
			t.Fatalf("%s has %d lines, want %d", path, strings.Count(text, "\n"), to-from)
		}
		for i := from; i < to; i++ {
			if n := strings.Count(text, fmt.Sprintf("/n%d-", i)); n != 1 {
				t.Errorf("%s has request %d %d times", path, i, n)
			}
		}
	}
	get(10)
	moved := filepath.Join(dir, "moved.log")
	if err := os.Rename(first, moved); err != nil {
		t.Fatal(err)
	}
	get(10)
	holds(moved, 0, 20) // a line is written after its answer
	s.Signal(syscall.SIGUSR1)
	harness.Eventually(t, harness.Patience, "the file is opened again", func() bool {
		_, err := os.Stat(first)
		return err == nil
	})
	harness.Eventually(t, harness.Patience, "the log says so", func() bool { return strings.Contains(s.Log(), "reopened") })
	get(10)
	holds(first, 20, 30)
	s.Reload(with("json", second))
	get(10)
	holds(second, 30, 40)
	s.Reload(with("off", second))
	get(10)
	s.Reload(with("combined", second))
	get(10)
	holds(moved, 0, 20)
	holds(first, 20, 30)
	b, _ := os.ReadFile(second)
	if strings.Contains(string(b), "/n40-") {
		t.Error("there is a line of a time when the access log was off")
	}
	harness.Eventually(t, harness.Patience, "the log is back", func() bool {
		b, _ := os.ReadFile(second)
		return strings.Count(string(b), "\n") == 20 && strings.Count(string(b), "{") == 10
	})
	s.Stop()
	holds(moved, 0, 20)
	holds(first, 20, 30)
}
