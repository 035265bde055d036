package sock

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeSize is how much one splice may move. It is the kernel's default: larger pipes count against a limit that all of a
// user's processes share.
const pipeSize = 64 << 10

// pipe is where spliced bytes wait between two sockets.
type pipe struct{ r, w int }

// pipes keeps a few empty pipes for the next transfer: making one costs more than a small transfer saves.
type pipes struct {
	mu     sync.Mutex // guards what follows
	free   []pipe
	closed bool // keep none any more
}

const maxFreePipes = 64

func (p *pipes) get() (pipe, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		x := p.free[n-1]
		p.free = p.free[:n-1]
		return x, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}
	return pipe{fds[0], fds[1]}, nil
}

// put takes an empty pipe back.
func (p *pipes) put(x pipe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFreePipes && !p.closed {
		p.free = append(p.free, x)
		return
	}
	x.close()
}

func (p *pipes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, x := range p.free {
		x.close()
	}
	p.free = nil
}

func (x pipe) close() {
	_ = unix.Close(x.r)
	_ = unix.Close(x.w)
}

// CanSplice reports whether the kernel can move bytes from src to dst by itself.
func CanSplice(dst, src *Conn) bool { return dst.bare() && src.bare() }

// bare reports whether what goes through the descriptor is what the peers mean.
func (c *Conn) bare() bool { return c.fd >= 0 && c.tls == nil }

// transfer is one Splice.
type transfer struct {
	dst, src *Conn
	p        pipe
	want     int64 // bytes still to be taken from src
	inPipe   int
	err      error
	end      bool // src ended
}

// Splice moves n bytes from src to dst without copying them, outside of src's Loop. src is given srcIdle at each step, for
// dst counts what [Conn.Progress] said; goOn is asked after each step whether dst is fast enough. It returns how many bytes
// dst took; from says whether an error is of src's side, where an early end is io.ErrUnexpectedEOF.
func Splice(dst, src *Conn, n int64, srcIdle time.Duration, goOn func(moved int64) bool) (moved int64, from bool, err error) {
	t := &transfer{dst: dst, src: src, want: n}
	if err := src.register(); err != nil {
		return 0, true, err
	}
	if err := dst.register(); err != nil {
		return 0, false, err
	}
	if t.p, err = src.timer.pipes.get(); err != nil {
		return 0, false, err
	}
	defer func() {
		if t.inPipe == 0 {
			src.timer.pipes.put(t.p)
		} else {
			t.p.close()
		}
	}()
	fill, drain := t.fill, t.drain
	for t.want > 0 {
		if !src.Arm(srcIdle) {
			return moved, true, os.ErrDeadlineExceeded
		}
		if err := src.raw.Read(fill); err != nil {
			return moved, true, err
		}
		if t.err != nil {
			return moved, true, t.err
		}
		if t.end {
			return moved, true, io.ErrUnexpectedEOF
		}
		src.Arm(0) // a slow reader is not the sender's fault
		if dst.Expired() {
			return moved, false, os.ErrDeadlineExceeded
		}
		had := t.inPipe
		dst.hold()
		err := dst.raw.Write(drain)
		dst.resume()
		moved += int64(had - t.inPipe)
		if err == nil {
			err = t.err
		}
		if err != nil {
			return moved, false, err
		}
		if !goOn(moved) {
			return moved, false, ErrSlow
		}
	}
	return moved, false, nil
}

// fill takes what src has, once.
func (t *transfer) fill(fd uintptr) bool {
	for {
		n, err := unix.Splice(int(fd), nil, t.p.w, nil, int(min(t.want, pipeSize)), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			t.err = os.NewSyscallError("splice", err)
		case n == 0:
			t.end = true
		default:
			t.inPipe = int(n)
			t.want -= n
		}
		return true
	}
}

// drain gives all of the pipe to dst.
func (t *transfer) drain(fd uintptr) bool {
	for t.inPipe > 0 {
		flags := unix.SPLICE_F_NONBLOCK | unix.SPLICE_F_MOVE
		if t.want > 0 {
			flags |= unix.SPLICE_F_MORE
		}
		n, err := unix.Splice(t.p.r, nil, int(fd), nil, t.inPipe, flags)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			t.err = os.NewSyscallError("splice", err)
			return true
		}
		t.inPipe -= int(n)
		t.dst.moved(int(n))
	}
	return true
}
