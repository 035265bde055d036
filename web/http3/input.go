package http3

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// input reads the frames of a request. Bytes r to w of buf are unread.
//
// All waiting is until a moment, never for a time: what is told to wait for a time for each piece waits for ever for one who
// sends a byte now and then.
type input struct {
	q     *quic.Stream
	buf   []byte
	r, w  int
	ended bool // the client's FIN has come: nothing follows behind w

	mu      sync.Mutex // guards stopped, and the deadline of reads against who has set it to end them
	stopped bool
}

// stop ends a read that waits, and those to come.
func (in *input) stop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stopped = true
	_ = in.q.SetReadDeadline(time.Unix(1, 0))
}

func (in *input) arm(by time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.stopped {
		_ = in.q.SetReadDeadline(by)
	}
}

// fill reads more, at most until buf is full, and waits until by; the zero time is for ever.
func (in *input) fill(by time.Time) error {
	if in.ended {
		return io.EOF
	}
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	in.arm(by)
	n, err := in.q.Read(in.buf[in.w:])
	in.w += n
	switch {
	case err == io.EOF:
		in.ended = true
		if n > 0 {
			return nil
		}
	case n > 0:
		return nil
	}
	return err
}

func deadline(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// grow makes room for n unread bytes.
func (in *input) grow(n int) {
	if n <= len(in.buf) {
		return
	}
	b := make([]byte, n)
	in.w = copy(b, in.buf[in.r:in.w])
	in.r, in.buf = 0, b
}

// frame reads the beginning of a frame that is to come; io.EOF if none does.
func (in *input) frame(by time.Time) (typ, length uint64, err error) {
	for {
		p := in.buf[in.r:in.w]
		if typ, n, err := quicvarint.Parse(p); err == nil {
			if length, m, err := quicvarint.Parse(p[n:]); err == nil {
				in.r += n + m
				return typ, length, nil
			}
		}
		if err := in.fill(by); err != nil {
			if err == io.EOF && in.r < in.w {
				return 0, 0, errCut
			}
			return 0, 0, err
		}
	}
}

// maxUnknown is how long a frame may be that means nothing to us. Honest clients send short ones, so that nobody relies on there
// being none (RFC 9114 section 7.2.8); who sends long ones wants us to read for nothing.
const maxUnknown = 4 << 10

// skip leaves out n bytes.
func (in *input) skip(n uint64, by time.Time) error {
	if n > maxUnknown {
		return &ConnError{CodeExcessiveLoad, "a frame of an unknown type is too long"}
	}
	for n > uint64(in.w-in.r) {
		n -= uint64(in.w - in.r)
		in.r, in.w = 0, 0
		if err := in.fill(by); err == io.EOF {
			return errCut
		} else if err != nil {
			return err
		}
	}
	in.r += int(n)
	return nil
}

// whole reads a payload of n bytes, which it returns as a part of buf.
func (in *input) whole(n int, by time.Time) ([]byte, error) {
	in.grow(n)
	for in.w-in.r < n {
		if err := in.fill(by); err == io.EOF {
			return nil, errCut
		} else if err != nil {
			return nil, err
		}
	}
	p := in.buf[in.r : in.r+n]
	in.r += n
	return p, nil
}

// errCut is a stream that ended inside of a frame (RFC 9114 section 7.1).
var errCut = &ConnError{CodeFrame, "a stream ended in the middle of a frame"}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
