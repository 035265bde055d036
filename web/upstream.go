package web

import (
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"time"

	"skein/internal/sock"
	"skein/pool"
	"skein/web/http1"
)

// Why a try at a member came to nothing.
var (
	errStale    = errors.New("the member had closed the idle connection")
	errNoAnswer = errors.New("the member closed the connection without an answer")
	errTooBig   = errors.New("the answer's head is too large")
)

// maxAnswerHead bounds the head of an answer, in bytes. Frameworks with large cookies need more than the 16 KiB that a buffer
// holds.
const maxAnswerHead = 64 << 10

// maxAnswerFields bounds its field lines.
const maxAnswerFields = 256

// upstream is one connection to a member. One exchange at a time owns it; between two it rests in the member's idle list.
type upstream struct {
	sock   *sock.Conn
	member *pool.Member
	dial   *dialer // what opened it
	wire   wire
	secure *tls.Conn     // what sock is of; nil for plain text
	stream *memberStream // instead of sock, on a connection that others share
	reused bool
	rested time.Duration // when it was put to rest, in the timer's time

	step  func() bool
	phase phase
	err   error
	body  *upload // started once the head is sent; nil without a body beyond it
	sent  bool    // at least one byte of the request
	first bool    // at least one byte of an answer

	x    *exchange
	head []byte // request head and small body, to be sent
	buf  []byte // of the answer; bytes r to w are unread
	r, w int
	resp http1.Response

	received int64 // body bytes
}

type phase uint8

const (
	sending phase = iota
	receiving
)

// exchange sends the request and receives the answer's head, in one go: the wait for the answer costs nothing but the wait.
// On return nil the answer is in u.resp and what came of its body in u.buf.
func (u *upstream) exchange(x *exchange, head, buf []byte) error {
	u.x, u.head, u.buf, u.r, u.w = x, head, buf, 0, 0
	u.phase, u.err, u.sent, u.first, u.received = sending, nil, false, false, 0
	u.resp.Reset()
	if u.stream != nil {
		return u.stream.exchange(u, x)
	}
	if err := u.sock.Loop(u.step); err != nil {
		return err
	}
	return u.err
}

// advance is called when something may be received: first to send, then once for each piece of the answer.
func (u *upstream) advance() bool {
	if u.phase == sending {
		if u.reused && !u.usable() {
			u.err = errStale
			return true
		}
		n, err := u.sock.Write(u.head)
		u.sent = n > 0
		u.member.Stats.Sent.Add(uint64(n))
		if err != nil {
			u.err = err
			return true
		}
		u.phase = receiving
		if u.body != nil {
			u.body.started = true
			go u.body.run()
		}
		return false
	}
	for {
		n, err := u.sock.Recv(u.buf[u.w:])
		switch {
		case err == sock.ErrAgain:
			return false
		case err == io.EOF:
			u.err = errNoAnswer
			return true
		case err != nil:
			u.err = err
			return true
		}
		u.first = true
		u.w += n
		done, err := u.wire.head(u)
		if done || err != nil {
			u.err = err
			return true
		}
		if u.w == len(u.buf) && !u.grow() {
			u.err = errTooBig
			return true
		}
		// Half a head is followed by another receive: an end that came along with it makes no edge of its own.
	}
}

// grow makes room for more of a head.
func (u *upstream) grow() bool {
	if u.r > 0 {
		u.w = copy(u.buf, u.buf[u.r:u.w])
		u.r = 0
		u.resp.Reset()
		return true
	}
	if len(u.buf) >= maxAnswerHead {
		return false
	}
	b := make([]byte, 2*len(u.buf))
	copy(b, u.buf[:u.w])
	u.buf = b
	u.resp.Reset()
	return true
}

// What follows is what others than the reader of the answer do to a connection: the guard, and the upload beside it.

// bound sets the time of the whole exchange, and how long a write may wait without progress.
func (u *upstream) bound(ceiling, idle time.Duration) {
	if u.stream != nil {
		u.stream.bound(ceiling)
		return
	}
	u.sock.Ceiling(ceiling)
	u.sock.Progress(idle, 0)
}

// arm gives the connection d from now on; 0 is no limit but the ceiling.
func (u *upstream) arm(d time.Duration) {
	if u.stream != nil {
		u.stream.arm(d)
		return
	}
	u.sock.Arm(d)
}

// expired reports whether the time is up, or somebody aborted.
func (u *upstream) expired() bool {
	if u.stream != nil {
		return u.stream.expired()
	}
	return u.sock.Expired()
}

// abort ends all waiting, now and later. Any goroutine may call it.
func (u *upstream) abort() {
	if u.stream != nil {
		u.stream.abort()
		return
	}
	u.sock.Abort()
}

// write sends a part of a request's body, in the wire's framing.
func (u *upstream) write(b []byte) (int, error) {
	if u.stream != nil {
		return u.stream.write(b)
	}
	return u.sock.Write(b)
}

// close ends the connection, or the stream.
func (u *upstream) close() {
	if u.stream != nil {
		u.stream.close()
		return
	}
	_ = u.sock.Close()
}

// idle is the connections to one member that nobody uses. The last one that came goes first: the others may cool down and
// be closed.
type idle struct {
	speech speech
	links  links // HTTP/2

	mu     sync.Mutex // guards list and closed
	list   []*upstream
	closed bool // the member is gone: nothing rests here any more
}

func (i *idle) take() *upstream {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.list) - 1
	if n < 0 {
		return nil
	}
	u := i.list[n]
	i.list[n] = nil
	i.list = i.list[:n]
	return u
}

func (i *idle) put(u *upstream, limit int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || len(i.list) >= limit {
		return false
	}
	i.list = append(i.list, u)
	return true
}

// expire takes out what has rested since before then; all of it if the member is gone.
func (i *idle) expire(before time.Duration, gone bool) (old []*upstream) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = i.closed || gone
	n := 0
	for n < len(i.list) && (gone || i.list[n].rested < before) {
		n++
	}
	old = append(old, i.list[:n]...)
	rest := copy(i.list, i.list[n:])
	clear(i.list[rest:])
	i.list = i.list[:rest]
	return old
}

// idleOf returns a member's idle list.
func (w *Web) idleOf(m *pool.Member) *idle {
	if i, ok := w.idles.Load(m); ok {
		return i.(*idle)
	}
	i, _ := w.idles.LoadOrStore(m, &idle{})
	return i.(*idle)
}

// rest puts a connection whose framing is provably clean back for others, or closes it.
func (w *Web) rest(u *upstream, limit int) {
	u.x, u.head, u.buf, u.body = nil, nil, nil, nil
	u.rested = w.timer.Now()
	u.sock.Ceiling(0)
	if u.r != u.w || !u.sock.Arm(0) || w.draining.Load() || !w.idleOf(u.member).put(u, limit) {
		u.close()
	}
}
