package http3

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"

	"skein/web/message"
)

// Errors of a stream that we ended.
var (
	ErrStopped = errors.New("http3: the body is not wanted any more")
	ErrEnded   = errors.New("http3: the stream has ended")
	ErrBusy    = errors.New("http3: the answer has begun")
)

// Stream is one request and its answer. One goroutine answers, another one may read the body; [Stream.StopReading],
// [Stream.Reset] and [Stream.Interim] may be called by any. None may be called after the handler has returned.
type Stream struct {
	c    *Conn
	q    *quic.Stream
	in   input
	req  Request
	body body

	mu      sync.Mutex // guards what follows, and writes before begun
	out     []byte     // taken, not yet sent
	begun   bool       // the final head was taken
	ended   bool       // End was called, or Reset
	stopped bool       // the body is not wanted any more
	counted bool       // the client's reset was
	until   time.Time  // the whole stream's deadline; zero is never

	waited time.Duration // for the client to take the answer; of the goroutine that answers
	stop   func() bool   // takes back what SetGone has set
}

// run serves the request.
func (s *Stream) run() {
	c := s.c
	defer c.done()
	defer s.q.ReleaseStreamCredit()
	s.in.q, s.in.buf = s.q, c.cfg.Buffers.get()
	defer func() { c.cfg.Buffers.put(s.in.buf) }()
	if err := s.receive(); err != nil {
		s.refuse(err)
		return
	}
	c.cfg.Stats.Streams.Add(1)
	s.stop = context.AfterFunc(s.q.Context(), s.gone)
	c.handle(s)
	s.stop()
	s.finish()
}

// receive reads the head of the request.
func (s *Stream) receive() error {
	patience := s.c.cfg.Header
	if patience > 0 {
		s.until = time.Now().Add(patience)
	}
	var n uint64
	for {
		typ, length, err := s.in.frame(s.until)
		switch {
		case err == io.EOF:
			return &StreamError{CodeRequestIncomplete, "the stream ended before its head"}
		case err != nil:
			return err
		case typ == typeHeaders:
		case typ == typeData, known(typ):
			return unexpected("the first frame of a request is not HEADERS")
		default:
			s.c.tolerate()
			if err := s.in.skip(length, s.until); err != nil {
				return err
			}
			continue
		}
		n = length
		break
	}
	if n > uint64(s.c.cfg.MaxHeader) {
		return errLarge
	}
	block, err := s.in.whole(int(n), s.until)
	if err != nil {
		return err
	}
	var l message.List
	l.Reset(s.c.cfg.bounds(), false)
	if err := decode(block, &l); err != nil {
		return err
	}
	end := s.in.ended && s.in.r == s.in.w
	if bad := l.Request(&s.req, s.c.cfg.ExtendedConnect, end); bad != "" && !l.Large {
		return malformed(bad)
	} else if l.Large {
		return errLarge
	}
	s.body.left = s.req.Length
	if !end {
		err = s.bodiless()
	}
	s.until = time.Time{}
	return err
}

// bodiless finds out whether a body follows where none is to be expected: the FIN may come a moment after the head. Behind us
// a body that only its end tells from none would be chunks of nothing, which no origin expects with a GET.
func (s *Stream) bodiless() error {
	switch s.req.Method {
	case "GET", "HEAD", "DELETE", "OPTIONS", "TRACE":
		if s.req.Length > 0 {
			return s.small()
		}
	default:
		if s.req.Length != 0 {
			return s.small()
		}
	}
	err := s.nextFrame(s.until)
	switch {
	case err == io.EOF:
		s.req.Length = 0
		return nil
	case err != nil:
		return err
	case s.req.Length == 0:
		return malformed("the body is not as long as its content-length")
	}
	return nil
}

// small takes a body that is in the buffer already, so that the request can be sent in one piece, and again if that fails.
func (s *Stream) small() error {
	n := s.req.Length
	if !s.in.ended || n <= 0 || n > int64(s.in.w-s.in.r) {
		return nil
	}
	if err := s.nextFrame(time.Time{}); err != nil {
		return err
	}
	b := &s.body
	if b.frame == uint64(n) && s.in.w-s.in.r == int(n) {
		s.req.Small = s.in.buf[s.in.r:s.in.w]
		s.in.r = s.in.w
		b.frame, b.left, b.ended = 0, 0, true
	}
	return nil
}

