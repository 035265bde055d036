package http3

import (
	"context"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// maxControl is how long a frame on the control stream may be. The longest that mean something are SETTINGS of a few dozen
// bytes and PRIORITY_UPDATE with a short list.
const maxControl = 4 << 10

// acceptOthers takes the client's unidirectional streams.
func (c *Conn) acceptOthers() {
	for {
		s, err := c.q.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		c.others.Go(func() {
			defer s.ReleaseStreamCredit()
			c.other(s)
		})
	}
}

// other serves one of them until it ends.
func (c *Conn) other(s *quic.ReceiveStream) {
	if c.cfg.Header > 0 {
		_ = s.SetReadDeadline(time.Now().Add(c.cfg.Header))
	}
	in := &octets{r: s}
	typ, err := quicvarint.Read(in)
	switch {
	case err != nil: // RFC 9114 section 6.2: a stream that ends before its type is known is no error
		s.CancelRead(quic.StreamErrorCode(CodeStreamCreation))
		c.tolerate()
		return
	case typ == streamPush:
		c.fail(&ConnError{CodeStreamCreation, "a client must not push"})
		return
	case typ > streamDecoder:
		s.CancelRead(quic.StreamErrorCode(CodeStreamCreation))
		c.tolerate()
		return
	}
	select {
	case c.clientHas[typ] <- struct{}{}:
	default:
		c.fail(&ConnError{CodeStreamCreation, "a critical stream was opened twice"})
		return
	}
	var e *ConnError
	switch typ {
	case streamControl:
		e = c.readControl(s, in)
	case streamEncoder:
		_ = s.SetReadDeadline(time.Time{})
		e = c.readEncoder(in)
	case streamDecoder:
		_ = s.SetReadDeadline(time.Time{})
		e = c.readDecoder(in)
	}
	if e != nil && c.q.Context().Err() == nil {
		c.fail(e)
	}
}

// readControl reads the client's control stream, which must not end (section 6.2.1).
func (c *Conn) readControl(s *quic.ReceiveStream, in *octets) *ConnError {
	for first := true; ; first = false {
		typ, err := quicvarint.Read(in)
		var n uint64
		if err == nil {
			n, err = quicvarint.Read(in)
		}
		if err != nil {
			return critical(err)
		}
		switch {
		case first && typ != typeSettings:
			return &ConnError{CodeMissingSettings, "the control stream does not begin with SETTINGS"}
		case !first && typ == typeSettings, typ == typeData, typ == typeHeaders, typ == typePushPromise, ofHTTP2(typ):
			return &ConnError{CodeFrameUnexpected, "a frame that the control stream must not carry"}
		case n > maxControl:
			return &ConnError{CodeExcessiveLoad, "a frame on the control stream is too long"}
		}
		p := make([]byte, n)
		if _, err := io.ReadFull(in, p); err != nil {
			return critical(err)
		}
		if e := c.controlFrame(typ, p); e != nil {
			return e
		}
		if first {
			_ = s.SetReadDeadline(time.Time{})
		} else {
			c.tolerate()
		}
	}
}

func (c *Conn) controlFrame(typ uint64, p []byte) *ConnError {
	switch typ {
	case typeSettings:
		return checkSettings(p)
	case typeGoAway, typeMaxPushID: // about pushes, of which there are none
		if _, n, err := quicvarint.Parse(p); err != nil || n != len(p) {
			return &ConnError{CodeFrame, "a GOAWAY or MAX_PUSH_ID frame is no number"}
		}
	case typeCancelPush, typePriorityPush:
		return &ConnError{CodeID, "it is about a push that never was"}
	case typePriorityUpdate: // about the order of answers; the field of a request is what we look at
		if id, _, err := quicvarint.Parse(p); err != nil || id%4 != 0 {
			return &ConnError{CodeID, "a PRIORITY_UPDATE frame names no request"}
		}
	}
	return nil
}

// checkSettings looks for what is forbidden (section 7.2.4): we depend on none of them, as we neither compress by a table nor
// push.
func checkSettings(p []byte) *ConnError {
	seen := map[uint64]bool{}
	for len(p) > 0 {
		id, n, err := quicvarint.Parse(p)
		if err != nil {
			return &ConnError{CodeFrame, "SETTINGS are cut short"}
		}
		_, m, err := quicvarint.Parse(p[n:])
		if err != nil {
			return &ConnError{CodeFrame, "SETTINGS are cut short"}
		}
		p = p[n+m:]
		if seen[id] || id >= 0x2 && id <= 0x5 {
			return &ConnError{CodeSettings, "a setting came twice, or is of HTTP/2"}
		}
		seen[id] = true
	}
	return nil
}

// readEncoder reads the instructions of the client's encoder. We have said that our table has no room, so that nothing but
// saying so again is allowed (RFC 9204 sections 3.2.3 and 4.3).
func (c *Conn) readEncoder(in *octets) *ConnError {
	const noCapacity = 0x20
	for {
		b, err := in.ReadByte()
		if err != nil {
			return critical(err)
		}
		if b != noCapacity {
			return &ConnError{codeEncoder, "QPACK instructions for a table that we do not have"}
		}
		c.tolerate()
	}
}

// readDecoder reads the instructions of the client's decoder. We send nothing that it could acknowledge (RFC 9204 section
// 4.4); it may say that it gave up a stream.
func (c *Conn) readDecoder(in *octets) *ConnError {
	const cancellation, most = 0x40, 0x3f
	for {
		b, err := in.ReadByte()
		if err != nil {
			return critical(err)
		}
		if b&0xc0 != cancellation {
			return &ConnError{codeDecoder, "QPACK acknowledgements of what was never sent"}
		}
		c.tolerate()
		for more := b&most == most; more; { // RFC 7541 section 5.1
			c.tolerate()
			if b, err = in.ReadByte(); err != nil {
				return critical(err)
			}
			more = b&0x80 != 0
		}
	}
}

// critical is the end of a stream that must not end, or SETTINGS that do not come.
func critical(err error) *ConnError {
	if isTimeout(err) {
		return &ConnError{CodeMissingSettings, "SETTINGS did not come in time"}
	}
	return &ConnError{CodeClosedCriticalStream, "a critical stream was closed"}
}

// octets reads single bytes without a call for each.
type octets struct {
	r    io.Reader
	buf  [64]byte
	i, n int
}

func (o *octets) ReadByte() (byte, error) {
	for o.i == o.n {
		n, err := o.r.Read(o.buf[:])
		if n == 0 && err != nil {
			return 0, err
		}
		o.i, o.n = 0, n
	}
	o.i++
	return o.buf[o.i-1], nil
}

func (o *octets) Read(p []byte) (int, error) {
	if o.i == o.n {
		return o.r.Read(p)
	}
	n := copy(p, o.buf[o.i:o.n])
	o.i += n
	return n, nil
}
