package speaker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
	"skein/test/lab"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// The death of the balancer is seen at once, whatever it died of.
func TestParentDies(t *testing.T) {
	for _, fault := range []struct {
		name   string
		happen func(*balancer)
		within time.Duration // beyond what the speaker has to notice
	}{
		{"kill -9", func(b *balancer) { b.process.KillAlone() }, 0},
		{"stopped", func(b *balancer) { b.hush(true); b.process.FreezeAlone() }, 60 * time.Millisecond},
	} {
		t.Run(fault.name, func(t *testing.T) {
			l := lab.New(t)
			lan := l.Switch("lan")
			lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24")), l.Host("lb2", lan.Port("10.0.0.12/24"))
			a, b := start(t, lb1), start(t, lb2)
			a.configure(nil, a.router(200, "10.0.0.100/24"))
			b.configure(nil, b.router(190, "10.0.0.100/24"))
			owners := lab.Watch("10.0.0.100", lb1, lb2)
			a.is(vrrp.Master)
			wire := lb2.Capture(0, lab.Of(lab.VRRP))
			time.Sleep(500 * time.Millisecond)
			if fault.name == "kill -9" { // only the process holds the channel now
				a.conn.Close()
				time.Sleep(100 * time.Millisecond)
			}
			begin := time.Now()
			fault.happen(a)
			p := wire.Wait(zero(begin), harness.Patience)
			took := p.Time.Sub(begin)
			t.Logf("priority 0 after %v", took)
			if limit := fault.within + 20*time.Millisecond; took > limit {
				t.Errorf("priority 0 left %v after the balancer's end, want within %v", took, limit)
			}
			at := owners.Wait(lb2, harness.Patience)
			t.Logf("lb2 has the address after %v", at.Sub(begin))
			if fault.name == "kill -9" {
				if code := a.speaker.Wait(harness.Patience); code != 0 {
					t.Errorf("exit code = %d, want 0", code)
				}
				if !strings.Contains(a.speaker.Log(), `level=WARN msg="the balancer is gone: its addresses are given up"`) {
					t.Errorf("the log does not say why:\n%s", a.speaker.Log())
				}
			} else {
				a.process.ThawAlone()
				a.hush(false)
				a.is(vrrp.Master)
			}
			if lb1.Has("10.0.0.100") == (fault.name == "kill -9") {
				t.Errorf("lb1 has the address: %v", lb1.Has("10.0.0.100"))
			}
		})
	}
}

// It parses packets of strangers: it keeps no right, no file and no signal that it does not need.
func TestPrivileges(t *testing.T) {
	l := lab.New(t)
	lb1 := l.Host("lb1", l.Switch("lan").Port("10.0.0.11/24"))
	a := start(t, lb1)
	a.configure(nil, a.router(200, "10.0.0.100/24"))
	a.is(vrrp.Master)
	pid := a.speaker.PID()
	const needed = uint64(1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW)
	for _, thread := range list(t, pid, "task") {
		status := fields(t, fmt.Sprintf("/proc/%d/task/%s/status", pid, thread))
		for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapInh"} {
			if want := fmt.Sprintf("%016x", needed); status[set] != want {
				t.Errorf("thread %s: %s = %s, want %s", thread, set, status[set], want)
			}
		}
		if status["NoNewPrivs"] != "1" {
			t.Errorf("thread %s: NoNewPrivs = %s", thread, status["NoNewPrivs"])
		}
		var id int
		fmt.Sscan(thread, &id)
		attributes, err := unix.SchedGetAttr(id, 0)
		if err != nil || attributes.Policy != unix.SCHED_RR {
			t.Errorf("thread %s: policy %v, %v; want SCHED_RR", thread, attributes, err)
		}
	}
	for _, fd := range list(t, pid, "fd") {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd))
		if err != nil {
			continue // closed meanwhile
		}
		ok := len(fd) == 1 && fd <= "2" || strings.HasPrefix(name, "socket:") || strings.HasPrefix(name, "anon_inode:") ||
			name == fmt.Sprintf("/proc/%d/stat", a.process.PID())
		if !ok {
			t.Errorf("descriptor %s is %s", fd, name)
		}
	}
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGTSTP,
	} {
		a.speaker.Signal(sig)
	}
	time.Sleep(300 * time.Millisecond)
	if !a.speaker.Running() || !lb1.Has("10.0.0.100") {
		t.Errorf("a signal ended it:\n%s", a.speaker.Log())
	}
	if s := a.is(vrrp.Master); s.Counters.BecameBackup != 1 {
		t.Errorf("it became backup %d times, want once", s.Counters.BecameBackup)
	}
	a.await("real-time priority", func(r speaker.Report) bool { return r.Status != nil && r.Status.Realtime })
	a.order(speaker.Order{Stop: true})
	if code := a.speaker.Wait(harness.Patience); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	if lb1.Has("10.0.0.100") {
		t.Error("the address is left")
	}
}