// errLarge is a head beyond the bounds.
var errLarge = errors.New("http3: the head is too large")

// refuse ends a stream whose request cannot be served.
func (s *Stream) refuse(err error) {
	stats := s.c.cfg.Stats
	var ce *ConnError
	var se *StreamError
	code := CodeRequestCancelled
	switch {
	case errors.As(err, &ce):
		s.c.fail(ce)
		code = ce.Code
	case err == errLarge:
		stats.Oversized.Add(1)
		s.q.CancelRead(quic.StreamErrorCode(CodeExcessiveLoad))
		_ = s.Head(AppendField(AppendStatus(nil, 431), []byte("content-length"), []byte("0")))
		_ = s.End(nil)
		s.c.offend(weightLarge)
		return
	case errors.As(err, &se):
		code = se.Code
		stats.Malformed.Add(1)
		s.c.offend(weightStream)
	case isTimeout(err):
		stats.LateHeads.Add(1)
		s.c.offend(weightStall)
	case reset(err):
		s.countReset()
	}
	s.q.CancelRead(quic.StreamErrorCode(code))
	s.q.CancelWrite(quic.StreamErrorCode(code))
}

// finish ends a stream whose handler has returned.
func (s *Stream) finish() {
	if s.end() {
		s.q.CancelRead(quic.StreamErrorCode(CodeInternal))
		s.q.CancelWrite(quic.StreamErrorCode(CodeInternal))
		s.dropOut()
		return
	}
	// Nobody wants the rest of the request (RFC 9114 section 4.1.1). If its FIN was read, this does nothing.
	s.q.CancelRead(quic.StreamErrorCode(CodeNo))
}

// end makes the stream one that has ended; false if it was already.
func (s *Stream) end() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.ended = true
	return true
}

// gone is called when the client has given the stream up, or the connection has ended.
func (s *Stream) gone() {
	if reset(context.Cause(s.q.Context())) {
		s.countReset()
	}
	if f := s.body.gone.Load(); f != nil {
		(*f)()
	}
}

// countReset counts the client's reset, once for the two directions.
func (s *Stream) countReset() {
	s.mu.Lock()
	first, begun := !s.counted, s.begun
	s.counted = true
	s.mu.Unlock()
	if !first {
		return
	}
	s.c.cfg.Stats.Resets.Add(1)
	if begun {
		s.c.offend(weightLateReset)
		return
	}
	s.c.cfg.Stats.RapidResets.Add(1)
	s.c.offend(weightRapidReset)
}

// Request is the request. It is valid until the handler returns.
func (s *Stream) Request() *Request { return &s.req }

// SetGone has f called once when the client gives up the stream or the connection ends while the handler runs: on another
// goroutine, or at once if that has happened already. nil takes f back, but a call that has begun goes on.
func (s *Stream) SetGone(f func()) {
	if f == nil {
		s.body.gone.Store(nil)
		return
	}
	s.body.gone.Store(&f)
	if s.q.Context().Err() != nil {
		f()
	}
}

// Reset ends the stream with a code: the client sees that the answer is not complete.
func (s *Stream) Reset(code uint64) {
	if !s.end() {
		return
	}
	s.stop()
	s.q.CancelRead(quic.StreamErrorCode(code))
	s.q.CancelWrite(quic.StreamErrorCode(code))
}

// SetDeadline bounds the whole stream; the zero time takes the bound away.
func (s *Stream) SetDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = t
}

// Waited is how long the client has let us wait before it took what was sent.
func (s *Stream) Waited() time.Duration { return s.waited }

// Prioritise sets in which order answers leave that could leave at once (RFC 9218 section 4).
func (s *Stream) Prioritise(urgency int8, incremental bool) { s.q.SetPriority(urgency, incremental) }

// known says that a frame type means something, but not on a request stream.
func known(typ uint64) bool {
	switch typ {
	case typeCancelPush, typeSettings, typePushPromise, typeGoAway, typeMaxPushID, typePriorityUpdate, typePriorityPush:
		return true
	}
	return ofHTTP2(typ)
}

// decode reads a header block into l. An error is the end of the connection (RFC 9204 section 2.2).
func decode(block []byte, l *message.List) error {
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &ConnError{codeDecompression, "a header block cannot be decoded: " + err.Error()}
		}
		if l.Add(f.Name, f.Value) {
			return nil
		}
	}
}

// clip makes an int64 of a length.
func clip(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
