package sock

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watch is a second epoll beside the run time's. It hears of resets only: the owner of a watched connection is busy
// elsewhere and reads nothing. An end alone (FIN) is a half-close and means nothing: the answer is still wanted.
type watch struct {
	file *os.File
	next uint64

	mu    sync.Mutex // guards conns; taken inside Timer.mu, never around it
	conns map[uint64]*Conn
}

// watching is an open watch.
type watching struct{ w *watch }

func (w *watch) open() (*watching, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// An epoll descriptor is itself pollable: waiting on it costs a goroutine, not a thread.
	w.file = os.NewFile(uintptr(fd), "epoll")
	w.conns = map[uint64]*Conn{}
	return &watching{w}, nil
}

// Close ends run.
func (w *watching) Close() error {
	w.w.mu.Lock()
	defer w.w.mu.Unlock()
	err := w.w.file.Close()
	w.w.file = nil
	return err
}

// add begins to watch c. The timer's mu is held, which its owner needs before it closes the descriptor.
func (w *watch) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return
	}
	w.next++
	id := w.next
	c.watch = id
	w.conns[id] = c
	// Edge-triggered and without EPOLLIN: each connection is added once and wakes us at most a few times. What already
	// happened is told at once.
	ev := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id), Pad: int32(id >> 32)}
	_ = w.control(func(ep int) {
		c.control(func(fd int) { _ = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev) })
	})
}

func (w *watch) control(f func(ep int)) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

// remove forgets c; closing the descriptor takes it out of the epoll. The timer's mu is held.
func (w *watch) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c.watch)
}

// run calls Gone of connections that were reset until the watch is closed.
func (w *watching) run() {
	w.w.mu.Lock()
	file := w.w.file
	w.w.mu.Unlock()
	if file == nil {
		return
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 64)
	_ = raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return true
			}
			for _, ev := range events[:n] {
				w.w.event(ev)
			}
			if n < len(events) {
				return false
			}
		}
	})
}

func (w *watch) event(ev unix.EpollEvent) {
	if ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	id := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
	// Gone runs under mu, so that remove, and with it Close, waits for it: a connection is never told after its end.
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.conns[id]; c != nil && c.busy.Load() != 0 {
		c.Gone()
	}
}
