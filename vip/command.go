package vip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// command is a program of the user's. There is no shell.
type command struct {
	argv []string
	env  []string // beside PATH; nothing else of our environment, which may have secrets
}

const (
	maxOutput = 4 << 10
	maxLine   = 200 // bytes of what it said that people are shown
	// pipeWait is how long a command that has ended may be outlived by children that hold its output open.
	pipeWait = 500 * time.Millisecond
)

// runCommand runs c until it ends or ctx does, with all its children as one group that is killed as one. It returns the first
// line of what it said. A command that cannot be started has failed: to take that for success would keep a node in service
// that nobody checks.
func runCommand(ctx context.Context, c command) (said string, err error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	cmd.Env = append([]string{"PATH=" + path}, c.env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeWait
	var out head
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err = cmd.Run()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		// The command itself was good. Its children still hold the output, so the group is not empty and its number not
		// used again: they end, too.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = nil
	case ctx.Err() != nil && err != nil:
		err = fmt.Errorf("%s did not end within %v", c.argv[0], time.Since(began).Round(time.Millisecond))
	case cmd.Process == nil:
		err = fmt.Errorf("%s could not be started: %w", c.argv[0], cause(err))
	case err != nil:
		err = fmt.Errorf("%s: %w", c.argv[0], err)
	}
	return out.line(), err
}

// cause is the system's word about an error, without what os/exec puts around it.
func cause(err error) error {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys
	}
	return err
}

// head keeps the first bytes of what a command says. os/exec writes from one goroutine if both outputs are the same.
type head struct{ b []byte }

// Write implements [io.Writer].
func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxOutput-len(h.b))]...)
	return len(p), nil
}

// line is the first line that says anything, fit to be shown.
func (h *head) line() string {
	for l := range bytes.Lines(h.b) {
		if s := strings.Join(strings.Fields(string(bytes.ToValidUTF8(l, []byte("?")))), " "); s != "" {
			return strings.ToValidUTF8(s[:min(len(s), maxLine)], "")
		}
	}
	return ""
}
