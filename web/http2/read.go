package http2

import (
	"encoding/binary"
	"io"
)

const (
	// readSize holds a frame of the largest size and then some: many frames come in one read.
	readSize = 32 << 10
	// smallSize is what a connection reads into when it expects nothing in particular; it belongs to the connection.
	smallSize = 512
)

// input is the reading side. Bytes r to w of b are unread. b is nil while small is used instead.
type input struct {
	b     *[readSize]byte
	r, w  int
	small [smallSize]byte
}

func (in *input) buf() []byte {
	if in.b != nil {
		return in.b[:]
	}
	return in.small[:]
}

// room makes room for at least one whole frame behind what is unread.
func (in *input) room(w *Workers) {
	if in.b != nil {
		if len(in.b)-in.r < headSize+maxFrame {
			in.w = copy(in.b[:], in.b[in.r:in.w])
			in.r = 0
		}
		return
	}
	b := w.reads.Get().(*[readSize]byte)
	in.w = copy(b[:], in.small[in.r:in.w])
	in.r = 0
	in.b = b
}

func (in *input) release(w *Workers) {
	if in.b != nil {
		w.reads.Put(in.b)
		in.b = nil
	}
	in.r, in.w = 0, 0
}

// read takes frames until the connection ends.
func (c *Conn) read() error {
	in := &c.in
	greeted := false
	for {
		if in.r == in.w {
			in.r, in.w = 0, 0
		}
		n, err := c.t.Read(in.buf()[in.w:])
		in.w += n
		full := in.w == len(in.buf())
		if !greeted {
			if greeted, err = c.greeted(err); err != nil {
				return err
			}
		}
		if greeted {
			if e := c.frames(); e != nil {
				return e
			}
		}
		if err != nil {
			return err
		}
		switch {
		case in.r < in.w:
			in.room(c.workers)
		case full:
			in.r, in.w = 0, 0 // more is there already
			in.room(c.workers)
		case in.b != nil && n <= smallSize:
			in.release(c.workers)
		}
	}
}

// greeted looks for the preface (RFC 9113 section 3.4). err is what the read said.
func (c *Conn) greeted(err error) (bool, error) {
	in := &c.in
	b := in.buf()[in.r:in.w]
	n := min(len(b), len(preface))
	if string(b[:n]) != preface[:n] {
		return false, protocolError("this is not HTTP/2")
	}
	if n == len(preface) {
		in.r += n
		return true, nil // what err says the next read says again
	}
	if err == io.EOF && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return false, err
}

// header is the head of a frame.
type header struct {
	typ, flags byte
	id         uint32
}

// frames handles all frames that are complete.
func (c *Conn) frames() error {
	in := &c.in
	b := in.buf()
	for in.w-in.r >= headSize {
		p := b[in.r:in.w]
		n := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
		h := header{p[3], p[4], binary.BigEndian.Uint32(p[5:]) & maxWindow}
		if n > maxFrame {
			return &ConnError{CodeFrameSize, "a frame is larger than allowed"}
		}
		if len(p) < headSize+n {
			break
		}
		in.r += headSize + n
		if err := c.frame(h, p[headSize:headSize+n:headSize+n]); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick()
	if c.fatal != nil {
		return c.fatal
	}
	return nil
}

func (c *Conn) frame(h header, p []byte) error {
	if c.block.open != (h.typ == typeContinuation) || c.block.open && h.id != c.block.id {
		return protocolError("a header block was interrupted, or goes on without a beginning")
	}
	if !c.settled && h.typ != typeSettings {
		return protocolError("the first frame is not SETTINGS")
	}
	switch h.typ {
	case typeData:
		return c.data(h, p)
	case typeHeaders:
		return c.headers(h, p)
	case typeContinuation:
		return c.continuation(h, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h.typ {
	case typePriority:
		return c.priority(h, p)
	case typeReset:
		return c.reset(h, p)
	case typeSettings:
		return c.settings(h, p)
	case typePing:
		return c.ping(h, p)
	case typeGoAway:
		return c.goAway(h, p)
	case typeWindowUpdate:
		return c.windowUpdate(h, p)
	case typePushPromise:
		return protocolError("a client must not push")
	}
	return c.control() // unknown ones are ignored (RFC 9113 section 4.1)
}
