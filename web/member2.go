package web

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/internal/sock"
	"skein/pool"
)

// HTTP/2 to members (RFC 9113) in four files: a link is one connection (this file), links are the few connections to one
// member (member2links.go), a stream is one exchange on a link (member2stream.go), and what the member says is taken in
// member2frames.go. The rest of the member half sees an upstream whose connection is a stream.
//
// It is written on the Framer of golang.org/x/net/http2, not on its Transport: that one hides what we must know to retry
// safely (was the stream processed?), and to tell a client why its stream ended (with which code?).
//
// Who writes: frames are collected in out, under mu, and the goroutine that finds nobody writing writes them; what comes
// meanwhile, another goroutine writes in one go. The reader never waits for a write: two ends that wait for each other's
// reading would wait for ever.

const (
	linkStreams = 100       // at a time, if the member takes as many
	linkWindow  = 256 << 10 // what a member may send on a stream before the client has taken it: it bounds the memory of one
	linkCredit  = 16 << 20  // and on all streams; it is given back as data comes in, so that no client slows another one's answer

	linkOut     = 64 << 10 // bytes that wait to be written before bodies wait, too
	linkControl = 1 << 20  // and before a member is cut off that asks faster than it reads
	maxInterims = 16       // 1xx answers that wait to be passed on
)

// link is one HTTP/2 connection to a member.
type link struct {
	w       *Web
	sock    *sock.Conn
	member  *pool.Member
	dial    *dialer
	home    *links        // that list it; nil for one that serves a single exchange
	settled chan struct{} // closed when the member's SETTINGS came, or the link ended
	fr      *http2.Framer // reads for the reader; writes to out under mu

	mu      sync.Mutex // guards what follows, and the state of all streams
	streams map[uint32]*memberStream
	open    int    // streams, those that have not begun included
	next    uint32 // stream
	limit   int    // of open
	allowed int    // what the member's SETTINGS make of limit
	window  int64  // what we may send on all streams
	initial int64  // what we may send on a new one
	returns int    // bytes received that the member has not been given credit for
	greeted bool   // SETTINGS came

	enc   *hpack.Encoder
	block bytes.Buffer // of a head, from enc

	out, spare bytes.Buffer
	writing    bool
	wrote      sync.Cond // writing ended

	leaving bool          // no new streams: GOAWAY, or nobody wants it any more
	werr    error         // why nothing can be written any more
	err     error         // why it ended
	rested  time.Duration // since when open is 0, in the timer's time
}

// openLink opens a connection and waits until the member has said how much it takes.
func (w *Web) openLink(x *exchange, m *pool.Member, d *dialer, home *links, timeout time.Duration) (*link, error) {
	start := time.Now()
	nc, err := w.call(x, m, d, timeout)
	if err != nil {
		return nil, err
	}
	l := newLink(w, nc, m, d, home)
	l.sock.Progress(x.route.pool.Config().Timeouts.Idle, 0)
	l.greet() // before anybody reads: what the member says may want an answer, which must not come first
	w.linked.Go(l.read)
	l.mu.Lock()
	l.flush()
	l.mu.Unlock()
	t := time.NewTimer(timeout - time.Since(start))
	defer t.Stop()
	select {
	case <-l.settled:
	case <-t.C:
		err = errTimeout
	}
	if err == nil {
		l.mu.Lock()
		if err = l.err; err == io.EOF {
			err = errNoAnswer
		}
		l.mu.Unlock()
	}
	if err != nil {
		l.sock.Abort()
		m.Stats.ConnectErrors.Add(1)
		err = handshakeError{fmt.Errorf("http/2: no SETTINGS from the member: %w", err)}
		w.idleOf(m).speech.note(w, m, err)
		return nil, err
	}
	return l, nil
}

func newLink(w *Web, nc net.Conn, m *pool.Member, d *dialer, home *links) *link {
	l := &link{
		w: w, sock: w.timer.Wrap(nc, nil), member: m, dial: d, home: home, settled: make(chan struct{}),
		streams: map[uint32]*memberStream{}, next: 1, limit: linkStreams, allowed: linkStreams, window: 65535, initial: 65535, rested: w.timer.Now(),
	}
	l.wrote.L = &l.mu
	l.fr = http2.NewFramer(&l.out, bufio.NewReaderSize(l.sock, 32<<10))
	l.fr.SetReuseFrames()
	l.fr.SetMaxReadFrameSize(16 << 10)
	l.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	l.fr.MaxHeaderListSize = maxAnswerHead
	// Without a dynamic table, the length of one client's head says nothing of another's (RFC 7541 section 7.1), and heads need
	// no memory.
	l.enc = hpack.NewEncoder(&l.block)
	l.enc.SetMaxDynamicTableSize(0)
	return l
}

