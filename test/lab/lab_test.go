package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/test/harness"
)

// three is a switch with three hosts.
func three(t testing.TB) (l *Lab, lan *Switch, a, b, c *Host) {
	t.Helper()
	l = New(t)
	lan = l.Switch("lan")
	a = l.Host("a", lan.Port("10.0.0.11/24", "fd00::11/64"))
	b = l.Host("b", lan.Port("10.0.0.12/24", "fd00::12/64"))
	c = l.Host("c", lan.Port("10.0.0.99/24", "fd00::99/64"))
	return l, lan, a, b, c
}

// serve answers TCP connections in h with the host's name and closes them.
func serve(h *Host, addr string) {
	l := h.Listen(addr)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, h.Name)
			c.Close()
		}
	}()
}

// reaches reports whether h gets an answer from addr.
func reaches(h *Host, addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	b, _ := io.ReadAll(c)
	return len(b) > 0
}

func TestHosts(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	_, _, a, b, c := three(t)
	t.Logf("a lab of three hosts in %v", time.Since(begin))
	serve(a, ":80")
	serve(b, ":80")
	for _, addr := range []string{"10.0.0.11:80", "[fd00::12]:80"} {
		if !reaches(c, addr) {
			t.Errorf("c does not reach %s", addr)
		}
	}
	if diff := cmp.Diff([]string{"eth0 10.0.0.11/24", "eth0 fd00::11/64"}, a.Addresses()); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got := c.Neighbor("10.0.0.11").String(); got != a.Port(0).MAC.String() {
		t.Errorf("c's neighbor 10.0.0.11 is at %s, want %s", got, a.Port(0).MAC)
	}
	if got := c.Neighbor("10.0.0.50"); got != nil {
		t.Errorf("c's neighbor 10.0.0.50 is at %s, want nothing", got)
	}
	// A program sees its own network, by every way to it, and has the usual priority.
	out := a.Start("sh", "-c", "ls /sys/class/net; nice; cat /proc/sys/net/ipv6/conf/eth0/accept_dad; ip -brief -4 addr show eth0")
	out.Wait(patience)
	harness.Eventually(t, patience, "the output comes", func() bool { return strings.Contains(out.Log(), "10.0.0.11/24") })
	if got := strings.Fields(out.Log())[:4]; cmp.Diff([]string{"eth0", "lo", "0", "0"}, got) != "" {
		t.Errorf("a program in the host sees:\n%s", out.Log())
	}
}

func TestPortFaults(t *testing.T) {
	t.Parallel()
	_, lan, a, b, c := three(t)
	serve(a, ":80")
	serve(b, ":80")
	carrier := func() string {
		p := a.Start("cat", "/sys/class/net/eth0/carrier")
		p.Wait(patience)
		return p.Log()
	}
	for _, f := range []struct {
		name             string
		begin, end       func()
		toA, toB, across bool // what c reaches of a and b, and whether a reaches b
		carrier          string
	}{
		{"down", a.Port(0).Down, a.Port(0).Up, false, true, false, "0\n"},
		{"unplug", a.Port(0).Unplug, a.Port(0).Plug, false, true, false, "1\n"},
		{"disable", a.Port(0).Disable, a.Port(0).Enable, false, true, false, ""},
		{"isolate", func() { a.Port(0).Isolate(true); b.Port(0).Isolate(true) }, func() { a.Port(0).Isolate(false); b.Port(0).Isolate(false) }, true, true, false, "1\n"},
		{"split", func() { lan.Split(a.Port(0), b.Port(0)) }, lan.Heal, false, false, true, "1\n"},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.begin()
			if got := reaches(c, "10.0.0.11:80"); got != f.toA {
				t.Errorf("c reaches a: %v, want %v", got, f.toA)
			}
			if got := reaches(c, "10.0.0.12:80"); got != f.toB {
				t.Errorf("c reaches b: %v, want %v", got, f.toB)
			}
			if got := reaches(a, "[fd00::12]:80"); got != f.across {
				t.Errorf("a reaches b: %v, want %v", got, f.across)
			}
			if got := carrier(); !strings.HasPrefix(got, f.carrier) {
				t.Errorf("carrier of a is %q, want %q", got, f.carrier)
			}
			f.end()
			harness.Eventually(t, patience, "all is well again", func() bool {
				return reaches(c, "10.0.0.11:80") && reaches(c, "[fd00::11]:80") && reaches(c, "10.0.0.12:80") && reaches(a, "[fd00::12]:80")
			})
		})
	}
}

func TestCarrierIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	_, _, a, _, _ := three(t)
	monitor := a.Start("ip", "-o", "monitor", "link")
	harness.Eventually(t, patience, "the monitor listens", func() bool {
		a.Start("sh", "-c", "ip link set lo down; ip link set lo up").Wait(patience)
		return strings.Contains(monitor.Log(), "lo:")
	})
	for range 5 {
		begin := time.Now()
		a.Port(0).Down()
		var seen time.Time
		harness.Eventually(t, patience, "the host sees the lost carrier", func() bool {
			for _, l := range monitor.Output().Lines() {
				if l.Time.After(begin) && strings.Contains(l.Text, "NO-CARRIER") {
					seen = l.Time
					return true
				}
			}
			return false
		})
		if d := seen.Sub(begin); d > 500*time.Millisecond {
			t.Errorf("the host has seen the lost carrier after %v", d)
		}
		a.Port(0).Up()
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	_, _, a, _, _ := three(t)
	// The child goes on when its parent dies alone, and dies with it as a group.
	script := `sleep 1000 & echo child $!; while :; do echo tick; sleep 0.01; done`
	child := func(p *Program) string { return strings.Fields(p.Says("child", patience).Text)[1] }
	alive := func(id string) bool { return exec.Command("kill", "-0", id).Run() == nil }

	p := a.Start("sh", "-c", script)
	id := child(p)
	p.KillAlone()
	if p.Running() || !alive(id) {
		t.Errorf("after kill of the first process: it runs: %v, its child: %v", p.Running(), alive(id))
	}
	p.Kill()
	harness.Eventually(t, patience, "the child dies", func() bool { return !alive(id) })

	p = a.Start("sh", "-c", script)
	child(p)
	ticks := func() int { return strings.Count(p.Log(), "tick") }
	p.Freeze()
	state := func(c string) bool {
		b, _ := exec.Command("ps", "-o", "state=", "-p", fmt.Sprint(p.PID())).Output()
		return strings.HasPrefix(string(b), c)
	}
	harness.Eventually(t, patience, "it is stopped", func() bool { return state("T") })
	p.Thaw()
	n := ticks()
	harness.Eventually(t, patience, "it goes on", func() bool { return ticks() > n })
	p.Term()
	if code := p.Wait(patience); code != -1 {
		t.Errorf("exit code after SIGTERM = %d, want -1", code)
	}
}

func TestPower(t *testing.T) {
	t.Parallel()
	_, _, a, _, c := three(t)
	p := a.Start("setsid", "sleep", "1000") // in a group of its own: PowerOff finds it all the same
	a.Start("ip", "addr", "add", "10.0.0.100/24", "dev", "eth0").Wait(patience)
	if !a.Has("10.0.0.100") {
		t.Fatal("the address was not added")
	}
	a.PowerOff()
	if p.Running() {
		p.Wait(patience)
	}
	a.PowerOn()
	if diff := cmp.Diff([]string{"eth0 10.0.0.11/24", "eth0 fd00::11/64"}, a.Addresses()); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	serve(a, "[fd00::11]:80")
	harness.Eventually(t, patience, "it is reached", func() bool { return reaches(c, "[fd00::11]:80") })
}

func TestDo(t *testing.T) {
	t.Parallel()
	_, _, a, _, _ := three(t)
	if err := a.Do(func() error { return a.Do(func() error { return io.EOF }) }); err != io.EOF {
		t.Errorf("Do in Do = %v, want EOF", err)
	}
	func() {
		defer func() {
			if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "ouch") {
				t.Errorf("recovered %v, want the panic of the function", r)
			}
		}()
		a.Do(func() error { panic("ouch") })
	}()
	if err := a.Do(func() error { return nil }); err != nil {
		t.Errorf("Do after a panic = %v", err)
	}
	if err := a.Do(func() error { runtime.Goexit(); return nil }); err == nil || !strings.Contains(err.Error(), "outside of Do") {
		t.Errorf("Do of a function that leaves its goroutine = %v", err)
	}
	if err := a.Do(func() error { return nil }); err != nil {
		t.Errorf("Do after that = %v", err)
	}
}

// A router between two networks.
func TestRoute(t *testing.T) {
	t.Parallel()
	l := New(t)
	lan, wan := l.Switch("lan"), l.Switch("wan")
	a := l.Host("a", lan.Port("10.0.0.1/24", "fd00::1/64"))
	r := l.Host("r", lan.Port("10.0.0.254/24", "fd00::fe/64"), wan.Port("10.1.0.254/24", "fd01::fe/64"))
	b := l.Host("b", wan.Port("10.1.0.1/24", "fd01::1/64"))
	r.Sysctl("net/ipv4/ip_forward", "1")
	r.Sysctl("net/ipv6/conf/all/forwarding", "1")
	a.Route("0.0.0.0/0", "10.0.0.254")
	a.Route("::/0", "fd00::fe")
	b.Route("10.0.0.0/24", "10.1.0.254")
	b.Route("fd00::/64", "fd01::fe")
	serve(b, ":80")
	for _, addr := range []string{"10.1.0.1:80", "[fd01::1]:80"} {
		if !reaches(a, addr) {
			t.Errorf("a does not reach %s", addr)
		}
	}
}

func TestSkein(t *testing.T) {
	t.Parallel()
	_, _, a, b, c := three(t)
	origin := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "b") })}
	l := b.Listen(":8080")
	go origin.Serve(l)
	t.Cleanup(func() { origin.Close() })
	s := a.Skein(`
pool "web" {
  servers = ["10.0.0.12:8080"]
}
http "site" {
  listen = "10.0.0.11:80"
  pool   = pool.web
}
`)
	client := &http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}, Timeout: patience}
	get := func() string {
		resp, err := client.Get("http://10.0.0.11/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	if got := get(); got != "b" {
		t.Errorf("answer = %q, want b", got)
	}
	s.FreezeAll()
	if reaches(c, "10.0.0.11:80") {
		t.Error("skein answers while it is frozen")
	}
	s.ThawAll()
	if got := get(); got != "b" {
		t.Errorf("answer after thaw = %q, want b", got)
	}
	if out, code := s.Command("status"); code != 0 {
		t.Errorf("status = %d %s", code, out)
	}
	s.KillAll()
	if reaches(c, "10.0.0.11:80") {
		t.Error("skein answers after its death")
	}
}
