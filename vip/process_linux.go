package vip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"skein/vip/speaker"
)

// child is the real process.
type child struct {
	cmd   *exec.Cmd
	conn  *net.UnixConn
	ended chan struct{}
	buf   []byte // of Receive
}

// startProcess starts program's speaker with its end of a channel as descriptor 3.
func startProcess(program string) (process, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the speaker's channel: %w", err)
	}
	for _, fd := range fds {
		// The buffers belong to the sockets, so the speaker gets its own by us. Beyond net.core.wmem_max it needs
		// CAP_NET_ADMIN, which we have; without, what the system allows has to do.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, maxPacket) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, maxPacket)
		}
	}
	theirs := os.NewFile(uintptr(fds[1]), "speaker")
	defer theirs.Close() // the speaker's copy must be the only one, so that its end can be seen
	ours := os.NewFile(uintptr(fds[0]), "parent")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return nil, fmt.Errorf("make the speaker's channel: %w", err)
	}
	cmd := exec.Command(program, "speak")
	cmd.Args[0] = "skein"
	// What else the environment holds is none of its business: it parses packets of strangers, and there may be secrets.
	cmd.Env = []string{}
	if debug := os.Getenv("SKEIN_DEBUG"); debug != "" {
		cmd.Env = append(cmd.Env, "SKEIN_DEBUG="+debug)
	}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	// A session of its own: the terminal's Ctrl-C and a supervisor's signal to our group are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := startFirst(cmd); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start the speaker: %w", err)
	}
	p := &child{cmd: cmd, conn: conn.(*net.UnixConn), ended: make(chan struct{}), buf: make([]byte, maxPacket)}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	return p, nil
}

// startFirst starts cmd with real-time priority, where that is allowed. The speaker gives itself that priority; but on a
// saturated machine it would take a second until it comes to that, and an address that a dead speaker has left waits for it.
func startFirst(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the new process inherits from the thread that starts it
		before, err := unix.SchedGetAttr(0, 0)
		if err != nil || unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0) != nil {
			runtime.UnlockOSThread()
			started <- cmd.Start()
			return
		}
		err = cmd.Start()
		if unix.SchedSetAttr(0, before, 0) == nil {
			runtime.UnlockOSThread() // else the thread ends with its goroutine
		}
		started <- err
	}()
	return <-started
}

// PID implements process.
func (p *child) PID() int { return p.cmd.Process.Pid }

// Send implements process.
func (p *child) Send(o speaker.Order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if len(b) > maxPacket {
		return fmt.Errorf("an order of %d bytes is too long for the speaker", len(b))
	}
	switch err := p.sendNow(b); err {
	case nil:
		return nil
	case unix.EAGAIN: // the speaker is slow to read
	case unix.EPIPE, unix.ECONNRESET:
		return io.EOF
	default:
		return err
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	if _, err = p.conn.Write(b); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return io.EOF
	}
	return err
}

// sendNow sends without waiting, and without telling Go's scheduler of the system call: whoever comes back from one that it knows
// of may have to queue behind all goroutines that can run. In a balancer with two thousand busy connections that was measured as
// three seconds, after which the speaker takes this process for dead.
func (p *child) sendNow(b []byte) error {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		for {
			_, _, errno = syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
			if errno != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// Receive implements process.
func (p *child) Receive() (r speaker.Report, err error) {
	n, err := p.conn.Read(p.buf)
	if err != nil {
		if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
			err = io.EOF
		}
		return r, err
	}
	if n == 0 { // the end of a channel of packets
		return r, io.EOF
	}
	if err := json.Unmarshal(p.buf[:n], &r); err != nil {
		return r, fmt.Errorf("understand the speaker: %w", err)
	}
	return r, nil
}

// Waits implements process.
func (p *child) Waits() (yes bool) {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		yes = err == nil && n > 0
	})
	return yes
}

// Close implements process.
func (p *child) Close() { _ = p.conn.Close() }

// Kill implements process.
func (p *child) Kill() { _ = p.cmd.Process.Kill() }

// Ended implements process.
func (p *child) Ended() <-chan struct{} { return p.ended }

// Cause implements process.
func (p *child) Cause() string { return p.cmd.ProcessState.String() }
