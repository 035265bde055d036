package http2

import (
	"encoding/binary"
	"slices"
)

// rememberResets is how many streams that we reset are remembered: the client sends on until it hears of it, and that is no
// offence (RFC 9113 section 5.1, "closed").
const rememberResets = 128

// unpad takes the padding off DATA and HEADERS (RFC 9113 section 6.1).
func unpad(h header, p []byte) ([]byte, error) {
	if h.flags&flagPadded == 0 {
		return p, nil
	}
	if len(p) == 0 {
		return nil, &ConnError{CodeFrameSize, "a padded frame is empty"}
	}
	n := int(p[0])
	if n >= len(p) {
		return nil, protocolError("padding is longer than its frame")
	}
	return p[1 : len(p)-n], nil
}

func (c *Conn) data(h header, p []byte) error {
	size := len(p)
	p, err := unpad(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if idle(h.id, c.seen) {
		return protocolError("DATA on an idle stream")
	}
	if size > c.credit {
		return &ConnError{CodeFlowControl, "more than the connection's window"}
	}
	c.credit -= size
	s := c.streams[h.id]
	if s == nil || s.ended {
		c.giveBack(size)
		if s == nil && c.forgotten(h.id) {
			if c.allowance > 0 {
				c.allowance--
				return nil
			}
			return c.offend(weightLateData)
		}
		return c.streamError(h.id, CodeStreamClosed, "DATA after the end of the stream")
	}
	end := h.flags&flagEnd != 0
	switch {
	case size > s.credit:
		c.giveBack(size)
		return c.streamError(h.id, CodeFlowControl, "more than the stream's window")
	case s.left >= 0 && int64(len(p)) > s.left, s.left > 0 && end && int64(len(p)) < s.left:
		c.giveBack(size)
		c.cfg.Stats.Malformed.Add(1)
		return c.streamError(h.id, CodeProtocol, "the body is not as long as its content-length")
	case end:
	case len(p) == 0:
		err = c.offend(weightEmptyData)
	case len(p) < tinyData:
		err = c.offend(weightTinyData)
	}
	if err != nil {
		return err
	}
	s.credit -= size
	if s.left >= 0 {
		s.left -= int64(len(p))
	}
	if s.stopped {
		c.giveBack(size)
		s.giveBack(size)
	} else {
		s.put(p)
		c.giveBack(size - len(p)) // padding is read at once
		s.giveBack(size - len(p))
	}
	if end {
		s.endReceive()
	}
	if s.receiving {
		s.recv.Broadcast()
	}
	return nil
}

// idle says whether no frame but HEADERS and PRIORITY may come on the stream, as nobody has opened it. Only clients open
// streams, and theirs are odd.
func idle(id, seen uint32) bool { return id > seen || id&1 == 0 }

// forgotten says whether the client may not know yet that a closed stream is closed.
func (c *Conn) forgotten(id uint32) bool {
	return c.leaving == left && id > c.last || slices.Contains(c.resets, id)
}

func (c *Conn) remember(id uint32) {
	if len(c.resets) < rememberResets {
		c.resets = append(c.resets, id)
		return
	}
	c.resets[c.nextOut] = id
	c.nextOut = (c.nextOut + 1) % rememberResets
}

// giveBack lets the client send n bytes more, in large steps.
func (c *Conn) giveBack(n int) {
	c.unreturned += n
	if c.unreturned >= connWindow/4 {
		c.out.b = appendWindowUpdate(c.out.b, 0, c.unreturned)
		c.out.lastBy, c.out.push = nil, true
		c.credit += c.unreturned
		c.unreturned = 0
	}
}

// streamError resets a stream because of an offence. Called with mu held, by the reader.
func (c *Conn) streamError(id, code uint32, reason string) error {
	c.cfg.Stats.MadeResets.Add(1)
	if s := c.streams[id]; s != nil {
		s.kill(&StreamError{id, code, reason})
		c.leave(s)
	}
	if err := c.sendReset(id, code); err != nil {
		return err
	}
	return c.offend(weightStream)
}

// sendReset appends RST_STREAM for a stream that is not open any more.
func (c *Conn) sendReset(id, code uint32) error {
	c.remember(id)
	c.out.b = appendReset(c.out.b, id, code)
	return c.reply(headSize + 4)
}

// priority is checked and ignored (RFC 9113 section 5.3.2).
func (c *Conn) priority(h header, p []byte) error {
	switch {
	case h.id == 0:
		return protocolError("PRIORITY of the connection")
	case len(p) != 5 && c.streams[h.id] == nil: // a reset of an idle stream would be an offence of ours
		return &ConnError{CodeFrameSize, "a PRIORITY frame has the wrong size"}
	case len(p) != 5:
		return c.streamError(h.id, CodeFrameSize, "a PRIORITY frame has the wrong size")
	case binary.BigEndian.Uint32(p)&maxWindow == h.id:
		return protocolError("a stream depends on itself")
	}
	return c.control()
}

func (c *Conn) reset(h header, p []byte) error {
	if len(p) != 4 {
		return &ConnError{CodeFrameSize, "a RST_STREAM frame has the wrong size"}
	}
	if idle(h.id, c.seen) {
		return protocolError("RST_STREAM on an idle stream")
	}
	c.cfg.Stats.Resets.Add(1)
	s := c.streams[h.id]
	if s == nil {
		return c.control()
	}
	weight := weightLateReset
	if !s.begun {
		weight = weightRapidReset
		c.cfg.Stats.RapidResets.Add(1)
	}
	s.kill(&StreamError{h.id, binary.BigEndian.Uint32(p), "the client reset it"})
	c.leave(s)
	return c.offend(weight)
}

func (c *Conn) settings(h header, p []byte) error {
	if h.id != 0 {
		return protocolError("SETTINGS of a stream")
	}
	if h.flags&flagAck != 0 {
		if len(p) != 0 {
			return &ConnError{CodeFrameSize, "an acknowledgement of SETTINGS is not empty"}
		}
		if !c.settled {
			return protocolError("the first frame is not SETTINGS")
		}
		return c.control()
	}
	if len(p)%6 != 0 {
		return &ConnError{CodeFrameSize, "a SETTINGS frame has the wrong size"}
	}
	if c.settled {
		if err := c.offend(weightSettings); err != nil {
			return err
		}
	} else {
		c.settled = true
		c.due.header = 0
		c.due.idle = c.after(c.cfg.Idle)
	}
	for ; len(p) > 0; p = p[6:] {
		if err := c.setting(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	c.out.b = appendHead(c.out.b, 0, typeSettings, flagAck, 0)
	return c.reply(headSize)
}

func (c *Conn) setting(id uint16, v uint32) error {
	switch id {
	case settingTableSize:
		c.table = true
	case settingPush:
		if v > 1 {
			return protocolError("SETTINGS_ENABLE_PUSH is neither 0 nor 1")
		}
	case settingExtendedConnect:
		if v > 1 {
			return protocolError("SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1")
		}
	case settingMaxFrame: // ours are never larger than the smallest maximum
		if v < maxFrame || v >= 1<<24 {
			return protocolError("SETTINGS_MAX_FRAME_SIZE is out of range")
		}
	case settingWindow:
		if v > maxWindow {
			return &ConnError{CodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is out of range"}
		}
		// Windows of open streams change by the difference, and may become negative (RFC 9113 section 6.9.2).
		d := int64(v) - c.initial
		c.initial = int64(v)
		for _, s := range c.streams {
			s.window += d
			if s.window > maxWindow {
				return &ConnError{CodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE makes a window overflow"}
			}
			if s.starving && s.window > 0 {
				s.send.Broadcast()
			}
		}
	}
	return nil
}

func (c *Conn) ping(h header, p []byte) error {
	if len(p) != 8 {
		return &ConnError{CodeFrameSize, "a PING frame has the wrong size"}
	}
	if h.id != 0 {
		return protocolError("PING of a stream")
	}
	if h.flags&flagAck != 0 {
		if c.leaving == announced && [8]byte(p) == shutdownPing() {
			c.farewell()
		}
		return c.control()
	}
	if err := c.control(); err != nil {
		return err
	}
	c.out.b = appendPing(c.out.b, true, [8]byte(p))
	return c.reply(headSize + 8)
}

// goAway says that the client opens no more streams: the connection ends with the open ones.
func (c *Conn) goAway(h header, p []byte) error {
	switch {
	case h.id != 0:
		return protocolError("GOAWAY of a stream")
	case len(p) < 8:
		return &ConnError{CodeFrameSize, "a GOAWAY frame has the wrong size"}
	}
	c.farewell()
	return nil
}

func (c *Conn) windowUpdate(h header, p []byte) error {
	if len(p) != 4 {
		return &ConnError{CodeFrameSize, "a WINDOW_UPDATE frame has the wrong size"}
	}
	n := int64(binary.BigEndian.Uint32(p) & maxWindow)
	if h.id == 0 {
		c.window += n
		switch {
		case n == 0:
			return protocolError("a WINDOW_UPDATE of nothing")
		case c.window > maxWindow:
			return &ConnError{CodeFlowControl, "the connection's window overflows"}
		}
		c.windows.next()
		return c.control()
	}
	if idle(h.id, c.seen) {
		return protocolError("WINDOW_UPDATE on an idle stream")
	}
	s := c.streams[h.id]
	if s == nil {
		return c.control()
	}
	s.window += n
	switch {
	case n == 0:
		return c.streamError(h.id, CodeProtocol, "a WINDOW_UPDATE of nothing")
	case s.window > maxWindow:
		return c.streamError(h.id, CodeFlowControl, "the stream's window overflows")
	}
	if s.starving && s.window > 0 {
		s.send.Broadcast()
	}
	return c.control()
}
