package web

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"skein/internal/sock"
	"skein/web/http1"
)

// flushAt is how much of an answer is collected before it is sent without being asked for.
const flushAt = 16 << 10

// answerer1 answers an exchange over HTTP/1. One write carries the head and as much of the body as is there.
type answerer1 struct {
	c *conn

	mu       sync.Mutex // guards begun and writes before it: the upload may send 100 Continue
	out      []byte
	begun    bool // the final head was taken
	interims bool // a 1xx may be sent: HTTP/1.1
	chunked  bool
	left     int64 // of the length that the head promised; -1 without a promise
	keep     bool  // the connection goes on after this answer
	failed   bool
	waited   time.Duration // of the connection's writes before this answer
}

func (a *answerer1) reset(c *conn, keep, http10 bool) {
	a.waited = c.sock.Waited()
	if a.out == nil {
		a.out = c.k.out // it grew in the connections before
	}
	a.c, a.out, a.begun, a.interims, a.chunked, a.left, a.keep, a.failed = c, a.out[:0], false, !http10, false, -1, keep, false
}

func (a *answerer1) interim(status int, fields []Field) error {
	if !a.interims {
		return nil // HTTP/1.0 knows no 1xx (RFC 9110 section 15.2)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun {
		return nil
	}
	var h hops
	if !h.collect(fields) {
		return nil
	}
	b := appendAnswer(a.out[:0], &answer{status: status, fields: fields, hops: &h}, "")
	b = append(b, '\r', '\n')
	a.out = b[:0]
	return a.send(b)
}

func (a *answerer1) begin(h *answer) error {
	a.mu.Lock()
	a.begun = true
	a.mu.Unlock()
	x := &a.c.k.x
	x.line.status = h.status
	frame := ""
	a.left = -1
	var room [40]byte
	f := room[:0]
	switch {
	case h.none:
		a.left = 0
		if h.length >= 0 && h.status != http.StatusNoContent && h.status >= 200 {
			f = append(f, "Content-Length: "...)
			f = strconv.AppendInt(f, h.length, 10)
			f = append(f, '\r', '\n')
		}
	case h.length >= 0:
		a.left = h.length
		f = append(f, "Content-Length: "...)
		f = strconv.AppendInt(f, h.length, 10)
		f = append(f, '\r', '\n')
	case a.interims:
		a.chunked = true
		frame = "Transfer-Encoding: chunked\r\n"
	default:
		a.keep = false // HTTP/1.0: the end of the connection is the end of the body
	}
	if x.body != nil && !x.up.taken() {
		a.keep = false // the rest of the request cannot be told from the next one
	}
	if a.c.leaving() || a.c.w.parting(&a.c.local) {
		a.keep = false
	}
	b := appendAnswer(a.out[:0], h, frame)
	b = append(b, f...)
	switch {
	case h.status == http.StatusSwitchingProtocols:
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(b, x.upgrade...)
		b = append(b, '\r', '\n')
	case !a.keep:
		b = append(b, "Connection: close\r\n"...)
	case !a.interims:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	a.out = append(b, '\r', '\n')
	return nil
}

func (a *answerer1) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	a.c.k.x.line.sent += int64(len(p))
	if a.left >= 0 {
		a.left -= int64(len(p))
	}
	if a.chunked {
		a.out = http1.AppendChunkSize(a.out, int64(len(p)))
	}
	if len(a.out)+len(p) > flushAt {
		if err := a.flush(); err != nil {
			return err
		}
		if len(p) > flushAt && !a.chunked {
			return a.send(p)
		}
	}
	a.out = append(a.out, p...)
	if a.chunked {
		a.out = append(a.out, '\r', '\n')
	}
	return nil
}

func (a *answerer1) flush() error {
	if len(a.out) == 0 {
		return nil
	}
	b := a.out
	a.out = b[:0]
	return a.send(b)
}

func (a *answerer1) send(b []byte) error {
	if a.failed {
		return io.ErrClosedPipe
	}
	_, err := a.c.sock.Write(b)
	if err == nil && !a.fastEnough() {
		err = sock.ErrSlow
	}
	if err != nil {
		a.failed, a.keep = true, false
	}
	return err
}

// fastEnough holds the minimum rate against the time that writes have waited for this client, after the first grace.
func (a *answerer1) fastEnough() bool {
	waited := a.c.sock.Waited() - a.waited
	if waited == 0 {
		return true
	}
	t := &a.c.table.settings.Timeouts
	return t.MinRate == 0 || waited < t.Body || float64(a.c.k.x.line.sent) >= float64(t.MinRate)*waited.Seconds()
}

func (a *answerer1) end(trailers []Field) error {
	if a.chunked {
		a.out = http1.AppendLastChunk(a.out, trailers)
	}
	return a.flush()
}

// abort sends what there is and lets the connection end before the answer does. Where the end of the connection is the end of
// the answer, only a reset can say that it is not.
func (a *answerer1) abort() {
	_ = a.flush()
	if a.begun && !a.chunked && a.left < 0 {
		a.c.sock.Reset()
		a.c.linger = false
	}
	a.keep = false
	a.failed = true
}

// reason is the standard phrase of a status.
func reason(status int) string { return http.StatusText(status) }