// greet puts the connection preface into out (RFC 9113 section 3.4).
func (l *link) greet() {
	l.out.WriteString(http2.ClientPreface)
	_ = l.fr.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: linkWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxAnswerHead},
	)
	_ = l.fr.WriteWindowUpdate(0, linkCredit-65535)
}

// reserve makes room for one more stream; false if there is none.
func (l *link) reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving || l.err != nil || l.werr != nil || l.open >= l.limit {
		return false
	}
	l.open++
	return true
}

// release gives back what reserve took. It is called without mu.
func (l *link) release() {
	l.mu.Lock()
	l.open--
	l.rested = l.w.timer.Now()
	if l.open == 0 && (l.leaving || l.home == nil) {
		l.hangUp()
	}
	l.mu.Unlock()
	if l.home != nil {
		l.home.wake()
	}
}

// retire lets no new streams begin, and ends the link with its last one.
func (l *link) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
	if l.open == 0 {
		l.hangUp()
	}
}

// hangUp ends a link that has nothing to do; the reader closes it.
func (l *link) hangUp() {
	l.leaving = true
	l.sock.Abort()
}

// flush sends what is in out. The caller may be the one who waits for the member to take it.
func (l *link) flush() {
	if l.writing || l.out.Len() == 0 || l.werr != nil {
		return
	}
	l.writing = true
	l.writeOnce()
	if l.out.Len() > 0 && l.err == nil && l.werr == nil {
		go l.writeOn()
		return
	}
	l.writing = false
	l.wrote.Broadcast()
}

// flushAside is flush for those who must not wait.
func (l *link) flushAside() {
	if !l.writing && l.out.Len() > 0 && l.werr == nil {
		l.writing = true
		go l.writeOn()
	}
}

func (l *link) writeOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.out.Len() > 0 && l.err == nil && l.werr == nil {
		l.writeOnce()
	}
	l.writing = false
	l.wrote.Broadcast()
}

func (l *link) writeOnce() {
	l.out, l.spare = l.spare, l.out
	l.mu.Unlock()
	n, err := l.sock.Write(l.spare.Bytes())
	l.mu.Lock()
	l.spare.Reset()
	l.member.Stats.Sent.Add(uint64(n))
	if err != nil {
		l.werr = err
		l.leaving = true
		l.out.Reset()
		l.sock.Arm(time.Second) // the reader finds the end, and what the member has said before it: a GOAWAY perhaps
	}
	l.wakeAll()
}

// wakeAll lets those look again who wait for a window, or for room in out.
func (l *link) wakeAll() {
	for _, s := range l.streams {
		s.cond.Broadcast()
	}
}

// read takes what the member says until the link ends, and closes it.
func (l *link) read() {
	err := l.readFrames()
	l.mu.Lock()
	if l.werr != nil && isTimeout(err) {
		err = l.werr
	}
	l.err = err
	l.leaving = true
	var ce http2.ConnectionError
	if errors.As(err, &ce) && !l.writing { // the member did wrong, and is told what
		l.out.Reset()
		_ = l.fr.WriteGoAway(0, http2.ErrCode(ce), nil)
		b := bytes.Clone(l.out.Bytes())
		l.writing = true
		l.mu.Unlock()
		l.sock.Progress(time.Second, 0)
		_, _ = l.sock.Write(b)
		l.mu.Lock()
		l.writing = false
	}
	if err == io.EOF {
		err = errNoAnswer
	}
	for id, s := range l.streams {
		s.fail(err)
		delete(l.streams, id)
	}
	l.out.Reset()
	if l.writing {
		l.sock.Abort()
	}
	for l.writing {
		l.wrote.Wait()
	}
	if !l.greeted {
		l.greeted = true
		close(l.settled)
	}
	l.mu.Unlock()
	if l.home != nil {
		l.home.remove(l)
	}
	_ = l.sock.Close()
}

func (l *link) readFrames() error {
	for {
		f, err := l.fr.ReadFrame()
		var se http2.StreamError
		if errors.As(err, &se) {
			l.mu.Lock()
			if s := l.streams[se.StreamID]; s != nil {
				s.refuse(se.Code, fmt.Errorf("http/2: the member's answer is malformed: %w", err))
			}
			l.flushAside()
			l.mu.Unlock()
			continue
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		err = l.take(f)
		if l.out.Len() > linkControl {
			err = http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
		}
		if err == nil {
			l.flushAside()
		}
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
}
