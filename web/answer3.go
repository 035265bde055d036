package web

import (
	"time"

	"skein/internal/sock"
	"skein/web/http3"
)

// answerer3 answers an exchange over HTTP/3.
type answerer3 struct {
	s     *http3.Stream
	x     *exchange
	block []byte // header block that is being made
	begun bool
	ended bool
	key   []byte // Sec-WebSocket-Key that we made for an extended CONNECT
	pace  pace
	sent  int64 // what pace knows of
}

func (a *answerer3) interim(status int, fields []Field) error {
	b := interimHead(status, fields, http3.AppendStatus, http3.AppendField)
	if b == nil {
		return nil
	}
	if err := a.s.Interim(b); err != http3.ErrBusy {
		return err
	}
	return nil // the final head was faster: it stands in begun, which is not ours to read
}

func (a *answerer3) begin(h *answer) error {
	a.begun = true
	a.x.line.status = h.status
	b := appendHead(a.block[:0], h, http3.AppendStatus, http3.AppendField)
	a.block = b
	if err := a.s.Head(b); err != nil {
		return err
	}
	if h.none {
		a.ended = true
		return a.judge(a.s.End(nil))
	}
	return nil
}

func (a *answerer3) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	a.x.line.sent += int64(len(p))
	return a.judge(a.s.Write(p))
}

func (a *answerer3) flush() error {
	if !a.begun || a.ended {
		return nil
	}
	return a.judge(a.s.Flush())
}

func (a *answerer3) end(trailers []Field) error {
	if a.ended {
		return nil
	}
	a.ended = true
	var b []byte
	if len(trailers) > 0 {
		b = http3.AppendTrailers(nil)
	}
	for i := range trailers {
		b = http3.AppendField(b, trailers[i].Name, trailers[i].Value)
	}
	return a.judge(a.s.End(b))
}

// judge holds the minimum rate against the time that the client has let us wait.
func (a *answerer3) judge(err error) error {
	if err != nil {
		return err
	}
	n := a.x.line.sent - a.sent
	a.sent = a.x.line.sent
	if !a.pace.moved(int(n), a.s.Waited()-a.pace.waited) {
		return sock.ErrSlow
	}
	return nil
}

// abort resets the stream: no client takes what it has for the whole answer then (RFC 9114 section 4.1.1).
func (a *answerer3) abort() {
	a.ended = true
	if a.x.guard.hasLeft() {
		a.s.Reset(http3.CodeRequestCancelled)
		return
	}
	a.s.Reset(http3.CodeInternal)
}

// done makes sure that the client is told an end.
func (a *answerer3) done() {
	if !a.ended {
		a.abort()
	}
}

// webSocket implements opener. A tunnel lives as long as its ends like: the ceiling of requests is not for it.
func (a *answerer3) webSocket() (key []byte, s carrier) {
	a.s.SetDeadline(time.Time{})
	return a.key, a.s
}
