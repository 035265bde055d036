package web

import (
	"io"
	"net/http"
	"time"

	"skein/internal/sock"
	"skein/web/http1"
)

// spliceFrom is how many bytes of a body must be left for the kernel to move them: below it, copying is cheaper than a pipe.
const spliceFrom = 64 << 10

// wire1 is HTTP/1.1. All its state is the upstream's.
type wire1 struct{}

func (wire1) request(b []byte, x *exchange) []byte { return append(x.appendRequest(b), x.small...) }

func (wire1) piece(scratch *[]byte, data []byte, x *exchange) []byte {
	if x.length >= 0 {
		return data
	}
	b := http1.AppendChunkSize((*scratch)[:0], int64(len(data)))
	b = append(b, data...)
	*scratch = append(b, '\r', '\n')
	return *scratch
}

func (wire1) last(scratch *[]byte, x *exchange) []byte {
	if x.length >= 0 {
		return nil
	}
	*scratch = http1.AppendLastChunk((*scratch)[:0], x.body.trailers())
	return *scratch
}

func (wire1) head(u *upstream) (done bool, err error) {
	for u.r < u.w {
		n, err := u.resp.Parse(u.buf[u.r:u.w], http1.Limits{Fields: maxAnswerFields})
		if err != nil || n == 0 {
			return false, err
		}
		u.r += n
		if u.resp.Status >= 200 || u.resp.Status == 101 {
			return true, nil
		}
		if err := u.x.interim(&u.resp); err != nil {
			return false, clientError{err}
		}
		u.resp.Reset()
	}
	return false, nil
}

func (wire1) framing(u *upstream, asked string) (length int64, none bool) {
	switch u.resp.Body(asked == http.MethodHead) {
	case http1.NoBody:
		return u.resp.Length, true
	case http1.ByLength:
		return u.resp.Length, false
	}
	return -1, false
}

func (wire1) clean(u *upstream, asked string) bool {
	return !u.resp.Close && u.resp.Body(asked == http.MethodHead) != http1.UntilClose
}

func (h wire1) relay(w *Web, x *exchange, u *upstream, idle time.Duration) error {
	var err error
	switch u.resp.Body(x.method == http.MethodHead) {
	case http1.NoBody:
	case http1.ByLength:
		err = h.relayLength(w, x, u, u.resp.Length, idle)
	case http1.ByChunks:
		return h.relayChunks(w, x, u, idle)
	case http1.UntilClose:
		err = h.relayClose(w, x, u, idle)
	}
	if err != nil {
		return err
	}
	if err := x.to.end(nil); err != nil {
		return w.clientFailed(x, err)
	}
	return nil
}

// relayLength passes on a body of known length. Never more is read than belongs to it.
func (h wire1) relayLength(w *Web, x *exchange, u *upstream, length int64, idle time.Duration) error {
	have := min(length, int64(u.w-u.r))
	if err := x.to.write(u.buf[u.r : u.r+int(have)]); err != nil {
		return w.clientFailed(x, err)
	}
	u.r += int(have)
	u.received += have
	left := length - have
	if left > 0 && u.r < u.w {
		return w.cut(x, errCut) // cannot be: have would be more
	}
	if left >= spliceFrom {
		if to, ok := x.to.(*answerer1); ok && sock.CanSplice(to.c.sock, u.sock) {
			return h.relaySplice(w, x, u, to, left, idle)
		}
	}
	for left > 0 {
		n, err := w.more(x, u, left, idle)
		if err != nil {
			return w.cut(x, err)
		}
		left -= int64(n)
		if err := x.to.write(u.buf[:n]); err != nil {
			return w.clientFailed(x, err)
		}
	}
	return nil
}

// relaySplice lets the kernel move the rest of a body.
func (wire1) relaySplice(w *Web, x *exchange, u *upstream, to *answerer1, left int64, idle time.Duration) error {
	if err := to.flush(); err != nil {
		return w.clientFailed(x, err)
	}
	sent := x.line.sent
	n, from, err := sock.Splice(to.c.sock, u.sock, left, idle, func(n int64) bool {
		x.line.sent = sent + n
		return to.fastEnough()
	})
	u.received += n
	x.line.sent = sent + n
	to.left -= n
	switch {
	case err == nil:
		return nil
	case from:
		return w.cut(x, err)
	}
	to.failed, to.keep = true, false
	return w.clientFailed(x, err)
}

// relayClose passes on everything until the member closes.
func (wire1) relayClose(w *Web, x *exchange, u *upstream, idle time.Duration) error {
	if err := x.to.write(u.buf[u.r:u.w]); err != nil {
		return w.clientFailed(x, err)
	}
	u.received += int64(u.w - u.r)
	u.r = u.w
	for {
		n, err := w.more(x, u, int64(len(u.buf)), idle)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return w.cut(x, err)
		}
		if err := x.to.write(u.buf[:n]); err != nil {
			return w.clientFailed(x, err)
		}
	}
}

// relayChunks passes on a chunked body, in chunks of our own making, and its trailers.
func (wire1) relayChunks(w *Web, x *exchange, u *upstream, idle time.Duration) error {
	c := &x.work.chunks
	c.Reset()
	c.Origin = true
	for {
		for u.r < u.w {
			p, n, done, err := c.Next(u.buf[u.r:u.w])
			u.r += n
			if err != nil {
				return w.cut(x, err)
			}
			u.received += int64(len(p))
			if err := x.to.write(p); err != nil {
				return w.clientFailed(x, err)
			}
			if done {
				if err := x.to.end(c.Trailers); err != nil {
					return w.clientFailed(x, err)
				}
				return nil
			}
		}
		n, err := w.more(x, u, int64(len(u.buf)), idle)
		if err != nil {
			return w.cut(x, err)
		}
		u.r, u.w = 0, n
		u.received -= int64(n) // data is counted as it is found
	}
}
