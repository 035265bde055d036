package web

import (
	"errors"
	"io"
	"net/http"
	"time"

	"skein/config"
	"skein/health"
	"skein/internal/sock"
	"skein/pool"
	"skein/web/http1"
)

// spliceFrom is how many bytes of a body must be left for the kernel to move them: below it, copying is cheaper than a pipe.
const spliceFrom = 64 << 10

// errCut is an answer that the member did not finish.
var errCut = errors.New("the member ended the answer too early")

// relay passes the answer in u on to the client, and u back to its list if its framing is provably clean.
func (w *Web) relay(x *exchange, u *upstream, p *pool.Pool, m *pool.Member, cfg *config.Pool, idle time.Duration, prefer *pool.Member, now time.Time) {
	r := &u.resp
	m.Observe(now, x.line.first)
	m.Stats.Seconds.Observe(x.line.first)
	m.Stats.Answers[r.Status/100%6].Add(1)
	if x.up != nil && r.Status >= 200 {
		x.up.proceed()
	}
	err := w.relayAnswer(x, u, cfg, idle, m, prefer)
	clean := err == nil
	if x.up != nil && !x.up.end() {
		clean = false
	}
	x.guard.use(nil)
	m.Stats.Received.Add(uint64(u.received))
	switch {
	case errors.Is(err, errCut):
		m.Stats.Errors.Add(1)
		w.health.Failure(p, m, health.Broken)
	case r.Status == http.StatusBadGateway, r.Status == http.StatusServiceUnavailable, r.Status == http.StatusGatewayTimeout:
		w.health.Gateway(p, m)
	default:
		w.health.Success(p, m)
	}
	if !clean || r.Close || r.Status == http.StatusSwitchingProtocols || r.Body(x.method == http.MethodHead) == http1.UntilClose {
		u.close()
		return
	}
	w.rest(u, cfg.KeepAlive)
}

// relayAnswer sends head and body; errCut if the member did not deliver what its head promised.
func (w *Web) relayAnswer(x *exchange, u *upstream, cfg *config.Pool, idle time.Duration, m, prefer *pool.Member) error {
	r := &u.resp
	hop := &x.work.answered
	if !hop.collect(r.Fields) {
		x.line.cause = causeOriginBroken
		w.fail(x, http.StatusBadGateway, "")
		return errCut
	}
	if r.Status == http.StatusSwitchingProtocols {
		return w.tunnel(x, u, hop)
	}
	body := r.Body(x.method == http.MethodHead)
	a := &x.answer
	*a = answer{
		status: r.Status, reason: r.Reason, fields: r.Fields, length: -1,
		none: body == http1.NoBody, edits: &x.route.response, hops: hop,
	}
	if body != http1.ByChunks && body != http1.UntilClose {
		a.length = r.Length
	}
	if cfg.Sticky != nil && m != prefer {
		a.extra = stickyCookie(cfg.Sticky, m, x.scheme)
	}
	if err := x.to.begin(a); err != nil {
		return w.clientFailed(x, err)
	}
	var err error
	switch body {
	case http1.NoBody:
	case http1.ByLength:
		err = w.relayLength(x, u, r.Length, idle)
	case http1.ByChunks:
		return w.relayChunks(x, u, idle)
	case http1.UntilClose:
		err = w.relayClose(x, u, idle)
	}
	if err != nil {
		return err
	}
	if err := x.to.end(nil); err != nil {
		return w.clientFailed(x, err)
	}
	return nil
}

// clientFailed notes that the client could not be written to.
func (w *Web) clientFailed(x *exchange, err error) error {
	switch {
	case errors.Is(err, sock.ErrSlow):
		x.line.cause = causeClientSlow
	case isTimeout(err):
		x.line.cause = causeClientTimeout
	default:
		x.line.cause = causeClientGone
	}
	x.to.abort()
	return err
}

// cut ends an answer that the member did not finish: the client must see that something is missing.
func (w *Web) cut(x *exchange, err error) error {
	if ce, ok := err.(clientError); ok {
		return w.clientFailed(x, ce.error)
	}
	x.line.cause = causeOriginCut
	switch {
	case x.guard.hasLeft():
		x.line.cause = causeClientGone
		if w.stopping.Load() {
			x.line.cause = causeShutdown
		}
		x.to.abort()
		return err
	case isTimeout(err) && x.late():
		x.line.cause = causeCeiling
		x.to.abort()
		return err
	case isTimeout(err):
		x.line.cause = causeOriginTimeout
	}
	x.to.abort()
	return errCut
}

// relayLength passes on a body of known length. Never more is read than belongs to it.
func (w *Web) relayLength(x *exchange, u *upstream, length int64, idle time.Duration) error {
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
			return w.relaySplice(x, u, to, left, idle)
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
func (w *Web) relaySplice(x *exchange, u *upstream, to *answerer1, left int64, idle time.Duration) error {
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
func (w *Web) relayClose(x *exchange, u *upstream, idle time.Duration) error {
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
func (w *Web) relayChunks(x *exchange, u *upstream, idle time.Duration) error {
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

// more sends the client what there is, since the member may let it wait, and reads at most limit bytes of body from the
// beginning of u's buffer.
func (w *Web) more(x *exchange, u *upstream, limit int64, idle time.Duration) (int, error) {
	if err := x.to.flush(); err != nil {
		return 0, clientError{err}
	}
	if x.up == nil || !x.up.running() {
		u.sock.Arm(idle)
	}
	u.r, u.w = 0, 0
	n, err := u.sock.Read(u.buf[:min(limit, int64(len(u.buf)))])
	u.received += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// clientError is an error of the client's side where both sides can fail.
type clientError struct{ error }
