package vip

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(script string) command {
	return command{argv: []string{"/bin/sh", "-c", script}, env: []string{"SKEIN_VIP=front"}}
}

func TestRunCommand(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	for _, test := range []struct {
		name, said, err string
		c               command
	}{
		{"good", "", "", shell("exit 0")},
		{"what it says", "all is well", "", shell("echo; echo '  all is   well'; echo more")},
		{"bad", "disk is full", "/bin/sh: exit status 3", shell("echo disk is full >&2; exit 3")},
		{"killed", "", "/bin/sh: signal: killed", shell("kill -9 $$")},
		{"the environment", "front hidden /", "", shell("echo $SKEIN_VIP ${SECRET-hidden} $(pwd)")},
		{"a path", "", "", shell("ls / > /dev/null")},
		{"not there", "", "/nonexistent/check could not be started: no such file or directory", command{argv: []string{"/nonexistent/check"}}},
		{"not a program", "", "/etc/passwd could not be started: permission denied", command{argv: []string{"/etc/passwd"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			said, err := runCommand(t.Context(), test.c)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if said != test.said || text != test.err {
				t.Errorf("said %q, error %q; want %q, %q", said, text, test.said, test.err)
			}
		})
	}
}

// A flood is read, so that the command ends, and most of it forgotten.
func TestRunCommandFlood(t *testing.T) {
	said, err := runCommand(t.Context(), shell("head -c 1000000 /dev/zero | tr '\\0' x; echo; exit 1"))
	if err == nil || said != strings.Repeat("x", maxLine) {
		t.Errorf("said %d bytes, error %v; want %d and an error", len(said), err, maxLine)
	}
}

// At its time limit the command ends with all its children.
func TestRunCommandTimeout(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	said, err := runCommand(ctx, shell("echo begun; sleep 60 & echo $! > "+pid+"; wait"))
	if err == nil || !strings.HasPrefix(err.Error(), "/bin/sh did not end within ") || said != "begun" {
		t.Errorf("said %q, error %v", said, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	gone(t, pid)
}

// A command that leaves a child with its output behind is good, and the child ends.
func TestRunCommandChild(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	if _, err := runCommand(t.Context(), shell("sleep 60 & echo $! > "+pid)); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	gone(t, pid)
}

// gone checks that the process whose number is in the file ends.
func gone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
}

// waitGone waits until a process has ended; one that nobody has waited for yet counts.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}
