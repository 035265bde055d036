package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const placedCommand = "placed-process"

// anyCore is for a process that runs where the kernel likes.
const anyCore = -1

// process is a program that the harness started, in a process group of its own: signals reach all of it, and its CPU time
// and memory are those of the group.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // file with all that it said
	ended chan struct{}
}

// start runs a program on one core, or anyCore, with as many descriptors as allowed. Its output goes to a file in dir.
func start(self, name, dir string, core int, stdin io.Reader, stdout io.Writer, env []string, argv ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".output"), ended: make(chan struct{})}
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer output.Close()
	p.cmd = exec.Command(self, append([]string{placedCommand, strconv.Itoa(core)}, argv...)...)
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = dir, stdin, stdout, output
	if stdout == nil {
		p.cmd.Stdout = output
	}
	p.cmd.Env = append(os.Environ(), env...)
	// A group of its own keeps the terminal's Ctrl-C from it: the harness stops it in order. If the harness is killed,
	// the kernel tells the process to stop; the thread that starts processes lives as long as the harness (see run).
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// placedMain turns this process into another program on one core: affinity and limits outlive exec, and a Go program
// counts its cores when it starts, so they must be set before.
func placedMain(args []string) error {
	if len(args) < 2 {
		return errors.New("placed process without a program")
	}
	runtime.LockOSThread() // exec keeps the affinity of the calling thread
	core, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("parse core: %w", err)
	}
	if core != anyCore {
		var set unix.CPUSet
		set.Set(core)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("run on core %d: %w", core, err)
		}
	}
	// Through the syscall package: it knows that the limit is then no longer its own to restore at exec.
	if err := raiseDescriptors(); err != nil {
		return err
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, args[1:], os.Environ()))
}

// raiseDescriptors allows this process, and what it becomes, as many open files as it may have, but no absurd number:
// HAProxy makes tables for all of them.
func raiseDescriptors() error {
	const wanted = 40000
	limit := syscall.Rlimit{Cur: wanted, Max: wanted}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		return nil
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read limit of open files: %w", err)
	}
	limit.Cur = min(wanted, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise limit of open files: %w", err)
	}
	return nil
}

// group returns the process group, which has the number of its first process.
func (p *process) group() int { return p.cmd.Process.Pid }

// stop ends the whole group, politely first, and returns when its first process has ended.
func (p *process) stop() {
	_ = syscall.Kill(-p.group(), syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
	}
	// Also when the first has ended: a worker may be left. The group's number cannot be another's while one lives.
	_ = syscall.Kill(-p.group(), syscall.SIGKILL)
	<-p.ended
}

// wait returns when the process has ended by itself, or stops it when ctx ends.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.stop()
		return ctx.Err()
	}
	if state := p.cmd.ProcessState; !state.Success() {
		return p.explain(state.String())
	}
	return nil
}

// explain makes an error out of the last words of the process.
func (p *process) explain(what string) error {
	said, _ := os.ReadFile(p.log)
	lines := strings.Split(string(bytes.TrimSpace(said)), "\n")
	last := strings.Join(lines[max(0, len(lines)-3):], "; ")
	if len(last) > 600 {
		last = "..." + last[len(last)-600:]
	}
	if last == "" {
		return fmt.Errorf("%s: %s", p.name, what)
	}
	return fmt.Errorf("%s: %s: %s", p.name, what, last)
}
