package http3

import (
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Interim sends a 1xx answer. block was made with [AppendStatus] and [AppendField].
func (s *Stream) Interim(block []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun || s.ended {
		return ErrBusy
	}
	b := appendFrame(nil, typeHeaders, len(block))
	_ = s.q.SetWriteDeadline(s.sendBy())
	_, err := s.q.Write(append(b, block...))
	return err
}

// Head takes the final head. Nothing need leave before Flush or End.
func (s *Stream) Head(block []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun || s.ended {
		return ErrBusy
	}
	s.begun = true
	if s.out == nil {
		s.out = s.c.cfg.Buffers.get()[:0]
	}
	s.out = appendFrame(s.out, typeHeaders, len(block))
	s.out = append(s.out, block...)
	return nil
}

// Write takes a part of the body, and waits for the client's windows when much has gathered.
func (s *Stream) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	const most = 16 // bytes of a frame's beginning
	if len(s.out)+most+len(p) > bufferSize {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	s.out = appendFrame(s.out, typeData, len(p))
	if len(s.out)+len(p) <= bufferSize {
		s.out = append(s.out, p...)
		return nil
	}
	n := bufferSize - len(s.out)
	s.out = append(s.out, p[:n]...)
	if err := s.Flush(); err != nil {
		return err
	}
	return s.send(p[n:])
}

// Flush sends what was taken so far.
func (s *Stream) Flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.send(s.out)
	s.out = s.out[:0]
	return err
}

// send writes b, however long it takes as long as the client takes some of it within each Config.Body.
func (s *Stream) send(b []byte) error {
	for {
		s.mu.Lock()
		by, ended := s.sendBy(), s.ended
		s.mu.Unlock()
		if ended {
			return ErrEnded
		}
		_ = s.q.SetWriteDeadline(by)
		start := time.Now()
		n, err := s.q.Write(b)
		s.waited += time.Since(start)
		b = b[n:]
		switch {
		case err == nil:
			return nil
		case isTimeout(err) && n > 0 && !s.overdue():
			continue
		case isTimeout(err):
			s.c.cfg.Stats.Stalled.Add(1)
			s.c.offend(weightStall)
		case reset(err):
			s.countReset()
		}
		return err
	}
}

// sendBy is when a write must have made progress. Called with mu held.
func (s *Stream) sendBy() time.Time {
	by := deadline(s.c.cfg.Body)
	if !s.until.IsZero() && (by.IsZero() || s.until.Before(by)) {
		by = s.until
	}
	return by
}

func (s *Stream) overdue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.until.IsZero() && !time.Now().Before(s.until)
}

// End completes the answer, with a block of trailers if it is not nil.
func (s *Stream) End(trailers []byte) error {
	if trailers != nil {
		s.out = appendFrame(s.out, typeHeaders, len(trailers))
		s.out = append(s.out, trailers...)
	}
	err := s.Flush()
	if err != nil || !s.end() {
		return err
	}
	if s.stop != nil {
		s.stop()
	}
	if err := s.q.Close(); err != nil {
		return err
	}
	s.dropOut()
	s.c.served()
	return nil
}

// dropOut gives the buffer of the answer back.
func (s *Stream) dropOut() {
	if s.out != nil {
		s.c.cfg.Buffers.put(s.out)
		s.out = nil
	}
}

func appendFrame(b []byte, typ uint64, n int) []byte {
	return quicvarint.Append(quicvarint.Append(b, typ), uint64(n))
}
