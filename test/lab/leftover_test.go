package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// usage is what a lab could leave in the process of the test.
func usage(t *testing.T) (descriptors, goroutines, threads int) {
	t.Helper()
	count := func(dir string) int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	return count("/proc/self/fd"), runtime.NumGoroutine(), count("/proc/self/task")
}

func TestNothingIsLeft(t *testing.T) {
	round := func(t *testing.T) {
		l, lan, a, b, c := three(t)
		a.Origin(":80", nil)
		a.Start("sleep", "1000")
		b.Start("setsid", "sleep", "1000")
		Watch("10.0.0.100", a, b)
		b.Capture(0)
		lan.Capture()
		l.Wire(b.Port(0), c.Port(0))
		a.Port(0).Lose(In, 0.5)
		c.Probe("http://10.0.0.11/", Probing{Timeout: 50 * time.Millisecond})
	}
	t.Run("warm up", round)
	d, g, n := usage(t)
	for range 3 {
		t.Run("round", round)
	}
	if !harness.Soon(patience, func() bool {
		d2, g2, n2 := usage(t)
		return d2 <= d && g2 <= g && n2 <= n+2 // the runtime has a thread more or less
	}) {
		d2, g2, n2 := usage(t)
		t.Errorf("%d descriptors, %d goroutines, %d threads; before %d, %d, %d", d2, g2, n2, d, g, n)
	}
}

// The first thread stays where it was: /proc/self shows the machine's network, whatever labs do.
func TestFirstThreadStays(t *testing.T) {
	at := func() string {
		text, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := at()
	for range 20 {
		New(t)
		if now := at(); now != before {
			t.Fatalf("the first thread is in %s, was in %s", now, before)
		}
	}
}

// A test that is killed leaves no process behind, and with them its namespaces are gone.
func TestKilledTest(t *testing.T) {
	if os.Getenv("SKEIN_LAB_VICTIM") != "" {
		_, _, a, b, _ := three(t)
		p, q := a.Start("sleep", "1000"), b.Start("sh", "-c", "sleep 1000; true")
		var net unix.Stat_t
		if err := unix.Fstat(int(a.space.net), &net); err != nil {
			t.Fatal(err)
		}
		fmt.Println("victim", p.PID(), q.PID(), net.Ino)
		select {} // until it is killed
	}
	New(t) // skips without root
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledTest$")
	cmd.Env = append(os.Environ(), "SKEIN_LAB_VICTIM=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var first, second int
	var net uint64
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.HasPrefix(s.Text(), "victim") {
			if _, err := fmt.Sscanf(s.Text(), "victim %d %d %d", &first, &second, &net); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if first == 0 || unix.Kill(first, 0) != nil {
		t.Fatal("the victim did not start its programs")
	}
	cmd.Process.Kill()
	cmd.Wait()
	harness.Eventually(t, patience, "its programs die", func() bool {
		return unix.Kill(first, 0) == unix.ESRCH && unix.Kill(second, 0) == unix.ESRCH
	})
	if out, err := exec.Command("lsns", "-t", "net", "-n", "-o", "NS").Output(); err == nil && strings.Contains(string(out), fmt.Sprint(net)) {
		t.Errorf("the network namespace %d is still there:\n%s", net, out)
	}
}
