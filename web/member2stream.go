package web

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/web/http1"
)

// errAborted is a stream that nobody waits for any more.
var errAborted = errors.New("the exchange was given up")

// memberStream is one exchange on a link. Its owner is the goroutine that serves the exchange; the upload beside it only writes.
type memberStream struct {
	l    *link
	cond sync.Cond // on l.mu: something below has changed

	// Guarded by l.mu.
	id      uint32 // 0 before it has begun
	window  int64  // what we may send
	credit  int    // what the member may send
	returns int    // bytes taken that the member has not been given credit for

	heads    []head2 // interim ones, and the final one
	headed   bool    // the final one has come
	buf      []byte  // of the body, not yet taken
	trailers []Field
	ended    bool // the member has said all
	got      bool // it has said something
	refused  bool // it has certainly done nothing
	quit     bool // it wants no more of the request
	sent     bool // all of the request
	err      error

	ceiling time.Time // no deadline is later; zero is none
	due     time.Time // zero is none
	clock   *time.Timer

	taken []byte // what the owner works with; it changes places with buf
}

func newMemberStream(l *link) *memberStream {
	s := &memberStream{l: l, credit: linkWindow}
	s.cond.L = &l.mu
	return s
}

// fail ends the stream for everybody who waits. Called with mu held.
func (s *memberStream) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.cond.Broadcast()
}

// refuse ends the stream because of what the member did, and tells it. Called with mu held.
func (s *memberStream) refuse(code http2.ErrCode, err error) {
	s.got = true
	if s.l.streams[s.id] == s {
		_ = s.l.fr.WriteRSTStream(s.id, code)
		delete(s.l.streams, s.id)
	}
	s.fail(err)
}

// end notes that the member has said all. Called with mu held.
func (s *memberStream) end() {
	s.ended = true
	if s.sent {
		delete(s.l.streams, s.id)
	}
	s.cond.Broadcast()
}

// bound sets the time of the whole exchange.
func (s *memberStream) bound(ceiling time.Duration) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.ceiling = time.Time{}
	if ceiling > 0 {
		s.ceiling = time.Now().Add(ceiling)
	}
}

// arm gives the stream d from now on; 0 is no limit but the ceiling.
func (s *memberStream) arm(d time.Duration) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.due = s.ceiling
	if d > 0 {
		if t := time.Now().Add(d); s.ceiling.IsZero() || t.Before(s.ceiling) {
			s.due = t
		}
	}
	switch {
	case s.due.IsZero():
	case s.clock == nil:
		s.clock = time.AfterFunc(time.Until(s.due), s.ring)
	default:
		s.clock.Reset(time.Until(s.due))
	}
}

// ring is called when a deadline may have passed: it may have been moved since.
func (s *memberStream) ring() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	switch left := time.Until(s.due); {
	case s.due.IsZero() || s.err != nil:
	case left > 0:
		s.clock.Reset(left)
	default:
		s.fail(errTimeout)
		if !s.got {
			s.l.leaving = true // perhaps nobody is there any more: who comes next does not try this connection again
		}
	}
}

func (s *memberStream) abort() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.fail(errAborted)
}

func (s *memberStream) expired() bool {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return s.err != nil
}

// exchange sends the head and waits for the answer's.
func (s *memberStream) exchange(u *upstream, x *exchange) error {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := s.begin(u, x); err != nil {
		return err
	}
	if len(x.small) > 0 {
		_ = s.put(x.small, true) // if that fails, what stands below says why, or the answer does
	}
	if u.body != nil {
		u.body.started = true
		go u.body.run()
	}
	for {
		for len(s.heads) == 0 && s.err == nil {
			s.cond.Wait()
		}
		if len(s.heads) == 0 {
			return s.outcome(u)
		}
		h := s.heads[0]
		s.heads = s.heads[1:]
		u.first = true
		u.resp.Status, u.resp.Fields, u.resp.Length = h.status, h.fields, h.length
		if h.status >= 200 {
			return nil
		}
		l.mu.Unlock()
		err := x.interim(&u.resp)
		l.mu.Lock()
		if err != nil {
			return clientError{err}
		}
		u.resp.Reset()
	}
}

// outcome says how far a stream came that got no answer. Called with mu held.
func (s *memberStream) outcome(u *upstream) error {
	u.first = s.got
	var r memberReset
	if errors.As(s.err, &r) {
		u.x.code = uint32(r.code)
	}
	if s.refused { // nobody's fault: the same member again
		u.x.code = uint32(http2.ErrCodeRefusedStream)
		u.sent, u.reused = false, true
	}
	return s.err
}

