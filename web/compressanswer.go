package web

import "slices"

// compressed is the answerer of an exchange whose answer is compressed. It stands before the client half from the answer's
// begin to its end, and takes itself away then.
//
// The head waits for the first flush, or until much has gathered: an answer that is whole before that is sent with its
// compressed length, and its encoder is free before a byte is sent.
type compressed struct {
	w    *Web
	x    *exchange
	to   answerer // the client half
	head answer   // as the client gets it; its slices are in memory of our own
	kept headCopy

	encoding encoding
	encoder  encoder
	out      []byte // compressed, not passed on yet
	took     bool   // something was written
	dirty    bool   // something was written since the last flush
	begun    bool   // the head was passed on
	failed   bool   // the client half takes no more
}

// maxKeptOut is how large a buffer may be that is kept for the next answer.
const maxKeptOut = 64 << 10

// Write takes what the encoder has ready.
func (c *compressed) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

func (c *compressed) interim(status int, fields []Field) error { return c.to.interim(status, fields) }

func (c *compressed) begin(a *answer) error {
	c.head = *a
	c.x.line.status = a.status // whoever salvages this exchange must see that it has an answer
	return nil
}

func (c *compressed) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	c.took, c.dirty = true, true
	if err := c.run(func() error { _, err := c.encoder.Write(p); return err }); err != nil {
		return err
	}
	if len(c.out) < flushAt {
		return nil
	}
	return c.pass()
}

// run lets the encoder work, and be seen to.
func (c *compressed) run(step func() error) error {
	if c.encoding == brotlied {
		c.w.compressor.brotlis.Add(1)
		defer c.w.compressor.brotlis.Add(-1)
	}
	return step()
}

// flush holds nothing back: whoever calls it is about to wait.
func (c *compressed) flush() error {
	if c.dirty {
		c.dirty = false
		if err := c.run(c.encoder.Flush); err != nil {
			return err
		}
	}
	if err := c.pass(); err != nil {
		return err
	}
	err := c.to.flush()
	c.failed = err != nil
	return err
}

// pass gives the client half what there is.
func (c *compressed) pass() error {
	if !c.begun {
		c.begun = true
		if err := c.to.begin(&c.head); err != nil {
			return err
		}
	}
	b := c.out
	c.out = b[:0]
	if len(b) == 0 {
		return nil
	}
	err := c.to.write(b)
	c.failed = err != nil
	return err
}

func (c *compressed) end(trailers []Field) error {
	defer c.leave()
	switch {
	case !c.took && !c.begun: // there was nothing to compress
		n := slices.IndexFunc(c.head.fields, func(f Field) bool { return string(f.Name) == contentEncoding })
		c.head.fields = slices.Delete(c.head.fields, n, n+1)
	default:
		if err := c.run(c.encoder.Close); err != nil {
			return err
		}
	}
	c.giveBack(c.encoder) // the client may take its time
	if !c.begun && len(trailers) == 0 {
		c.head.length = int64(len(c.out)) // trailers need chunks in HTTP/1.1
	}
	if err := c.pass(); err != nil {
		return err
	}
	return c.to.end(trailers)
}

// abort hands out what there is and leaves the compressed stream without its end, whatever the client half does to say that
// something is missing: a decoder must not take it for complete either.
func (c *compressed) abort() {
	defer c.leave()
	switch {
	case c.x.line.cause == causePanic:
		c.giveBack(nil) // nobody knows what state it is in
	case c.dirty && !c.failed:
		_ = c.encoder.Flush()
	}
	if !c.failed {
		_ = c.pass()
	}
	c.to.abort()
}

// leave takes the compression off the exchange, which goes on to be logged.
func (c *compressed) leave() {
	c.giveBack(c.encoder)
	w := c.w
	c.x.to = c.to
	out, kept := c.out[:0], c.kept
	if cap(out) > maxKeptOut {
		out = nil
	}
	kept.reset()
	*c = compressed{out: out, kept: kept}
	w.compressor.answers.Put(c)
}

// giveBack returns the encoder, once.
func (c *compressed) giveBack(z encoder) {
	if c.encoder != nil {
		c.encoder = nil
		c.w.compressor.give(c.encoding, z)
	}
}
