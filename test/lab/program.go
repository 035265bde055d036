package lab

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// Program is a real program in a host. Kill, Freeze and Thaw mean it and its children, as long as these stay in its process
// group; the variants Alone mean the first process.
type Program struct {
	Host *Host

	t      testing.TB
	cmd    *exec.Cmd
	out    Output
	exited chan struct{}
	read   chan struct{} // closed when all output has been read
}

// Start starts a program in the host and does not wait for anything. It ends with the test.
func (h *Host) Start(name string, args ...string) *Program {
	h.lab.t.Helper()
	return h.Run(exec.Command(name, args...))
}

// Run is [Host.Start] for a command with an environment or a directory of its own. Its standard outputs are collected.
func (h *Host) Run(cmd *exec.Cmd) *Program {
	h.lab.t.Helper()
	p := &Program{Host: h, t: h.lab.t, cmd: cmd, exited: make(chan struct{}), read: make(chan struct{})}
	// A pipe of our own: exec's would make Wait wait for children that hold it.
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err = h.Do(cmd.Start)
	w.Close()
	if err != nil {
		r.Close()
		p.t.Fatalf("host %s: %v", h.Name, err)
	}
	go func() {
		defer close(p.read)
		p.out.from(r)
	}()
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	p.t.Cleanup(func() {
		p.Kill()
		r.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // children that have left the group may hold the pipe
		<-p.read
		r.Close()
		if p.t.Failed() {
			p.t.Logf("last lines of %s in %s:\n%s", cmd.Path, h.Name, p.out.tail(40))
		}
	})
	return p
}

// PID is the first process.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Log is what the program has written to its standard outputs.
func (p *Program) Log() string { return p.out.String() }

// Output is the same line by line, with the times at which they came.
func (p *Program) Output() *Output { return &p.out }

// Kill is kill -9 of the program and its children. It returns when the first process has ended.
func (p *Program) Kill() {
	p.group(syscall.SIGKILL)
	<-p.exited
}

// KillAlone is kill -9 of the first process.
func (p *Program) KillAlone() {
	p.cmd.Process.Kill()
	<-p.exited
}

// Freeze stops the program and its children in their tracks (SIGSTOP).
func (p *Program) Freeze() { p.group(syscall.SIGSTOP) }

// Thaw lets them go on.
func (p *Program) Thaw() { p.group(syscall.SIGCONT) }

// FreezeAlone stops the first process.
func (p *Program) FreezeAlone() { p.cmd.Process.Signal(syscall.SIGSTOP) }

// ThawAlone lets it go on.
func (p *Program) ThawAlone() { p.cmd.Process.Signal(syscall.SIGCONT) }

// Term sends SIGTERM to the first process and does not wait.
func (p *Program) Term() { p.Signal(syscall.SIGTERM) }

// Signal sends a signal to the first process.
func (p *Program) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s in %s: signal %v: %v\n%s", p.cmd.Path, p.Host.Name, sig, err, p.out.tail(30))
	}
}

// group signals the process group. It exists as long as one member does.
func (p *Program) group(sig syscall.Signal) { syscall.Kill(-p.cmd.Process.Pid, sig) }

// Running reports whether the first process has not ended.
func (p *Program) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Wait waits for the end of the first process and returns its exit code, -1 for a signal. It fails the test if that takes
// longer.
func (p *Program) Wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
		select {
		case <-p.read: // its last words
		case <-time.After(200 * time.Millisecond): // children may hold the pipe
		}
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("%s in %s did not end within %v\n%s", p.cmd.Path, p.Host.Name, within, p.out.tail(30))
		return -1
	}
}

// Says waits for a line that holds the text, from the beginning of the output, and returns it.
func (p *Program) Says(text string, within time.Duration) Line {
	p.t.Helper()
	var found Line
	harness.Eventually(p.t, within, p.cmd.Path+" in "+p.Host.Name+" says "+text, func() bool {
		for _, l := range p.out.Lines() {
			if strings.Contains(l.Text, text) {
				found = l
				return true
			}
		}
		if !p.Running() {
			p.t.Fatalf("%s in %s has ended:\n%s", p.cmd.Path, p.Host.Name, p.out.tail(30))
		}
		return false
	})
	return found
}
