package web

import (
	"errors"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/web/http1"
)

// memberReset is a stream that the member has ended, with the code that it gave.
type memberReset struct{ code http2.ErrCode }

func (e memberReset) Error() string { return "the member reset the stream: " + e.code.String() }

// errRefused is a stream that the member did certainly not work on: it may be sent again, whatever it was (RFC 9113 section
// 8.7).
var errRefused = errors.New("the member did not take the stream")

func connError(code http2.ErrCode) error { return http2.ConnectionError(code) }

// take does what a frame says. What it returns ends the link. Called with mu held, as all that follow.
func (l *link) take(f http2.Frame) error {
	id := f.Header().StreamID
	if _, ok := f.(*http2.SettingsFrame); !ok && !l.greeted {
		return connError(http2.ErrCodeProtocol) // RFC 9113 section 3.4: SETTINGS come first
	}
	// Frames for streams that we have ended may come for a while; for streams that never began they may not.
	if id != 0 && (id%2 == 0 || id >= l.next) {
		return connError(http2.ErrCodeProtocol)
	}
	s := l.streams[id]
	switch f := f.(type) {
	case *http2.DataFrame:
		return l.takeData(s, f)
	case *http2.MetaHeadersFrame:
		if s != nil {
			s.takeHead(f)
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.takeReset(f.ErrCode)
		}
	case *http2.WindowUpdateFrame:
		return l.takeCredit(s, id, f.Increment)
	case *http2.SettingsFrame:
		return l.takeSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = l.fr.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		l.takeGoAway(f)
	case *http2.PushPromiseFrame: // we said that we want none
		return connError(http2.ErrCodeProtocol)
	}
	return nil
}

func (l *link) takeData(s *memberStream, f *http2.DataFrame) error {
	n := int(f.Header().Length) // padding counts (RFC 9113 section 6.9.1)
	l.returns += n
	if l.returns > linkCredit {
		return connError(http2.ErrCodeFlowControl)
	}
	if l.returns >= linkCredit/4 {
		_ = l.fr.WriteWindowUpdate(0, uint32(l.returns))
		l.returns = 0
	}
	if s == nil {
		return nil
	}
	s.credit -= n
	data := f.Data()
	switch {
	case s.credit < 0:
		s.refuse(http2.ErrCodeFlowControl, errors.New("http/2: the member sent more than its window"))
	case !s.headed || s.ended:
		s.refuse(http2.ErrCodeProtocol, errors.New("http/2: the member sent a body where none belongs"))
	default:
		s.got = true
		s.buf = append(s.buf, data...)
		s.returns += n - len(data)
		if f.StreamEnded() {
			s.end()
		}
		s.cond.Broadcast()
	}
	return nil
}

func (l *link) takeCredit(s *memberStream, id, n uint32) error {
	const most = 1<<31 - 1
	switch {
	case id == 0:
		if l.window += int64(n); l.window > most {
			return connError(http2.ErrCodeFlowControl)
		}
		l.wakeAll()
	case s != nil:
		if s.window += int64(n); s.window > most {
			s.refuse(http2.ErrCodeFlowControl, errors.New("http/2: the member's window is too large"))
		}
		s.cond.Broadcast()
	}
	return nil
}

func (l *link) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(v http2.Setting) error {
		if err := v.Valid(); err != nil {
			return err
		}
		switch v.ID {
		case http2.SettingMaxConcurrentStreams:
			l.allowed = int(min(v.Val, linkStreams))
			l.limit = l.allowed
		case http2.SettingInitialWindowSize:
			more := int64(v.Val) - l.initial
			l.initial = int64(v.Val)
			for _, s := range l.streams { // RFC 9113 section 6.9.2; a window may become negative
				s.window += more
			}
			l.wakeAll()
		}
		return nil // frames of ours are never larger than anybody must take, and there is no table
	})
	if err != nil {
		return err
	}
	_ = l.fr.WriteSettingsAck()
	if !l.greeted {
		l.greeted = true
		close(l.settled)
	}
	return nil
}

