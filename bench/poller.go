package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is one epoll set. The origin and the driver share the second core, so both are single-threaded loops over raw
// system calls: whatever they save is load that the proxy can be given.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

// own prepares the calling goroutine to be such a loop: it keeps its thread, no collector interrupts it (the loops do not
// allocate once they run), and the kernel may not delay its timers by the usual 50 µs.
func own() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// add watches fd, edge-triggered; its events carry id. A closed fd leaves the set by itself.
func (p *poller) add(fd, id int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("watch socket: %w", err)
	}
	return nil
}

// wait returns what happened, or nothing after the timeout; a negative timeout is for ever. epoll_pwait2 takes
// nanoseconds (Linux 5.11), without which an open loop could only send at whole milliseconds. A raw call, because no other
// goroutine needs this thread's processor.
func (p *poller) wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	var limit *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		limit = &t
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(limit)), 0, 0)
	switch errno {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("wait for sockets: %w", errno)
}

func (p *poller) close() { _ = unix.Close(p.fd) }

// errAgain says that a socket has no more bytes, or no more room, for now.
var errAgain = errors.New("try again")

// receive is recv(2) on a socket that does not block; no bytes and no error is the end of the stream.
func receive(fd int, b []byte, flags int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		uintptr(flags), 0, 0)
	return transferred(n, errno)
}

// send is send(2) on a socket that does not block.
func send(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_NOSIGNAL, 0, 0)
	return transferred(n, errno)
}

func transferred(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, errAgain
	}
	return 0, errno
}
