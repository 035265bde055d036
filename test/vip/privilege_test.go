package vip

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skein/test/harness"
	"skein/test/lab"
)

// as makes a skein run as nobody, with these capabilities and no others.
func as(t *testing.T, capabilities ...string) harness.Option {
	t.Helper()
	path := harness.Need(t, "setpriv", "util-linux")
	list := "-all"
	for _, c := range capabilities {
		list += ",+" + c
	}
	return func(c *exec.Cmd) {
		dir := filepath.Dir(c.Args[2]) // of skein run FILE
		for _, f := range []string{dir, c.Args[2]} {
			if err := os.Chown(f, 65534, 65534); err != nil {
				t.Error(err)
			}
		}
		c.Args = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=" + list, "--inh-caps=" + list, "--ambient-caps=" + list, "--", c.Path}, c.Args[1:]...)
		c.Path = path
	}
}

// readable lets everybody execute the program: the directories above the test's own copy need not be.
func readable(t *testing.T) harness.Option {
	t.Helper()
	dir, err := os.MkdirTemp("", "skein")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(harness.Binary(t))
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	file := filepath.Join(dir, "skein")
	if err == nil {
		err = os.WriteFile(file, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(c *exec.Cmd) { c.Path, c.Args[0] = file, file }
}

// CAP_NET_ADMIN and CAP_NET_RAW are enough (and CAP_NET_BIND_SERVICE for port 80): failovers, handovers, groups of addresses.
func TestFewPrivileges(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	copied := readable(t)
	s.start(s.file(s.vip("front", `address = ["`+address+`/24", "fd00::100/64"]`, "preempt = false")), copied, as(t, "net_admin", "net_raw", "net_bind_service"))
	for i := range s.lb {
		if n := strings.Count(s.run[i].Log(), "real-time"); n != 1 {
			t.Errorf("%s says %d times that it has no real-time priority:\n%s", s.lb[i].Name, n, s.run[i].Log())
		}
	}
	probe := s.visitor.Probe(page, lab.Probing{Timeout: patience})
	probe.Answered(patience)
	s.command(0, "drain", "lb1")
	s.owners.Wait(s.lb[1], patience)
	probe.Answered(patience)
	s.command(0, "ready", "lb1")
	s.ready(0)
	if r := probe.Stop(); len(r.Failed()) > 0 {
		t.Errorf("%s", r)
	}
	s.run[1].Kill()
	s.owners.Wait(s.lb[0], patience)
	s.run[0].Stop()
}

// Without them skein says at the start what is missing, where, and what to do.
func TestNoPrivileges(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	copied := readable(t)
	file := s.file(s.front())
	line := 1 + strings.Count(file[:strings.Index(file, `vip "front"`)], "\n")
	for _, c := range []struct {
		has  []string
		want string
	}{
		{[]string{"net_bind_service"}, "no CAP_NET_ADMIN and no CAP_NET_RAW"},
		{[]string{"net_bind_service", "net_raw"}, "no CAP_NET_ADMIN"},
		{[]string{"net_bind_service", "net_admin"}, "no CAP_NET_RAW"},
	} {
		r := s.lb[0].Launch(file, copied, as(t, c.has...))
		if code := r.Exit(patience); code != 2 {
			t.Errorf("with %v: exit code %d, want 2", c.has, code)
		}
		for _, want := range []string{fmt.Sprintf("skein.hcl:%d", line), c.want, "hint: ", "AmbientCapabilities"} {
			if !strings.Contains(r.Log(), want) {
				t.Errorf("with %v it does not say %q:\n%s", c.has, want, r.Log())
			}
		}
	}
}

// What is wrong with interfaces and addresses is said with file and line on the nodes that have the vip, and nowhere else.
func TestWrongInterface(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	for _, c := range []struct{ name, vips, want string }{
		{"no such interface", s.front(`interface = "eth7"`), "eth7"},
		{"no interface for the address", s.vip("front", `address = "192.0.2.1/24"`), "192.0.2.1"},
		{"the same router ID twice", s.front() + "\n" + s.vip("twin", `address = "10.0.0.101/24"`, "router_id = 100"), "outer ID"},
	} {
		file := s.file(c.vips)
		r := s.lb[0].Launch(file)
		if code := r.Exit(patience); code != 2 {
			t.Errorf("%s: exit code %d, want 2", c.name, code)
		}
		if log := r.Log(); !strings.Contains(log, "skein.hcl") || !strings.Contains(log, c.want) {
			t.Errorf("%s: it says only\n%s", c.name, log)
		}
		if strings.Contains(c.vips, "twin") {
			continue // that is a mistake of the file, and everybody's
		}
		// web1 runs the same file, and has nothing to do with that.
		r = s.web[0].Skein(file)
		r.Stop()
		path := filepath.Join(t.TempDir(), "skein.hcl")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"check", "--node", "lb1", path}, {"check", "--node", "web1", path}} {
			p := s.lb[0].Start(harness.Binary(t), args...)
			if code := p.Wait(patience); code != 0 {
				t.Errorf("%s: skein %s: exit code %d: what only a machine knows is judged elsewhere\n%s", c.name, strings.Join(args, " "), code, p.Log())
			}
		}
		// All hosts of the lab have the machine's name; lb1 knows itself by its address.
		p := s.lb[0].Start(harness.Binary(t), "check", "--here", path)
		if p.Wait(patience); !strings.Contains(p.Log(), c.want) {
			t.Errorf("%s: skein check --here says only\n%s", c.name, p.Log())
		}
	}
}
