package http2

// noTable is the HPACK instruction that the dynamic table has no room: it must follow when the client changed its size (RFC
// 7541 section 4.2), and says what is the case all along.
const noTable = 0x20

// enoughMoved is how many bytes a stream that waits for windows must get rid of in each Config.Stall.
const enoughMoved = 1 << 10

// sendQueue are streams that wait for something that all share: first come, first served, one frame each.
type sendQueue struct{ first, last *Stream }

// next wakes whoever is first in line.
func (q *sendQueue) next() {
	if q.first != nil {
		q.first.send.Broadcast()
	}
}

// behind says whether somebody else comes first.
func (q *sendQueue) behind(s *Stream) bool { return q.first != nil && q.first != s }

func (s *Stream) enqueue(q *sendQueue) {
	if s.queue == q {
		return
	}
	s.unqueue()
	s.queue = q
	if q.last == nil {
		q.first = s
	} else {
		q.last.next = s
	}
	q.last = s
}

func (s *Stream) unqueue() {
	q := s.queue
	if q == nil {
		return
	}
	s.queue = nil
	var before *Stream
	for p := q.first; p != s; p = p.next {
		before = p
	}
	if q.last == s {
		q.last = before
	}
	if before != nil {
		before.next = s.next
	} else {
		q.first = s.next
		q.next()
	}
	s.next = nil
}

// failure is why nothing more can be sent.
func (s *Stream) failure() error {
	switch {
	case s.err != nil:
		return s.err
	case s.c.fatal != nil:
		return s.c.fatal
	case s.done:
		return ErrAnswered
	}
	return nil
}

// await waits until the stream may add a frame to the outbox; data says that the frame counts against the windows, which
// header blocks do not. Called with mu held.
func (s *Stream) await(data bool) error {
	c := s.c
	for {
		if err := s.failure(); err != nil {
			s.unqueue()
			return err
		}
		starving := data && (s.window <= 0 || c.window <= 0)
		full := len(c.out.b) >= outMost
		if (starving && len(c.out.b) > 0 || full) && !c.out.writing {
			c.out.writing = true // the client opens no window for what it has not seen
			c.mu.Unlock()
			c.drain(1)
			c.mu.Lock()
			continue
		}
		switch {
		case data && s.window <= 0:
			s.unqueue() // nobody should wait for one who cannot go on
		case data && (c.window <= 0 || c.windows.behind(s)):
			s.enqueue(&c.windows)
		case full || c.rooms.behind(s):
			s.enqueue(&c.rooms)
		default:
			s.unqueue()
			return nil
		}
		if starving && s.sendDue == 0 {
			s.sendDue, s.moved = c.after(c.cfg.Stall), 0
		}
		s.starving = starving
		s.send.Wait()
		s.starving = false
	}
}

// Interim sends a 1xx answer. block was made with [AppendStatus] and [AppendField].
func (s *Stream) Interim(block []byte) error {
	s.c.mu.Lock()
	if s.begun {
		s.c.mu.Unlock()
		return ErrBusy
	}
	return s.block(block, false, true)
}

// Head sends the final head; end: without a body. Nothing need leave before Flush or End.
func (s *Stream) Head(block []byte, end bool) error {
	s.c.mu.Lock()
	if s.begun {
		s.c.mu.Unlock()
		return ErrBusy
	}
	s.begun = true
	return s.block(block, end, end)
}

