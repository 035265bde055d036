package web

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"skein/web/http1"
)

// Why a request's body ends early for reasons that are ours.
var (
	errTooLarge = errors.New("the body is larger than this site takes")
	errTooSlow  = errors.New("the body came more slowly than the minimum rate")
)

// bodySize is what bodies are read into.
const bodySize = 32 << 10

// body1 reads the body of an HTTP/1 request: first what came with the head, then from the connection, outside its loop. The
// head's buffer is left alone: the exchange still points into it.
type body1 struct {
	c      *conn
	x      *exchange
	left   int64 // of a Content-Length; -1 for chunks
	chunks http1.Chunks
	buf    []byte // nil until the first read
	rest   []byte // unread bytes, of the head's buffer or of buf
	max    int64  // bytes that the route takes; 0 is any number
	total  int64
	pace   pace
	ended  bool
	gaveUp atomic.Bool // nobody wants the rest
}

func (c *conn) newBody(x *exchange) *body1 {
	k := c.k
	b := &body1{c: c, x: x, left: x.length, rest: k.buf[k.r:k.w]}
	b.pace = newPace(c.table.settings.Timeouts.Body, c.table.settings.Timeouts.MinRate)
	k.r = k.w
	if b.left > 0 && int64(len(b.rest)) > b.left {
		b.rest = b.rest[:b.left]
	}
	return b
}

func (b *body1) next() ([]byte, error) {
	for {
		if len(b.rest) > 0 || b.left == 0 {
			p, done, err := b.piece()
			if err != nil || len(p) > 0 || done {
				return b.count(p, done, err)
			}
		}
		if err := b.fill(); err != nil {
			return nil, err
		}
	}
}

// piece takes the next run of data from rest.
func (b *body1) piece() (p []byte, done bool, err error) {
	if b.left >= 0 {
		p = b.rest
		b.rest = nil
		b.left -= int64(len(p))
		return p, b.left == 0, nil
	}
	for len(b.rest) > 0 {
		p, n, done, err := b.chunks.Next(b.rest)
		b.rest = b.rest[n:]
		if err != nil || done || len(p) > 0 {
			return p, done, err
		}
	}
	return nil, false, nil
}

func (b *body1) count(p []byte, done bool, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	b.total += int64(len(p))
	b.x.line.received = b.total
	if b.max > 0 && b.total > b.max {
		return nil, errTooLarge
	}
	if len(p) > 0 {
		return p, nil
	}
	b.ended = done
	return nil, io.EOF
}

// fill reads more from the client.
func (b *body1) fill() error {
	if b.buf == nil {
		b.buf = b.c.w.bodies.Get().(*[bodySize]byte)[:]
	}
	want := b.buf
	if b.left > 0 && b.left < int64(len(want)) {
		want = want[:b.left] // what follows the body is the next request's
	}
	if !b.c.sock.Arm(b.c.table.settings.Timeouts.Body) {
		return errTimeout
	}
	start := time.Now()
	n, err := b.c.sock.Read(want)
	for n == 0 && isTimeout(err) && b.goesOn() {
		n, err = b.c.sock.Read(want)
	}
	switch {
	case n == 0 && err == io.EOF:
		return io.ErrUnexpectedEOF
	case n == 0: // one who stopped is not slow: his connection has expired, which whoever answers him must know
		return err
	case !b.pace.moved(n, time.Since(start)):
		return errTooSlow
	}
	b.rest = want[:n]
	b.c.sock.Arm(0)
	return nil
}

// goesOn reports whether a read was only woken by a nudge that was meant for a connection that waits for a request.
func (b *body1) goesOn() bool { return b.c.sock.Calm() && !b.gaveUp.Load() }

func (b *body1) limit(max int64) { b.max = max }

func (b *body1) stop() {
	b.gaveUp.Store(true)
	b.c.sock.Nudge()
}

// last is only known early of a length: behind a chunk there is always another line.
func (b *body1) last() bool { return b.ended || b.left == 0 }

func (b *body1) trailers() []Field { return b.chunks.Trailers }

// done ends the reading: what was read beyond the body goes back to be the next request. A body that was not read to its end
// ends the connection: nobody can tell its rest from a request.
func (b *body1) done(c *conn) {
	if !b.last() {
		c.reply.keep = false
		c.linger = true
	}
	if b.left < 0 && len(b.rest) > 0 {
		k := c.k
		if len(b.rest) > len(k.buf) {
			k.buf = make([]byte, len(b.rest)+bufferSize)
		}
		k.r, k.w = 0, copy(k.buf, b.rest)
	}
	if b.buf != nil {
		c.w.bodies.Put((*[bodySize]byte)(b.buf))
		b.buf = nil
	}
}

// pace is the minimum rate of a body: only the time spent waiting for the client counts, and not the first grace.
type pace struct {
	grace  time.Duration
	rate   int // bytes a second; 0 is off
	waited time.Duration
	bytes  int64
}

func newPace(grace time.Duration, rate int) pace { return pace{grace: grace, rate: rate} }

// moved counts n bytes that took so long to come or go; false if that is too slow on average.
func (p *pace) moved(n int, took time.Duration) bool {
	p.bytes += int64(n)
	p.waited += took
	return p.rate == 0 || p.waited < p.grace || float64(p.bytes) >= float64(p.rate)*p.waited.Seconds()
}
