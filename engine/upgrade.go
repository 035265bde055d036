package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"skein/internal/listen"
)

// An upgrade replaces the process by one of a newer program, and nobody outside notices:
//
//	elder: start the new program, hand over all sockets .... heir: load the file, prepare, run
//	                                                  <- ready
//	elder: what the admin socket has accepted is answered, drains
//	       are written no more, QUIC packets come through the heir
//	                                                  go ->  read the drains again, accept
//	elder: finish running requests within the drain time, end
//
// Up to "ready" the elder serves as ever, and whatever becomes of the heir changes nothing. The conversation is
// internal/listen's; upgrade_heir.go is the other side.

// Program is how this process was started, so that an upgrade can start the new one alike.
type Program struct {
	Path string   // absolute; what is there at the upgrade is the new program
	Args []string // with the program's name
	Env  []string
	// Timeout is how long the new process may take until it is ready.
	Timeout time.Duration
}

// ElderVariable is the environment variable that names the descriptor on which a new process finds its elder.
const ElderVariable = "SKEIN_UPGRADE"

// lastAnswers is how long the heir waits for what the elder's admin socket has accepted. Visitors do not wait: the elder serves
// them on. What lasts longer, a profile, is finished all the same.
const lastAnswers = time.Second

// elderFD is what [exec.Cmd] makes of the first extra file: those before are the standard ones.
const elderFD = 3

// Upgrade starts the program anew and hands over to it. When it returns nil, the new process serves and this one's Run is
// finishing; after an error nothing has changed.
func (e *Engine) Upgrade(ctx context.Context) error {
	if !e.upgrading.CompareAndSwap(false, true) {
		err := errors.New("an upgrade is under way already")
		e.log.Warn("upgrade was refused", "error", err)
		return err
	}
	defer e.upgrading.Store(false)
	began := time.Now()
	pid, err := e.upgrade(ctx)
	if err != nil {
		e.log.Error("upgrade failed: this process goes on", "error", err, "after", time.Since(began).Round(time.Millisecond))
		return err
	}
	e.log.Info("upgrade: the new process serves", "pid", pid, "after", time.Since(began).Round(time.Millisecond))
	return nil
}

func (e *Engine) upgrade(ctx context.Context) (pid int, err error) {
	p := e.o.Program
	switch {
	case p.Path == "":
		return 0, errors.New("it is not known what program to start")
	case os.Getpid() == 1:
		// The end of the first process is the end of its container, and of the heir in it.
		return 0, errors.New("skein is the first process here, whose end ends all others\nhint: replace the container instead")
	}
	e.reload.Lock() // the sockets must stay as they are
	defer e.reload.Unlock()
	switch {
	case e.stopped.Load():
		return 0, errors.New("skein is stopping")
	case !e.serving.Load():
		return 0, errors.New("skein is still starting")
	}
	// The end of Run ends an upgrade that has not come to its point.
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	defer context.AfterFunc(e.running.Load().ctx, cancel)()

	heir, err := e.spawn(ctx)
	if err != nil {
		return 0, err
	}
	err = heir.offered.Ready()
	if err == nil {
		err = ctx.Err() // too late is too late
	}
	if err != nil {
		return 0, heir.failed(ctx, err, p.Timeout)
	}
	// From here on there is no way back.
	e.parts.letGo()
	heir.offered.ClosePlain(lastAnswers)
	e.parts.freeze()
	heir.offered.LetGo()
	// systemd believes the main process about its successor without NotifyAccess=all. The heir says the same.
	e.notify(fmt.Sprintf("MAINPID=%d", heir.pid))
	if err := heir.offered.Go(); err != nil {
		e.log.Error("the new process has died after it was ready", "error", err)
	}
	heir.release()
	e.replaced.Store(true)
	e.running.Load().stop()
	return heir.pid, nil
}

// heir is the new process as its elder sees it.
type heir struct {
	pid     int
	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended and was waited for
	offered *listen.Handover
	release func() // our end of the conversation
}

// spawn starts the new process and offers it the sockets. ctx bounds the whole conversation with it.
func (e *Engine) spawn(ctx context.Context) (*heir, error) {
	p := e.o.Program
	ours, theirs, err := listen.Pair()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(theirs), "heir")
	cmd := exec.Command(p.Path)
	cmd.Args = p.Args
	cmd.Env = slices.DeleteFunc(slices.Clone(p.Env), func(s string) bool { return strings.HasPrefix(s, ElderVariable+"=") })
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", ElderVariable, elderFD))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{file}
	// A group of its own: if it fails, whatever it has started must not keep our sockets.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_ = file.Close() // the heir's copy must be the only one, so that its end can be seen
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start %s: %w", p.Path, cause(err))
	}
	h := &heir{pid: cmd.Process.Pid, cmd: cmd, ended: make(chan struct{})}
	go func() { // it must not become a zombie, whenever it ends
		defer close(h.ended)
		_ = cmd.Wait()
	}()
	e.log.Info("upgrade: a new process was started", "pid", h.pid, "program", p.Path)
	stop := context.AfterFunc(ctx, func() { _ = ours.SetDeadline(time.Unix(1, 0)) })
	h.release = func() { stop(); _ = ours.Close() }
	deadline, _ := ctx.Deadline()
	if h.offered, err = e.sockets.Offer(ours, deadline); err != nil {
		return nil, h.failed(ctx, err, p.Timeout)
	}
	return h, nil
}

// failed ends the new process and says why it is not ready.
func (h *heir) failed(ctx context.Context, err error, timeout time.Duration) error {
	late := ctx.Err()
	if isGone(err) {
		// The kernel closes its end a moment before it says how the process ended.
		select {
		case <-h.ended:
		case <-time.After(time.Second):
		}
	}
	_ = syscall.Kill(-h.pid, syscall.SIGKILL)
	<-h.ended
	if h.offered != nil {
		h.offered.Withdraw()
	}
	h.release()
	switch {
	case errors.Is(late, context.DeadlineExceeded), late == nil && errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the new process %d was not ready within %v and was killed", h.pid, timeout)
	case late != nil:
		return fmt.Errorf("skein stops: the new process %d was killed", h.pid)
	case isGone(err):
		return fmt.Errorf("the new process %d ended before it was ready (%v); its own lines say why", h.pid, h.cmd.ProcessState)
	}
	return fmt.Errorf("the new process %d was killed: %w", h.pid, err)
}

// isGone reports whether the other end of a conversation was closed.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// cause is the system's word about an error, without what os/exec puts around it.
func cause(err error) error {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys
	}
	return err
}
