package http3

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"skein/web/message"
)

// body is the reading side of a stream behind the head. Only [Stream.Next] and what comes before the handler touch it, but for
// gone.
type body struct {
	frame    uint64 // bytes of the current DATA frame that are to come
	left     int64  // of the content-length, -1 without one
	ended    bool   // the body is complete
	after    bool   // trailers have come: nothing but the end may follow
	trailers []Field
	patience time.Duration
	gone     atomic.Pointer[func()]
}

// NextTimeout sets how long each Next may wait; 0 is for ever.
func (s *Stream) NextTimeout(d time.Duration) { s.body.patience = d }

// Next returns the next piece of the body, which is valid until the next call; io.EOF after the last one. It fails with
// os.ErrDeadlineExceeded when it has waited as long as [Stream.NextTimeout] said, or until [Stream.SetDeadline].
func (s *Stream) Next() ([]byte, error) {
	p, err := s.next()
	var ce *ConnError
	var se *StreamError
	switch {
	case err == nil, err == io.EOF:
	case errors.As(err, &ce):
		s.c.fail(ce)
	case errors.As(err, &se):
		s.c.cfg.Stats.Malformed.Add(1)
		s.c.offend(weightStream)
		s.Reset(se.Code)
	case reset(err):
		s.countReset()
	}
	return p, err
}

func (s *Stream) next() ([]byte, error) {
	b := &s.body
	if b.ended {
		return nil, io.EOF
	}
	for b.frame == 0 {
		by, err := s.wait()
		if err != nil {
			return nil, err
		}
		if err := s.nextFrame(by); err != nil {
			return nil, s.why(err)
		}
	}
	in := &s.in
	for in.r == in.w {
		by, err := s.wait()
		if err != nil {
			return nil, err
		}
		if err := in.fill(by); err == io.EOF {
			return nil, errCut
		} else if err != nil {
			return nil, s.why(err)
		}
	}
	n := int(min(b.frame, uint64(in.w-in.r)))
	p := in.buf[in.r : in.r+n]
	in.r += n
	b.frame -= uint64(n)
	if b.left > 0 {
		b.left -= int64(n)
	}
	return p, nil
}

// wait is until when the next read may wait; an error if it must not begin.
func (s *Stream) wait() (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return time.Time{}, ErrStopped
	}
	by := deadline(s.body.patience)
	if !s.until.IsZero() && (by.IsZero() || s.until.Before(by)) {
		by = s.until
	}
	return by, nil
}

// why is ErrStopped for a read that StopReading has ended.
func (s *Stream) why(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped && isTimeout(err) {
		return ErrStopped
	}
	return err
}

// nextFrame goes to the next DATA frame that is not empty; io.EOF at the end of the body, whose trailers are known then.
func (s *Stream) nextFrame(by time.Time) error {
	b, in := &s.body, &s.in
	for {
		typ, n, err := in.frame(by)
		switch {
		case err == io.EOF:
			if b.left > 0 {
				return malformed("the body is shorter than its content-length")
			}
			b.ended = true
			return io.EOF
		case err != nil:
			return err
		case b.after && (typ == typeData || typ == typeHeaders), known(typ):
			return unexpected("a frame that must not follow a request's head, or its trailers")
		case typ == typeHeaders:
			if err := s.takeTrailers(n, by); err != nil {
				return err
			}
		case typ != typeData:
			s.c.tolerate()
			if err := in.skip(n, by); err != nil {
				return err
			}
		case b.left >= 0 && clip(n) > b.left:
			return malformed("the body is longer than its content-length")
		case n == 0:
			s.c.offend(weightEmptyData)
		default:
			if n < tinyData && clip(n) != b.left {
				s.c.offend(weightTinyData)
			}
			b.frame = n
			return nil
		}
	}
}

func (s *Stream) takeTrailers(n uint64, by time.Time) error {
	if n > uint64(s.c.cfg.MaxHeader) {
		return malformed("the trailers are too large")
	}
	block, err := s.in.whole(int(n), by)
	if err != nil {
		return err
	}
	var l message.List
	l.Reset(s.c.cfg.bounds(), true)
	if err := decode(block, &l); err != nil {
		return err
	}
	switch {
	case l.Bad != "":
		return malformed(l.Bad)
	case l.Large:
		return malformed("the trailers are too large")
	}
	s.body.trailers, s.body.after = l.Fields, true
	return nil
}

// Last reports whether nothing is left to receive behind what Next has returned.
func (s *Stream) Last() bool {
	return s.body.ended || s.body.frame == 0 && s.in.ended && s.in.r == s.in.w
}

// Trailers are known after io.EOF.
func (s *Stream) Trailers() []Field { return s.body.trailers }

// StopReading ends a Next that waits, and those to come, with [ErrStopped].
func (s *Stream) StopReading() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.in.stop()
}