// Neither root nor the right to be in time is needed.
func TestUnprivileged(t *testing.T) {
	l := lab.New(t)
	lb1 := l.Host("lb1", l.Switch("lan").Port("10.0.0.11/24"))
	a := start(t, lb1, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		"--bounding-set=-all,+net_admin,+net_raw", "--inh-caps=-all,+net_admin,+net_raw", "--ambient-caps=-all,+net_admin,+net_raw")
	a.state = "" // it may write nowhere
	a.configure(nil, a.router(200, "10.0.0.100/24"))
	a.is(vrrp.Master)
	r := a.await("a word about real time", func(r speaker.Report) bool {
		return r.Log != nil && strings.Contains(fmt.Sprint(r.Log.Fields["hint"]), "CAP_SYS_NICE")
	})
	if r.Log.Level != "info" {
		t.Errorf("level = %s, want info", r.Log.Level)
	}
	if status := fields(t, fmt.Sprintf("/proc/%d/status", a.speaker.PID())); !strings.HasPrefix(status["Uid"], "65534") {
		t.Errorf("Uid = %s", status["Uid"])
	}
}

// What kill -9 of the speaker leaves, the next one removes, and another node has the address meanwhile.
func TestKilledSpeaker(t *testing.T) {
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1 := l.Host("lb1", lan.Port("10.0.0.11/24"))
	a := start(t, lb1)
	a.configure(nil, a.router(200, "10.0.0.100/24", "10.0.0.101/32"))
	a.status("lb1 holds two", func(i speaker.InstanceStatus) bool { return len(i.Held) == 2 })
	a.speaker.KillAlone()
	if !lb1.Has("10.0.0.100") || !lb1.Has("10.0.0.101") {
		t.Fatal("the addresses went with the process: there is nothing to remove")
	}
	b := start(t, lb1)
	b.state = a.state
	b.configure(nil, b.router(200, "10.0.0.102/24")) // the file has changed meanwhile
	if lb1.Has("10.0.0.100") || lb1.Has("10.0.0.101") || !lb1.Has("10.0.0.11") {
		t.Errorf("lb1 has %v", lb1.Addresses())
	}
	b.is(vrrp.Master)
}

// A person who starts it learns what it is.
func TestSpeakByHand(t *testing.T) {
	out, err := exec.Command(harness.Binary(t), "speak").CombinedOutput()
	var code int
	if e, ok := err.(*exec.ExitError); ok {
		code = e.ExitCode()
	}
	if code != 2 || !strings.Contains(string(out), "speak is not for people") {
		t.Errorf("skein speak = %d, want 2 and a word about it:\n%s", code, out)
	}
	if out, err := exec.Command(harness.Binary(t), "help").Output(); err != nil || strings.Contains(string(out), "speak") {
		t.Errorf("skein help shows it: %v\n%s", err, out)
	}
}

func list(t *testing.T, pid int, what string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(pid), what))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// fields are those of a status file of proc(5).
func fields(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

// A speaker that died is replaced at once: how fast the next one answers is how long nobody speaks.
func TestStart(t *testing.T) {
	l := lab.New(t)
	lb1 := l.Host("lb1", l.Switch("lan").Port("10.0.0.11/24"))
	var took []time.Duration
	for range 5 {
		begin := time.Now()
		a := start(t, lb1)
		a.configure(nil, a.router(200, "10.0.0.100/24"))
		took = append(took, time.Since(begin))
		status := fields(t, fmt.Sprintf("/proc/%d/status", a.speaker.PID()))
		t.Logf("configured after %v; %s resident, %s threads", took[len(took)-1], status["VmRSS"], status["Threads"])
		a.order(speaker.Order{Stop: true})
		a.speaker.Wait(harness.Patience)
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("it takes %v to start", median)
	}
}
