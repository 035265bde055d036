package upgrade

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"skein/test/harness"
)

// A new program that does not work changes nothing: the old process goes on, says why in one line, and leaves nothing behind.
func TestNewProgramFails(t *testing.T) {
	t.Parallel()
	c := start(t, "10s", quiet, harness.Args("--upgrade-timeout", "1s"))
	c.upgrade()
	c.ended()
	binary := harness.Binary(t)
	taken, err := net.Listen("tcp", harness.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	kept := harness.Raw(t, c.addr)
	kept.Get("/")
	before, pid := c.descriptors(), c.pid()
	for _, test := range []struct {
		name    string
		prepare func()
		want    string
	}{
		{"it exits at once", func() { c.script("exit 3") }, "ended before it was ready (exit status 3)"},
		{"it is killed", func() { c.script("kill -9 $$") }, "ended before it was ready (signal: killed)"},
		{"it hangs", func() { c.script("exec sleep 1000") }, "was not ready within 1s and was killed"},
		{"it hangs, and so does what it has started", func() { c.script("sleep 1000 & wait") }, "was not ready within 1s and was killed"},
		{"it closes its descriptors and hangs", func() { c.script("exec 3>&-; exec sleep 1000") }, "ended before it was ready (signal: killed)"},
		{"it is another program", func() { c.install("/bin/true") }, "ended before it was ready (exit status 0)"},
		{"it says something else", func() { c.script("echo hello >&3; exec sleep 1000") }, "was killed: "},
		{"it cannot be executed", func() {
			c.install(binary)
			if err := os.Chmod(c.program, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "permission denied"},
		{"it is no program", func() {
			c.script("")
			if err := os.WriteFile(c.program, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		{"it is missing", func() {
			if err := os.Remove(c.program); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		{"the file has a mistake", func() {
			c.install(binary)
			c.Write(c.file(quiet + "pool \"x\" {"))
		}, "ended before it was ready (exit status 2)"},
		{"an address is taken", func() {
			c.install(binary)
			c.Write(c.file(quiet + fmt.Sprintf("http \"x\" {\n listen = %q\n pool = pool.web\n}\n", taken.Addr())))
		}, "ended before it was ready (exit status 2)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := strings.Count(c.Log(), "upgrade failed")
			test.prepare()
			if line := c.fails(); !strings.Contains(line, test.want) {
				t.Errorf("the log says %s\nwant %q", line, test.want)
			}
			c.serves()
			if a := kept.Get("/"); a.Status != 200 || a.Close {
				t.Errorf("who was connected: status %d, closed %v", a.Status, a.Close)
			}
			if left := children(t, pid); len(left) > 0 {
				t.Errorf("processes that nobody waits for: %v", left)
			}
			if n := strings.Count(c.Log(), "upgrade failed"); n != lines+1 {
				t.Errorf("%d lines about it, want 1", n-lines)
			}
			// One more may rest at the member: the next request can come before the last one's connection has been put back.
			if !harness.Soon(harness.Patience, func() bool { return c.descriptors() <= before+1 }) {
				t.Errorf("%d descriptors, were %d", c.descriptors(), before)
			}
		})
	}
	c.install(binary)
	c.Write(c.file(quiet))
	if out, code := c.Command("reload"); code != 0 {
		t.Errorf("reload = %d %s", code, out)
	}
	c.upgrade()
	c.ended()
	c.serves()
}

// stuck upgrades to a real skein that hangs with all sockets in its hands: its access log is a pipe that nobody reads. It
// returns the log's length before, the new process, and the pipe.
func stuck(c *chain) (from, pid int, pipe string) {
	c.t.Helper()
	pipe = filepath.Join(c.t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.Write(c.file(fmt.Sprintf("log {\n access_file = %q\n}\n", pipe)))
	from = len(c.Log())
	c.signal(syscall.SIGUSR2)
	harness.Eventually(c.t, harness.Patience, "the new process has the sockets", func() bool {
		_, after, _ := strings.Cut(c.Log()[from:], "a new process was started\" pid=")
		if n, _ := fmt.Sscan(after, &pid); n != 1 {
			return false
		}
		return sockets(pid) >= 3 // of the site, of the admin, and of the conversation with the elder
	})
	return from, pid, pipe
}

// sockets counts those that a process has.
func sockets(pid int) (n int) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// During an upgrade a second one and reloads are refused with a word, and whoever comes is served. The death of the new process
// at any time before it is ready costs nothing.
func TestKilledBeforeReady(t *testing.T) {
	t.Parallel()
	c := start(t, "10s", quiet)
	load := harness.Visit(t, c.addr, 3, nil, "GET /")
	from, pid, _ := stuck(c)
	c.signal(syscall.SIGUSR2)
	harness.Eventually(t, harness.Patience, "the second upgrade is refused", func() bool {
		return strings.Contains(c.Log()[from:], "upgrade was refused")
	})
	c.signal(syscall.SIGHUP)
	harness.Eventually(t, harness.Patience, "the reload is refused", func() bool {
		return strings.Contains(c.Log()[from:], "not reloaded: the running one stays\" error=\"an upgrade is under way")
	})
	if out, code := c.Command("reload"); code == 0 || !strings.Contains(out, "an upgrade is under way") {
		t.Errorf("reload = %d %s", code, out)
	}
	if out, code := c.Command("drain", "b", "--force"); code != 0 {
		t.Errorf("drain = %d %s", code, out)
	}
	c.serves()
	load.More(50)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if line := c.failed(from); !strings.Contains(line, "signal: killed") {
		t.Errorf("the log says %s", line)
	}
	load.More(50)
	c.Write(c.file(quiet))
	if out, code := c.Command("reload"); code != 0 {
		t.Errorf("reload = %d %s", code, out)
	}
	c.upgrade()
	c.ended()
	load.More(50)
	load.End()
	load.Good("upgrades that fail")
	if s, err := c.status(); err != nil || len(s.Drains) != 1 {
		t.Errorf("drains = %v, %v: that of a moment before is lost", s.Drains, err)
	}
}

// Who stops skein in the middle of an upgrade stops both.
func TestStopDuringUpgrade(t *testing.T) {
	t.Parallel()
	c := start(t, "10s", quiet)
	from, pid, _ := stuck(c)
	c.signal(syscall.SIGTERM)
	c.failed(from)
	c.Stopped(harness.Patience)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Error("the new process lives")
	}
	if _, err := net.Dial("tcp", c.addr); err == nil {
		t.Error("somebody still listens")
	}
}

// The death of the old process while it finishes its requests costs these, and nothing else; so does its death while the new one
// is still starting: that one takes over then.
func TestElderKilled(t *testing.T) {
	t.Parallel()
	c := start(t, "30s", quiet)
	long := harness.Raw(t, c.addr)
	long.Send("GET /big?times=10 HTTP/1.1\r\nHost: h\r\n\r\n")
	long.Expect("HTTP/1.1 200")
	c.upgrade()
	elder := c.pids[0]
	load := harness.Visit(t, c.addr, 3, nil, "GET /")
	load.More(20)
	if err := syscall.Kill(elder, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	long.Rest()
	c.end(-1)
	load.More(50)
	c.serves()
	load.Good("the old process dies")

	from, pid, pipe := stuck(c)
	load.End()
	load.Good("an upgrade begins")
	if err := syscall.Kill(c.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.pids = append(c.pids, pid)
	c.end(-1)
	r, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0) // lets the new one go on
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	harness.Eventually(t, harness.Patience, "the new process takes over", func() bool {
		return strings.Contains(c.Log()[from:], fmt.Sprintf("msg=started version=devel pid=%d ", pid))
	})
	c.serves()
}
