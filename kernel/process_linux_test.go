package kernel

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	p, err := OpenProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	becomes := func(want bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); ; {
			state, err := p.Look()
			if err != nil {
				t.Fatal(err)
			}
			if state.Stopped == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("stopped = %v, want %v", state.Stopped, want)
			}
		}
	}
	becomes(false)
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		becomes(true)
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		becomes(false)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// First it is a zombie, until we ask for it, and then it is not there.
	for end := time.Now().Add(5 * time.Second); ; {
		if _, err := p.Look(); errors.Is(err, os.ErrProcessDone) {
			break
		} else if err != nil || time.Now().After(end) {
			t.Fatalf("Look() of a dead process = %v, want os.ErrProcessDone", err)
		}
	}
	_ = cmd.Wait()
	if _, err := p.Look(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Look() of a process that is gone = %v, want os.ErrProcessDone", err)
	}
	if _, err := OpenProcess(cmd.Process.Pid); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("OpenProcess of a process that is gone = %v, want os.ErrProcessDone", err)
	}
}

func TestParseStat(t *testing.T) {
	const more = " 1 17 17 0 -1 4194560 1049 0 0 0 150 50 0 0 20 0 8 0"
	for _, c := range []struct {
		in      string
		stopped bool
		err     bool
	}{
		{"17 (skein) S" + more, false, false},
		{"17 (skein) R" + more, false, false},
		{"17 (skein) T" + more, true, false},
		{"17 (skein) t" + more, false, false},
		{"17 (a) T (b) ) S" + more, false, false}, // a program may have any name
		{"17 (skein) Z" + more, false, true},
		{"17 (skein) S 1 17", false, true},
		{"17 (skein) S 1 17 17 0 -1 4194560 1049 0 0 0 x 50 0 0", false, true},
		{"17 (skein", false, true},
		{"17 (skein) ", false, true},
		{"", false, true},
	} {
		s, err := parseStat([]byte(c.in))
		if s.Stopped != c.stopped || (err != nil) != c.err {
			t.Errorf("parseStat(%q) = %+v, %v, want %v, error %v", c.in, s, err, c.stopped, c.err)
		}
		if !c.err && s.Worked != 2*time.Second {
			t.Errorf("parseStat(%q) worked for %v, want 2s", c.in, s.Worked)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	p, err := OpenProcess(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		if _, err := p.Look(); err != nil {
			b.Fatal(err)
		}
	}
}