// block appends a header block and lets go of mu.
func (s *Stream) block(p []byte, end, flush bool) error {
	c := s.c
	if err := s.await(false); err != nil {
		c.mu.Unlock()
		return err
	}
	if interim := flush && !end; interim && s.begun { // the final head came while this one waited for room
		c.mu.Unlock()
		return ErrBusy
	}
	c.hold()
	o := &c.out
	at := len(o.b)
	flags := byte(0)
	if end {
		flags = flagEnd
	}
	typ, room := byte(typeHeaders), maxFrame
	o.b = appendHead(o.b, 0, typ, flags, s.id)
	start := len(o.b)
	if c.table {
		c.table = false
		o.b = append(o.b, noTable)
		room--
	}
	for {
		n := min(len(p), room)
		o.b = append(o.b, p[:n]...)
		p = p[n:]
		setLength(o.b[at:], len(o.b)-start)
		if len(p) == 0 {
			o.b[at+4] |= flagEndHeaders
			break
		}
		at, room = len(o.b), maxFrame
		o.b = appendHead(o.b, 0, typeContinuation, 0, s.id)
		start = len(o.b)
	}
	o.lastBy = nil
	if o.b[at+3] == typeHeaders {
		o.lastAt, o.lastBy = at, s
	}
	if end {
		s.endSend()
	}
	if !flush {
		c.mu.Unlock()
		return nil
	}
	c.flush()
	return nil
}

func setLength(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }

// Write sends a part of the body. It takes all of p and waits for the client's windows and for room. What it took need not
// leave before Flush or End.
func (s *Stream) Write(p []byte) error {
	c := s.c
	c.mu.Lock()
	for len(p) > 0 {
		if err := s.await(true); err != nil {
			c.mu.Unlock()
			return err
		}
		n, err := s.frame(p)
		if err != nil {
			c.fail(err)
			c.mu.Unlock()
			return err
		}
		p = p[n:]
	}
	s.sendDue = 0
	if len(c.out.b) < flushAt {
		c.mu.Unlock()
		return nil
	}
	c.flush()
	return nil
}

// frame appends one DATA frame, or adds to the one that is last, with as much of p as is allowed now.
func (s *Stream) frame(p []byte) (int, error) {
	c, o := s.c, &s.c.out
	free := int(min(s.window, c.window))
	n := min(len(p), free, maxFrame)
	var err error
	if o.lastBy == s && o.b[o.lastAt+3] == typeData && len(o.b)-o.lastAt-headSize < maxFrame {
		had := len(o.b) - o.lastAt - headSize
		n = min(n, maxFrame-had)
		setLength(o.b[o.lastAt:], had+n)
	} else {
		o.lastAt, o.lastBy = len(o.b), s
		o.b = appendHead(o.b, n, typeData, 0, s.id)
		switch {
		case n == len(p) || n >= splinter:
			c.allow(allowanceData)
			c.forgive(forgiveData)
		case n == free:
			err = c.offend(weightSplinter)
		}
	}
	c.allow(n / allowanceBytes)
	o.b = append(o.b, p[:n]...)
	s.window -= int64(n)
	c.window -= int64(n)
	if s.moved += n; s.moved >= enoughMoved {
		s.sendDue = 0
	}
	return n, err
}

// Flush lets what was taken so far leave. It need not have left when Flush returns; errors come at a later call.
func (s *Stream) Flush() error {
	c := s.c
	c.mu.Lock()
	if err := s.failure(); err != nil && err != ErrAnswered {
		c.mu.Unlock()
		return err
	}
	c.flush()
	return nil
}

// End completes the answer, with a block of trailers if it is not nil.
func (s *Stream) End(trailers []byte) error {
	c := s.c
	c.mu.Lock()
	if !s.begun {
		c.mu.Unlock()
		return &StreamError{s.id, CodeInternal, "an answer ends that has not begun"}
	}
	if trailers != nil {
		return s.block(trailers, true, true)
	}
	if err := s.failure(); err != nil {
		c.mu.Unlock()
		return err
	}
	o := &c.out
	if o.lastBy == s {
		o.b[o.lastAt+4] |= flagEnd
	} else {
		o.b = appendHead(o.b, 0, typeData, flagEnd, s.id)
	}
	o.lastBy = nil
	s.endSend()
	c.flush()
	return nil
}

// endSend notes that the answer is complete.
func (s *Stream) endSend() {
	c := s.c
	s.done = true
	s.answered()
	c.cfg.Stats.Served.Add(1)
	c.forgive(forgiveServed)
	if s.ended {
		s.close()
	}
}
