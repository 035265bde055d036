package vip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skein/vip/speaker"
)

// process is a speaker that was started.
type process interface {
	PID() int
	// Send gives it an order, within sendLimit. Several goroutines may.
	Send(speaker.Order) error
	// Receive waits for its next report; the error is io.EOF when it has ended.
	Receive() (speaker.Report, error)
	// Close closes our end of the channel, which ends Receive, and the speaker too.
	Close()
	Kill()
	// Ended is closed when it has ended and was waited for.
	Ended() <-chan struct{}
	// Cause is how it ended, for people; after Ended.
	Cause() string
}

const (
	sendLimit = time.Second
	// maxPacket bounds a message in both directions, in bytes. A report of 100 virtual routers has a tenth of it.
	maxPacket = 1 << 20
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
	// What the environment holds is none of its business: it parses packets of strangers, and there may be secrets.
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	// A session of its own: the terminal's Ctrl-C and a supervisor's signal to our group are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
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
	if err := p.conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	if _, err = p.conn.Write(b); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return io.EOF
	}
	return err
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

// Close implements process.
func (p *child) Close() { _ = p.conn.Close() }

// Kill implements process.
func (p *child) Kill() { _ = p.cmd.Process.Kill() }

// Ended implements process.
func (p *child) Ended() <-chan struct{} { return p.ended }

// Cause implements process.
func (p *child) Cause() string { return p.cmd.ProcessState.String() }