// begin sends the head. Called with mu held.
func (s *memberStream) begin(u *upstream, x *exchange) error {
	l := s.l
	if s.err != nil {
		return s.err
	}
	if l.err != nil || l.leaving && l.home != nil || l.next >= 1<<31-1 {
		l.leaving = true // since the place on it was reserved
		s.refused, s.err = true, errRefused
		return s.outcome(u)
	}
	s.id = l.next
	l.next += 2
	s.window = l.initial
	l.streams[s.id] = s
	l.block.Reset()
	s.encode(x, u.head)
	s.sent = x.body == nil && len(x.small) == 0
	s.putHead(l.block.Bytes(), s.sent)
	u.sent = true
	l.flush()
	return nil
}

// putHead sends a block of fields. Called with mu held.
func (s *memberStream) putHead(block []byte, end bool) {
	const most = 16 << 10 // RFC 9113 section 4.2: everybody takes frames of that size
	first := block[:min(len(block), most)]
	block = block[len(first):]
	_ = s.l.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		next := block[:min(len(block), most)]
		block = block[len(next):]
		_ = s.l.fr.WriteContinuation(s.id, len(block) == 0, next)
	}
}

// encode turns the lines of a head into a block of fields (RFC 9113 section 8.3). Called with mu held.
func (s *memberStream) encode(x *exchange, lines []byte) {
	l := s.l
	put := func(name, value string) {
		_ = l.enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: name == "authorization" || name == "cookie"})
	}
	put(":method", x.method)
	// The scheme is that of this connection: some servers insist on it. That of the client is in X-Forwarded-Proto.
	scheme := "http"
	if l.dial.tls != nil {
		scheme = "https"
	}
	put(":scheme", scheme)
	host := x.authority
	if h := x.route.request.host; h != nil {
		host = h
	}
	if len(host) > 0 {
		put(":authority", string(host))
	}
	put(":path", string(x.appendURI(nil)))
	if x.length > 0 || x.length == 0 && wantsLength(x.method) {
		put("content-length", strconv.FormatInt(x.length, 10))
	}
	if x.expect {
		put("expect", "100-continue")
	}
	if x.trailers {
		put("te", "trailers")
	}
	if x.body != nil { // trailers follow it; Go's servers show only those that were announced (RFC 9110 section 6.6.2)
		for i := range x.fields {
			if f := &x.fields[i]; f.ID == http1.Trailer && !x.hops.has(f.Name) {
				put("trailer", string(f.Value))
			}
		}
	}
	text := string(lines)
	for line := range strings.SplitSeq(text, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || kindOf(http1.Lookup([]byte(name))) == perHop { // those that the configuration sets were not sorted out
			continue
		}
		put(strings.ToLower(name), value)
	}
}

// write sends a part of the request's body.
func (s *memberStream) write(p []byte) (int, error) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if err := s.put(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// put sends data as the windows allow. Called with mu held.
func (s *memberStream) put(p []byte, last bool) error {
	l := s.l
	for {
		for s.err == nil && !s.quit && (min(s.window, l.window) <= 0 || l.out.Len() >= linkOut) {
			s.cond.Wait()
		}
		switch {
		case s.err != nil:
			return s.err
		case s.quit:
			return memberReset{http2.ErrCodeNo}
		}
		n := min(int64(len(p)), s.window, l.window, 16<<10)
		s.window -= n
		l.window -= n
		whole := n == int64(len(p))
		s.sent = last && whole
		_ = l.fr.WriteData(s.id, s.sent, p[:n])
		l.flushAside() // a member that takes nothing must not hold up who watches the time
		if p = p[n:]; whole {
			return nil
		}
	}
}

// finish ends the request.
func (s *memberStream) finish(trailers []Field) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.err != nil || s.quit || s.sent {
		return
	}
	s.sent = true
	trailers = trailerFields(trailers)
	if len(trailers) == 0 {
		_ = l.fr.WriteData(s.id, true, nil)
	} else {
		l.block.Reset()
		for _, f := range trailers {
			_ = l.enc.WriteField(hpack.HeaderField{Name: strings.ToLower(string(f.Name)), Value: string(f.Value)})
		}
		s.putHead(l.block.Bytes(), true)
	}
	if s.ended {
		delete(l.streams, s.id)
	}
	l.flush()
}

