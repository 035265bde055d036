package http2

import (
	"errors"
	"os"
	"sync"
	"time"

	"skein/web/message"
)

// Errors of a stream that we ended.
var (
	ErrStopped  = errors.New("http2: the body is not wanted any more")
	ErrAnswered = errors.New("http2: the answer has ended")
	ErrBusy     = errors.New("http2: the answer has begun")
)

// Stream is one request and its answer. One goroutine answers, another one may read the body; [Stream.SetGone],
// [Stream.StopReading] and [Stream.Reset] may be called by any. None may be called after the handler has returned: the Stream
// serves another request then.
type Stream struct {
	c    *Conn
	id   uint32
	req  Request
	list message.List

	// Guarded by c.mu.
	recv, send sync.Cond
	err        error // why it ended early
	gone       func()
	running    bool // the handler has not returned
	calling    bool // gone is being called
	ended      bool // the client's END_STREAM has come
	begun      bool // the final head was taken
	done       bool // our END_STREAM was taken
	working    bool // counted in c.busy

	// Receiving.
	body       chunks
	current    *chunk // whose bytes Next has returned
	credit     int
	unreturned int
	left       int64 // of the content-length, -1 without one
	trailers   []Field
	stopped    bool
	receiving  bool // Next waits
	late       bool // and has waited too long
	patience   time.Duration
	recvDue    int64

	// Sending.
	window   int64
	starving bool // Write waits for a window
	sendDue  int64
	moved    int        // bytes since sendDue was set
	queue    *sendQueue // that it waits in
	next     *Stream    // in it
}

// open begins a stream and starts its handler. Called with mu held.
func (c *Conn) open(s *Stream, id uint32, end bool) {
	list := s.list
	*s = Stream{
		c: c, id: id, req: s.req, list: list, running: true, working: true, credit: streamWindow, left: -1, window: c.initial,
	}
	s.recv.L, s.send.L = &c.mu, &c.mu
	s.left = s.req.Length
	if end {
		s.ended = true
	}
	c.streams[id] = s
	c.last = id
	c.running++
	c.busy++
	c.due.idle = 0
	c.allow(allowanceStream)
	c.cfg.Stats.Streams.Add(1)
	c.workers.do(s)
}

// run is what a worker does with a stream.
func (s *Stream) run() {
	c := s.c
	c.handle(s)
	c.mu.Lock()
	if s.err == nil && !s.done {
		s.kill(&StreamError{s.id, CodeInternal, "the handler has not answered"})
		if c.sendReset(s.id, CodeInternal) == nil {
			c.kick()
		}
	} else if s.err == nil && !s.ended {
		// The answer is complete; nobody wants the rest of the request (RFC 9113 section 8.1).
		s.kill(ErrAnswered)
		_ = c.sendReset(s.id, CodeNo)
		c.kick()
	}
	s.answered()
	s.running = false
	for s.calling {
		s.recv.Wait()
	}
	s.drop()
	c.kick() // what it has given back to the connection's window: nobody else may have anything to say
	c.running--
	if c.running == 0 {
		c.idle.Broadcast()
	}
	c.recycle(s)
	c.mu.Unlock()
}

// recycle forgets the stream. The strings of a request must not be kept alive by the pool.
func (c *Conn) recycle(s *Stream) {
	list := s.list
	list.Forget()
	*s = Stream{list: list}
	c.workers.streams.Put(s)
}

// answered notes that the handler has no more work to do for the client.
func (s *Stream) answered() {
	if s.working {
		s.working = false
		s.c.busy--
	}
}

// close takes the stream off the connection once both sides have ended.
func (s *Stream) close() {
	c := s.c
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	if len(c.streams) == 0 {
		c.due.idle = c.after(c.cfg.Idle)
	}
	c.finish()
}

// kill ends the stream early. Called with mu held. The handler is told by its next call, and by gone if the reader calls
// leave.
func (s *Stream) kill(err error) {
	if s.err == nil {
		s.err = err
	}
	s.drop()
	s.close()
	s.unqueue()
	s.recv.Broadcast()
	s.send.Broadcast()
}

// endReceive notes that the client has sent everything.
func (s *Stream) endReceive() {
	s.ended = true
	if s.done {
		s.close()
	}
}

// Request is the request. It is valid until the handler returns.
func (s *Stream) Request() *Request { return &s.req }

// SetGone has f called once when the client resets the stream or the connection breaks while the handler runs: on another
// goroutine, or at once if that has happened already. f must not wait for anything: the connection waits for it. The handler
// must not return while it holds what f needs. nil takes f back.
func (s *Stream) SetGone(f func()) {
	c := s.c
	c.mu.Lock()
	lost := s.err != nil && f != nil
	if !lost {
		s.gone = f
	}
	c.mu.Unlock()
	if lost {
		f()
	}
}

// Reset ends the stream with a code. What was written may be lost.
func (s *Stream) Reset(code uint32) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.answered()
	if s.err != nil || s.done && s.ended {
		return
	}
	s.kill(&StreamError{s.id, code, "we reset it"})
	_ = c.sendReset(s.id, code)
	c.kick()
}

// stalled resets a stream whose answer nobody takes. Called with mu held, by the clock.
func (s *Stream) stalled() {
	c := s.c
	c.cfg.Stats.Stalled.Add(1)
	s.kill(&StreamError{s.id, CodeCancel, "the client left its windows closed: " + os.ErrDeadlineExceeded.Error()})
	err := c.sendReset(s.id, CodeCancel)
	if e := c.offend(weightStall); err == nil {
		err = e
	}
	if err != nil {
		c.fail(err)
	}
	c.kick()
}
