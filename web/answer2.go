package web

import "skein/web/http2"

// answerer2 answers an exchange over HTTP/2.
type answerer2 struct {
	s     *http2.Stream
	x     *exchange
	block []byte // header block that is being made
	begun bool
	ended bool
	key   []byte // Sec-WebSocket-Key that we made for an extended CONNECT
}

func (a *answerer2) interim(status int, fields []Field) error {
	b := interimHead(status, fields, http2.AppendStatus, http2.AppendField)
	if b == nil {
		return nil
	}
	if err := a.s.Interim(b); err != http2.ErrBusy {
		return err
	}
	return nil // the final head was faster: it stands in begun, which is not ours to read
}

func (a *answerer2) begin(h *answer) error {
	a.begun = true
	a.x.line.status = h.status
	b := appendHead(a.block[:0], h, http2.AppendStatus, http2.AppendField)
	a.block = b
	a.ended = h.none
	return a.s.Head(b, h.none)
}

func (a *answerer2) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	a.x.line.sent += int64(len(p))
	return a.s.Write(p)
}

func (a *answerer2) flush() error {
	if !a.begun || a.ended {
		return nil
	}
	return a.s.Flush()
}

func (a *answerer2) end(trailers []Field) error {
	if a.ended {
		return nil
	}
	a.ended = true
	var b []byte
	for i := range trailers {
		b = http2.AppendField(b, trailers[i].Name, trailers[i].Value)
	}
	return a.s.End(b)
}

func (a *answerer2) abort() {
	if a.ended {
		return
	}
	a.ended = true
	if a.x.guard.hasLeft() {
		a.s.Reset(http2.CodeCancel)
		return
	}
	if a.x.code != 0 { // the member's own words: gRPC has a status for each
		a.s.Reset(a.x.code)
		return
	}
	a.s.Reset(http2.CodeInternal)
}

// done ends the stream. An answer that was complete before the request was tells the client to send no more of it (RFC 9113
// section 8.1).
func (a *answerer2) done() {
	if a.x.body != nil && !a.x.body.last() {
		a.s.Reset(http2.CodeNo)
	}
}