// ready reports whether next would not wait.
func (s *memberStream) ready() bool {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return len(s.buf) > 0 || s.ended || s.err != nil
}

// next returns the next part of the answer's body, which is valid until the next call, and io.EOF behind the last one.
func (s *memberStream) next() ([]byte, error) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	s.returns += len(s.taken)
	if s.returns >= linkWindow/4 && !s.ended && s.err == nil {
		_ = l.fr.WriteWindowUpdate(s.id, uint32(s.returns))
		s.credit += s.returns
		s.returns = 0
		l.flush()
	}
	s.taken = s.taken[:0]
	for len(s.buf) == 0 && !s.ended && s.err == nil {
		s.cond.Wait()
	}
	switch {
	case len(s.buf) > 0:
		s.taken, s.buf = s.buf, s.taken
		return s.taken, nil
	case s.ended:
		return nil, io.EOF
	}
	return nil, s.err
}

// close gives the stream up: the member is told unless both sides have said all.
func (s *memberStream) close() {
	l := s.l
	l.mu.Lock()
	if s.clock != nil {
		s.clock.Stop()
	}
	s.due = time.Time{}
	if l.streams[s.id] == s && s.id != 0 {
		delete(l.streams, s.id)
		_ = l.fr.WriteRSTStream(s.id, http2.ErrCodeCancel)
		l.flush()
	}
	s.fail(errAborted)
	l.mu.Unlock()
	l.release()
}

// resetsCall reports whether the client should be told of a member's reset by a reset, before any answer: it calls by gRPC,
// which has a meaning for each code (the end of a deadline is a CANCEL), and speaks HTTP/2. Everybody else is better off with a
// status.
func (x *exchange) resetsCall() bool {
	if _, ok := x.to.(*answerer2); !ok || x.code == 0 {
		return false
	}
	kind, call := bytes.CutPrefix(x.field(http1.ContentType), []byte("application/grpc"))
	return call && (len(kind) == 0 || kind[0] == '+' || kind[0] == ';')
}

// wire2 is HTTP/2: all framing is the stream's.
type wire2 struct{ s *memberStream }

func (wire2) request(b []byte, x *exchange) []byte {
	return append(x.appendPassed(b), x.route.request.append...)
}

func (wire2) piece(_ *[]byte, data []byte, _ *exchange) []byte { return data }

func (h wire2) last(_ *[]byte, x *exchange) []byte {
	h.s.finish(x.body.trailers())
	return nil
}

func (wire2) head(*upstream) (bool, error) { return true, nil } // the link has read it

func (h wire2) framing(u *upstream, asked string) (length int64, none bool) {
	s := u.resp.Status
	if asked == "HEAD" || s == 204 || s == 304 {
		return u.resp.Length, true
	}
	h.s.l.mu.Lock()
	defer h.s.l.mu.Unlock()
	if h.s.ended && len(h.s.buf) == 0 && h.s.trailers == nil && u.resp.Length <= 0 {
		return 0, true // and a client of HTTP/2 is told so with the head: gRPC wants its trailers-only answers in one piece
	}
	return u.resp.Length, false
}

// clean says that the connection is not ours to keep.
func (wire2) clean(*upstream, string) bool { return false }

func (h wire2) relay(w *Web, x *exchange, u *upstream, idle time.Duration) error {
	s := h.s
	left, none := h.framing(u, x.method)
	if none {
		if err := x.to.end(nil); err != nil {
			return w.clientFailed(x, err)
		}
		return nil
	}
	counted := left >= 0
	for {
		timed := x.up != nil
		if !s.ready() {
			if err := x.to.flush(); err != nil {
				return w.clientFailed(x, err)
			}
			timed = true
		}
		timed = timed && (x.up == nil || !x.up.running()) // else the upload minds the time
		if timed {
			u.arm(idle)
		}
		p, err := s.next()
		if timed {
			u.arm(0) // a slow client is not the member's fault
		}
		u.received += int64(len(p))
		left -= int64(len(p))
		switch {
		case err == io.EOF && counted && left != 0, counted && left < 0:
			return w.cut(x, errCut)
		case err == io.EOF:
			if err := x.to.end(s.trailers); err != nil {
				return w.clientFailed(x, err)
			}
			return nil
		case err != nil:
			var r memberReset
			if errors.As(err, &r) {
				x.code = uint32(r.code)
			}
			return w.cut(x, err)
		}
		if err := x.to.write(p); err != nil {
			return w.clientFailed(x, err)
		}
	}
}
