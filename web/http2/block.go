package http2

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/net/http2/hpack"

	"skein/web/message"
)

// block is the header block that is being received. It comes in one HEADERS frame and any number of CONTINUATION frames, with
// nothing in between (RFC 9113 section 4.3), so a connection has one at a time.
type block struct {
	open  bool // END_HEADERS has not come
	id    uint32
	end   bool // END_STREAM
	self  bool // it depends on itself
	parts int  // CONTINUATION frames
	buf   []byte

	// While it is decoded.
	to *message.List
}

// most is how many encoded bytes a block may have. What is larger cannot be refused with an answer, as it would have to be
// decoded first: HPACK needs all of it. Twice the bound of the list, so that one who is a little too large is told so.
func (c *Conn) most() int { return 2*c.cfg.MaxHeader + maxFrame }

func (c *Conn) headers(h header, p []byte) error {
	if h.id&1 == 0 {
		return protocolError("HEADERS on a stream that no client can open")
	}
	p, err := unpad(h, p)
	if err != nil {
		return err
	}
	k := &c.block
	k.self = false
	if h.flags&flagPriority != 0 {
		if len(p) < 5 {
			return &ConnError{CodeFrameSize, "a HEADERS frame is too short for its priority"}
		}
		k.self = binary.BigEndian.Uint32(p)&maxWindow == h.id
		p = p[5:]
	}
	k.id, k.end, k.parts = h.id, h.flags&flagEnd != 0, 0
	if h.flags&flagEndHeaders != 0 {
		return c.complete(p)
	}
	k.open = true
	k.buf = append(k.buf[:0], p...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due.header = c.after(c.cfg.Header)
	return nil
}

func (c *Conn) continuation(h header, p []byte) error {
	k := &c.block
	k.parts++
	last := h.flags&flagEndHeaders != 0
	if err := c.judge(len(p), last); err != nil {
		return err
	}
	k.buf = append(k.buf, p...)
	if !last {
		return nil
	}
	k.open = false
	b := k.buf
	k.buf = nil // rare enough not to be kept
	return c.complete(b)
}

// judge bounds the bytes of a block and the frames that they come in.
func (c *Conn) judge(n int, last bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last {
		c.due.header = 0
	}
	switch k := &c.block; {
	case len(k.buf)+n > c.most():
		c.cfg.Stats.CutBlock.Add(1)
		return &ConnError{CodeCalm, "a header block is too large"}
	case n == 0:
		return c.offend(weightNothing)
	case k.parts > freeContinuation:
		return c.offend(weightContinued)
	}
	return nil
}

// emit takes a field from the decoder.
func (c *Conn) emit(f hpack.HeaderField) {
	if c.block.to.Add(f.Name, f.Value) {
		c.hp.SetEmitEnabled(false) // the rest only has to keep the table right
	}
}

// decode reads a block into l, or only into the HPACK table if l is nil.
func (c *Conn) decode(p []byte, l *message.List) error {
	c.block.to = l
	c.hp.SetEmitEnabled(l != nil)
	_, err := c.hp.Write(p)
	if e := c.hp.Close(); err == nil {
		err = e
	}
	c.block.to = nil
	if err != nil {
		return &ConnError{CodeCompression, "a header block cannot be decoded: " + err.Error()}
	}
	return nil
}

// complete handles a whole header block: a request, trailers, or nothing that we want.
func (c *Conn) complete(p []byte) error {
	k := &c.block
	c.mu.Lock()
	s := c.streams[k.id]
	fresh := k.id > c.seen
	ignored := !fresh && s == nil && c.forgotten(k.id)
	ended := s != nil && s.ended // the stream may be gone when its block is decoded; what the client has done stays the same
	if fresh {
		c.seen = k.id
		ignored = c.leaving == left
	}
	c.mu.Unlock()
	switch {
	case s != nil:
		return c.takeTrailers(s, ended, p)
	case ignored:
		c.mu.Lock()
		err := c.control()
		c.mu.Unlock()
		if err != nil {
			return err
		}
		return c.decode(p, nil)
	case !fresh:
		return &ConnError{CodeStreamClosed, "HEADERS on a closed stream"}
	}
	return c.takeRequest(p)
}

func (c *Conn) takeRequest(p []byte) error {
	k := &c.block
	s := c.workers.streams.Get().(*Stream)
	s.list.Reset(c.cfg.bounds(), false)
	if err := c.decode(p, &s.list); err != nil {
		return err
	}
	large := s.list.Large
	bad := ""
	switch {
	case k.self:
		bad = "a stream depends on itself"
	case large:
	default:
		bad = s.list.Request(&s.req, c.cfg.ExtendedConnect, k.end)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.cfg.Stats
	switch {
	case bad != "":
		c.recycle(s)
		stats.Malformed.Add(1)
		return c.streamError(k.id, CodeProtocol, bad)
	case large:
		c.recycle(s)
		stats.Oversized.Add(1)
		return c.answerLarge(k.id, k.end)
	case len(c.streams) >= c.cfg.MaxStreams || c.busy >= c.cfg.MaxStreams:
		// busy counts the handlers that still work for streams which were reset: a client must not have more work done at a time
		// by resetting what it asked for (CVE-2023-44487).
		c.recycle(s)
		stats.Refused.Add(1)
		if err := c.sendReset(k.id, CodeRefused); err != nil {
			return err
		}
		return c.offend(weightRefused)
	}
	c.open(s, k.id, k.end)
	return nil
}

// answerLarge tells a client that its header list is too large, without a handler (RFC 6585 section 5).
func (c *Conn) answerLarge(id uint32, end bool) error {
	var room [64]byte
	b := room[:0]
	if c.table {
		c.table = false
		b = append(b, noTable)
	}
	b = AppendStatus(b, 431)
	b = AppendField(b, []byte("content-length"), strconv.AppendInt(nil, 0, 10))
	c.out.b = appendHead(c.out.b, len(b), typeHeaders, flagEnd|flagEndHeaders, id)
	c.out.b = append(c.out.b, b...)
	err := c.reply(headSize + len(b))
	if !end && err == nil {
		err = c.sendReset(id, CodeNo)
	}
	if err != nil {
		return err
	}
	return c.offend(weightLarge)
}

// takeTrailers takes the block that ends a body (RFC 9113 section 8.1). ended says that the client had ended the stream before.
func (c *Conn) takeTrailers(s *Stream, ended bool, p []byte) error {
	k := &c.block
	var l message.List
	l.Reset(c.cfg.bounds(), true)
	if err := c.decode(p, &l); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	bad := l.Bad
	switch {
	case ended:
		return c.streamError(k.id, CodeStreamClosed, "HEADERS after the end of the stream")
	case c.streams[k.id] != s: // its handler has ended meanwhile
		return nil
	case bad != "":
	case l.Large:
		bad = "the trailers are too large"
	case !k.end:
		bad = "trailers do not end the stream"
	case k.self:
		bad = "a stream depends on itself"
	case s.left > 0:
		bad = "the body is not as long as its content-length"
	}
	if bad != "" {
		c.cfg.Stats.Malformed.Add(1)
		return c.streamError(k.id, CodeProtocol, bad)
	}
	s.trailers = l.Fields
	s.endReceive()
	s.recv.Broadcast()
	return nil
}
