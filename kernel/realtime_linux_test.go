package kernel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// realtimeChild says to the test's own binary what it shall be.
const realtimeChild = "SKEIN_TEST_REALTIME"

func TestRealtime(t *testing.T) {
	if testing.Short() {
		t.Skip("real-time priority on a busy machine: not with -short")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for CAP_SYS_NICE")
	}
	for _, c := range []struct{ mode, want string }{
		{"all", "every thread is real-time; CPU time 1000000 1000000"},
		{"without", "set real-time priority: operation not permitted (run as root or grant CAP_SYS_NICE)"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRealtimeChild$", "-test.v")
		cmd.Env = append(os.Environ(), realtimeChild+"="+c.mode)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, %s, want %q", c.mode, err, out, c.want)
		}
	}
}

// A goroutine that runs away takes a CPU for some seconds, and not for ever: it may change its thread, whose second begins anew.
func TestRealtimeRunaway(t *testing.T) {
	if os.Getenv("SKEIN_SOAK") == "" {
		t.Skip("it takes a CPU away from all other tests: with SKEIN_SOAK=1 only")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRealtimeChild$")
	cmd.Env = append(os.Environ(), realtimeChild+"=runaway")
	err := cmd.Run()
	var end *exec.ExitError
	if !errors.As(err, &end) || end.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("a process with a runaway thread ended with %v, want SIGKILL", err)
	}
}

// TestRealtimeChild is a process that may spoil itself.
func TestRealtimeChild(t *testing.T) {
	switch os.Getenv(realtimeChild) {
	case "all":
		stop := make(chan struct{})
		busy := func() {
			for range 8 {
				go func() {
					runtime.LockOSThread()
					<-stop
				}()
			}
			runtime.Gosched()
		}
		busy() // threads before, and threads afterwards
		if err := Realtime(); err != nil {
			t.Fatal(err)
		}
		busy()
		defer close(stop)
		threads, err := filepath.Glob("/proc/self/task/*/stat")
		if err != nil || len(threads) < 4 {
			t.Fatalf("threads = %v, %v", threads, err)
		}
		for _, f := range threads {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // it has ended
			}
			_, rest, _ := cutLast(b, ") ")
			fields := strings.Fields(string(rest))
			if priority, policy := fields[37], fields[38]; priority != "1" || policy != fmt.Sprint(unix.SCHED_RR) {
				t.Errorf("%s: priority %s, policy %s, want 1, %d", f, priority, policy, unix.SCHED_RR)
			}
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_RTTIME, &limit); err != nil {
			t.Fatal(err)
		}
		if !t.Failed() {
			fmt.Println("every thread is real-time; CPU time", limit.Cur, limit.Max)
		}
	case "without":
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil {
				t.Error(err)
				return
			}
			fmt.Println(Realtime())
		}()
		<-done
	case "runaway":
		if err := Realtime(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); { // as a thread does that has run away
		}
	default:
		t.Skip("it is the child of TestRealtime")
	}
}
