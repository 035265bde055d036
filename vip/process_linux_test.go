package vip

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/vip/speaker"
)

// The test's own program is the speaker, and a parent that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "speak":
			speak()
			return
		case "parent":
			p, err := startProcess("/proc/self/exe")
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(p.PID())
			time.Sleep(time.Hour)
		}
	}
	os.Exit(m.Run())
}

// speak answers each configuration with what the speaker knows of itself, until the channel ends.
func speak() {
	conn, err := net.FileConn(os.NewFile(3, "parent"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b := make([]byte, maxPacket)
	for {
		n, err := conn.Read(b)
		if err != nil || n == 0 {
			return
		}
		var o speaker.Order
		if err := json.Unmarshal(b[:n], &o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		switch {
		case o.Stop:
			os.Exit(7)
		case o.Configure != nil:
			session, _, _ := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
			dir, _ := os.Getwd()
			about := fmt.Sprintf("args %v, env %v, leads its session: %v, in %s", os.Args, os.Environ(), int(session) == os.Getpid(), dir)
			r, _ := json.Marshal(speaker.Report{Configured: &speaker.Configured{Serial: o.Configure.Serial, Error: about + strings.Repeat(" ", len(o.Configure.State))}})
			if _, err := conn.Write(r); err != nil {
				os.Exit(1)
			}
		}
	}
}

func TestProcess(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	p, err := startProcess("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	for _, size := range []int{0, 300_000} { // the largest is far more than a socket's usual buffer
		if err := p.Send(speaker.Order{Configure: &speaker.Configure{Serial: 5, State: strings.Repeat("x", size)}}); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		for !p.Waits() { // with the answer
			runtime.Gosched()
		}
		r, err := p.Receive()
		if err != nil || r.Configured == nil || r.Configured.Serial != 5 {
			t.Fatalf("%d bytes: report = %+v, %v", size, r, err)
		}
		if got, want := strings.TrimRight(r.Configured.Error, " "), "args [skein speak], env [], leads its session: true, in /"; got != want {
			t.Errorf("the speaker has %s; want %s", got, want)
		}
	}
	if p.Waits() {
		t.Error("something waits that was received")
	}
	if err := p.Send(speaker.Order{Configure: &speaker.Configure{State: strings.Repeat("x", maxPacket)}}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error of an order that is too long = %v", err)
	}
	if err := p.Send(speaker.Order{Stop: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("error at its end = %v", err)
	}
	<-p.Ended()
	if got := p.Cause(); got != "exit status 7" {
		t.Errorf("cause = %s", got)
	}
	if err := p.Send(speaker.Order{Stop: true}); !errors.Is(err, io.EOF) {
		t.Errorf("error after its end = %v", err)
	}
	p.Close()
}

// The end of our side ends the speaker, even when it is us who were killed.
func TestProcessEndsWithUs(t *testing.T) {
	p, err := startProcess("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	select {
	case <-p.Ended():
	case <-time.After(10 * time.Second):
		p.Kill()
		t.Error("it did not end with its channel")
	}
	if _, err := p.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("error after Close = %v", err)
	}

	cmd := exec.Command("/proc/self/exe", "parent")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, convErr := strconv.Atoi(strings.TrimSpace(line))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil || convErr != nil {
		t.Fatalf("the parent said %q: %v", line, err)
	}
	waitGone(t, pid)
}

func TestProcessCannotStart(t *testing.T) {
	before := descriptors(t)
	if _, err := startProcess("/nonexistent/skein"); err == nil || !strings.Contains(err.Error(), "start the speaker") {
		t.Errorf("error = %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors after a failure, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// The speaker has real-time priority from its first moment, and no thread of ours keeps it.
func TestStartFirst(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := startFirst(cmd); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	a, err := unix.SchedGetAttr(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Whether it is allowed depends on the machine (CAP_SYS_NICE, RLIMIT_RTPRIO): ask for it on a thread that ends afterwards.
	allowed := make(chan bool)
	go func() {
		runtime.LockOSThread()
		allowed <- unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0) == nil
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0)
	}()
	if <-allowed != (a.Policy == unix.SCHED_RR) {
		t.Errorf("policy of the new process = %d, want %d", a.Policy, unix.SCHED_RR)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		if a, err := unix.SchedGetAttr(tid, 0); err == nil && a.Policy != unix.SCHED_NORMAL {
			t.Errorf("policy of our thread %d = %d, want %d", tid, a.Policy, unix.SCHED_NORMAL)
		}
	}
}
