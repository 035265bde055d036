package http2

import (
	"io"
	"os"
	"time"
)

// chunk holds received bytes. Frames are copied one behind the other, so that a thousand tiny ones take no more room than one
// large one.
type chunk struct {
	n    int
	next *chunk
	b    [maxFrame]byte
}

// chunks are the unread bytes of a stream.
type chunks struct{ first, last *chunk }

func (s *Stream) put(p []byte) {
	for len(p) > 0 {
		k := s.body.last
		if k == nil || k.n == len(k.b) {
			k = s.c.workers.chunks.Get().(*chunk)
			k.n, k.next = 0, nil
			if s.body.last == nil {
				s.body.first = k
			} else {
				s.body.last.next = k
			}
			s.body.last = k
		}
		n := copy(k.b[k.n:], p)
		k.n += n
		p = p[n:]
	}
}

// drop forgets what nobody will read and gives it back to the connection's window. What Next has returned stays: a reader may
// still be looking at it.
func (s *Stream) drop() {
	for k := s.body.first; k != nil; {
		s.c.giveBack(k.n)
		next := k.next
		s.c.workers.chunks.Put(k)
		k = next
	}
	s.body = chunks{}
	if !s.running && s.current != nil {
		s.c.workers.chunks.Put(s.current)
		s.current = nil
	}
}

// Next returns the next piece of the body, which is valid until the next call; io.EOF after the last one. It fails with
// os.ErrDeadlineExceeded when it has waited as long as [Stream.NextTimeout] said.
func (s *Stream) Next() ([]byte, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.current != nil {
		c.workers.chunks.Put(s.current)
		s.current = nil
	}
	s.late = false // of a wait that data ended in the same moment
	for waited := false; ; waited = true {
		switch k := s.body.first; {
		case s.stopped:
			return nil, ErrStopped
		case s.err != nil:
			return nil, s.err
		case k != nil:
			s.body.first = k.next
			if k.next == nil {
				s.body.last = nil
			}
			s.current = k
			c.giveBack(k.n)
			s.giveBack(k.n)
			c.kick()
			return k.b[:k.n], nil
		case s.ended:
			return nil, io.EOF
		case s.late:
			s.late = false
			return nil, os.ErrDeadlineExceeded
		}
		if !waited {
			s.recvDue = c.after(s.patience)
		}
		s.receiving = true
		s.recv.Wait()
		s.receiving = false
	}
}

// giveBack lets the client send n bytes more on the stream, in large steps.
func (s *Stream) giveBack(n int) {
	s.unreturned += n
	if s.unreturned < streamWindow/4 || s.ended || s.err != nil {
		return
	}
	s.c.out.b = appendWindowUpdate(s.c.out.b, s.id, s.unreturned)
	s.c.out.lastBy, s.c.out.push = nil, true
	s.credit += s.unreturned
	s.unreturned = 0
}

// NextTimeout sets how long each Next may wait; 0 is for ever.
func (s *Stream) NextTimeout(d time.Duration) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.patience = d
}

// Last reports whether nothing is left to receive behind what Next has returned.
func (s *Stream) Last() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.ended && s.body.first == nil
}

// Trailers are known after io.EOF.
func (s *Stream) Trailers() []Field {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailers
}

// StopReading ends a Next that waits, and those to come, with [ErrStopped]. What still comes is thrown away.
func (s *Stream) StopReading() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.stopped = true
	s.drop()
	c.kick()
	s.recv.Broadcast()
}
