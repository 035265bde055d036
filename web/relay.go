package web

import (
	"errors"
	"net/http"
	"time"

	"skein/config"
	"skein/health"
	"skein/internal/sock"
	"skein/pool"
)

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
	if !clean || r.Status == http.StatusSwitchingProtocols || !u.wire.clean(u, x.method) {
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
	if x.connect && r.Status/100 == 2 {
		x.line.cause = causeOriginBroken
		w.fail(x, http.StatusBadGateway, "")
		return errCut
	}
	a := &x.answer
	*a = answer{status: r.Status, reason: r.Reason, fields: r.Fields, edits: &x.route.response, hops: hop}
	a.length, a.none = u.wire.framing(u, x.method)
	if cfg.Sticky != nil && m != prefer {
		a.extra = stickyCookie(cfg.Sticky, m, x.scheme)
	}
	w.compress(x, a)
	if err := x.to.begin(a); err != nil {
		return w.clientFailed(x, err)
	}
	return u.wire.relay(w, x, u, idle)
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

// more sends the client what there is, since the member may let it wait, and reads at most limit bytes of body from the
// beginning of u's buffer.
func (w *Web) more(x *exchange, u *upstream, limit int64, idle time.Duration) (int, error) {
	// An encoder that has to hand out what it has compresses worse, and many small writes cost more than one: so it need not if
	// the member does not let the client wait. Over TLS what is there may be no data, and the read may wait.
	if _, ok := x.to.(*compressed); !ok || u.sock.Waits() || u.sock.Quiet() {
		if err := x.to.flush(); err != nil {
			return 0, clientError{err}
		}
	}
	if x.up == nil || !x.up.running() {
		u.arm(idle)
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