// takeGoAway lets the streams end that the member still works on (RFC 9113 section 6.8). The others it has not seen.
func (l *link) takeGoAway(f *http2.GoAwayFrame) {
	l.leaving = true
	for id, s := range l.streams {
		if id > f.LastStreamID {
			s.refused = true
			s.fail(errRefused)
			delete(l.streams, id)
		}
	}
	if l.open == 0 {
		l.hangUp()
	}
}

// takeHead takes an answer's head, an interim one, or trailers.
func (s *memberStream) takeHead(f *http2.MetaHeadersFrame) {
	s.got = true
	fields := f.RegularFields()
	switch {
	case f.Truncated || len(fields) > maxAnswerFields:
		s.refuse(http2.ErrCodeCancel, errTooBig)
		return
	case s.ended:
		s.refuse(http2.ErrCodeStreamClosed, errors.New("http/2: the member went on behind the end"))
		return
	case s.headed:
		if !f.StreamEnded() || len(f.PseudoFields()) > 0 {
			s.refuse(http2.ErrCodeProtocol, errors.New("http/2: the member sent a second head"))
			return
		}
		s.trailers = trailerFields(toFields(fields))
		s.end()
		return
	}
	status, err := strconv.Atoi(f.PseudoValue("status"))
	h := head2{status: status, fields: toFields(fields), length: -1}
	if err != nil || len(f.PseudoFields()) != 1 || status < 100 || status > 599 || status == 101 || !h.measure() {
		s.refuse(http2.ErrCodeProtocol, errors.New("http/2: the head of the member's answer is malformed"))
		return
	}
	switch {
	case status >= 200:
		s.headed = true
		s.l.limit = min(s.l.limit+1, s.l.allowed) // what it refused in a bad moment, it may take again
	case f.StreamEnded():
		s.refuse(http2.ErrCodeProtocol, errors.New("http/2: the member ended the stream with an interim answer"))
		return
	case len(s.heads) == maxInterims:
		s.refuse(http2.ErrCodeEnhanceYourCalm, errors.New("http/2: the member sent too many interim answers"))
		return
	}
	s.heads = append(s.heads, h)
	if f.StreamEnded() {
		s.end()
	}
	s.cond.Broadcast()
}

func (s *memberStream) takeReset(code http2.ErrCode) {
	l := s.l
	delete(l.streams, s.id)
	switch {
	case s.ended: // it has answered, and wants no more of the request (RFC 9113 section 8.1)
		s.quit = true
		s.cond.Broadcast()
	case code == http2.ErrCodeRefusedStream:
		s.refused = true
		l.limit = max(1, min(l.limit, len(l.streams))) // it takes no more than these now
		s.fail(errRefused)
	default:
		s.got = true // it did something with it
		s.fail(memberReset{code})
	}
}

// head2 is the head of an answer.
type head2 struct {
	status int
	fields []Field
	length int64 // Content-Length; -1 without one
}

// measure reads the Content-Length; false if it is none, or there are two opinions about it.
func (h *head2) measure() bool {
	for i := range h.fields {
		if h.fields[i].ID != http1.ContentLength {
			continue
		}
		n, err := strconv.ParseUint(string(h.fields[i].Value), 10, 63)
		if err != nil || h.length >= 0 && h.length != int64(n) {
			return false
		}
		h.length = int64(n)
	}
	return true
}

// toFields copies fields, all into one piece of memory.
func toFields(hs []hpack.HeaderField) []Field {
	size := 0
	for i := range hs {
		size += len(hs[i].Name) + len(hs[i].Value)
	}
	b := make([]byte, 0, size)
	fields := make([]Field, 0, len(hs))
	for i := range hs {
		n := len(b)
		b = append(b, hs[i].Name...)
		v := len(b)
		b = append(b, hs[i].Value...)
		name := b[n:v:v]
		fields = append(fields, Field{Name: name, Value: b[v:len(b):len(b)], ID: http1.Lookup(name)})
	}
	return fields
}

// trailerFields leaves out what must not stand behind a body (RFC 9110 section 6.5.1): framing, and what belongs to one hop.
func trailerFields(fields []Field) []Field {
	kept := fields[:0]
	for _, f := range fields {
		if k := kindOf(f.ID); k == passOn {
			kept = append(kept, f)
		}
	}
	return kept
}
