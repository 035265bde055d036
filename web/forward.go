package web

import (
	"errors"
	"net/http"
	"os"
	"time"

	"skein/config"
	"skein/health"
	"skein/pool"
	"skein/web/http1"
)

// errTimeout is a deadline of ours.
var errTimeout = os.ErrDeadlineExceeded

// Reporter hears how members did; package health judges them by it.
type Reporter interface {
	Success(*pool.Pool, *pool.Member)
	Failure(*pool.Pool, *pool.Member, health.Kind)
	Gateway(*pool.Pool, *pool.Member)
}

// failure is why a try failed before anything was answered.
type failure struct {
	status int
	cause  cause
	again  bool // the request may be sent once more: none of it was sent, or it is idempotent
	free   bool // the retry does not count against the budget: no member did any work
}

// forward gives the exchange to a member of its pool, and to others as long as nobody can notice:
//
//	no connection                     another member, as often as Tries says; costs the members nothing, so it is free
//	an idle connection had gone       the same member again, on a new connection; nobody's fault
//	nothing of the request was sent   another member, if the retry budget allows
//	no byte of an answer came         the same, for idempotent methods whose body is still whole
//	anything later                    never
func (w *Web) forward(x *exchange) {
	p := x.route.pool
	cfg := p.Config()
	p.Count(x.line.start)
	key := x.key(cfg.Policy)
	var prefer *pool.Member
	if cfg.Sticky != nil {
		prefer = x.stuck(p, cfg.Sticky)
	}
	var tried pool.Mask
	var last *failure
	for {
		m, err := w.acquire(x, p, key, prefer, &tried)
		if err != nil {
			w.unserved(x, err, last)
			return
		}
		x.line.member, x.held = m, m
		last = w.try(x, p, m, cfg, prefer)
		x.held = nil
		p.Release(m)
		if last == nil {
			return
		}
		tried.Add(m)
		prefer = nil
		if !last.again || tried.Len() >= cfg.Retry.Tries || x.guard.hasLeft() || !last.free && !p.Retry(time.Now()) {
			w.unserved(x, pool.ErrNone, last)
			return
		}
		x.line.retries++
		m.Stats.Retried.Add(1)
		w.stats.Retries.Add(1)
	}
}

// acquire gets a member and notes how long that took. Only those who have to wait pay for being cancelable.
func (w *Web) acquire(x *exchange, p *pool.Pool, k pool.Key, prefer *pool.Member, tried *pool.Mask) (*pool.Member, error) {
	if p.Config().MaxConns == 0 {
		return p.Acquire(k, prefer, tried, nil)
	}
	start := time.Now()
	x.guard.busy(true)
	m, err := p.Acquire(k, prefer, tried, x.guard.canceled())
	x.guard.busy(false)
	x.line.queued += time.Since(start)
	return m, err
}

// unserved answers an exchange that no member answered.
func (w *Web) unserved(x *exchange, err error, last *failure) {
	status := http.StatusServiceUnavailable
	switch {
	case x.guard.hasLeft() || err == pool.ErrCanceled:
		x.line.cause = causeClientGone
		if w.stopping.Load() {
			x.line.cause = causeShutdown
		}
		x.line.status = 499 // as nginx logs it; nobody is there to read an answer
		x.to.abort()
		return
	case last != nil:
		status, x.line.cause = last.status, last.cause
		if x.resetsCall() {
			x.line.status = status
			x.to.abort()
			return
		}
	case err == pool.ErrQueueFull:
		x.line.cause = causeQueueFull
	case err == pool.ErrQueueTimeout:
		x.line.cause = causeQueueTimeout
	default:
		x.line.cause = causeNoMember
	}
	w.fail(x, status, "")
}

// try sends the exchange to m and relays the answer. It returns nil once anything was answered.
func (w *Web) try(x *exchange, p *pool.Pool, m *pool.Member, cfg *config.Pool, prefer *pool.Member) *failure {
	first, idle := cfg.Timeouts.FirstByte, cfg.Timeouts.Idle
	if t := x.route.cfg.Timeouts; t != nil {
		if t.FirstByte > 0 {
			first = t.FirstByte
		}
		if t.Idle > 0 {
			idle = t.Idle
		}
	}
	k := x.work
	for turn := 0; ; turn++ {
		u, err := w.connect(x, m, turn > 0, cfg.Timeouts.Connect)
		if err != nil && w.stopping.Load() {
			return &failure{cause: causeShutdown}
		} else if errors.Is(err, errBusy) {
			return &failure{http.StatusServiceUnavailable, causeQueueTimeout, true, true} // it works, and as much as it likes to
		} else if err != nil {
			w.health.Failure(p, m, health.ConnectFailed)
			f := &failure{http.StatusBadGateway, causeConnect, true, true}
			if isTimeout(err) {
				f.status = http.StatusGatewayTimeout
			}
			return f
		}
		if x.guard.use(u) || w.stopping.Load() { // what is opened after everything was cut off must not live on
			x.guard.use(nil)
			u.close()
			return &failure{cause: causeClientGone}
		}
		u.bound(x.table.settings.Timeouts.Ceiling, idle)
		x.up, u.body = nil, nil
		if x.body != nil {
			x.up = newUpload(x, u, first, idle)
			u.body = x.up
		}
		u.arm(first)
		k.head = u.wire.request(k.head[:0], x)
		start := time.Now()
		x.guard.busy(true)
		err = u.exchange(x, k.head, k.ans)
		x.line.first = time.Since(start)
		w.judge(u, err)
		if err == nil {
			k.ans = u.buf
			w.relay(x, u, p, m, cfg, idle, prefer, start.Add(x.line.first))
			x.guard.busy(false)
			return nil
		}
		x.guard.busy(false)
		started := x.up != nil && x.up.started
		if started {
			x.up.end()
		}
		x.guard.use(nil)
		u.close()
		if started && x.up.fromClient != nil {
			return w.bodyFailed(x, x.up.fromClient)
		}
		var ce clientError
		switch {
		case x.guard.hasLeft():
			return &failure{cause: causeClientGone} // the end of the connection to the member was our doing
		case errors.As(err, &ce):
			x.guard.left()
			return &failure{cause: causeClientGone}
		case x.late():
			return &failure{status: http.StatusGatewayTimeout, cause: causeCeiling}
		}
		if h, ok := u.wire.(*wireFCGI); ok {
			h.tell(w, x, m)
			if err == errOverloaded { // it has done nothing, and says so
				m.Stats.Errors.Add(1)
				w.health.Gateway(p, m)
				return &failure{status: http.StatusServiceUnavailable, cause: causeOriginBroken, again: !started}
			}
		}
		if started && errors.Is(err, errRefused) && x.up.regain(x) {
			started = false
		}
		again := !started && !u.first && (!u.sent || idempotent(x.method))
		if again && u.reused && !isTimeout(err) && (turn == 0 || turn < maxRefusals && errors.Is(err, errRefused)) {
			continue
		}
		return w.failed(p, m, err, again)
	}
}

// late reports whether the exchange has had all the time that a whole one may take.
func (x *exchange) late() bool {
	c := x.table.settings.Timeouts.Ceiling
	return c > 0 && time.Since(x.line.start) >= c
}

// failed judges a try that got no answer.
func (w *Web) failed(p *pool.Pool, m *pool.Member, err error, again bool) *failure {
	m.Stats.Errors.Add(1)
	if isTimeout(err) {
		w.health.Failure(p, m, health.TimedOut)
		return &failure{status: http.StatusGatewayTimeout, cause: causeOriginTimeout, again: again}
	}
	w.health.Failure(p, m, health.Broken)
	return &failure{status: http.StatusBadGateway, cause: causeOriginBroken, again: again}
}

// bodyFailed says what was wrong with the request's body.
func (w *Web) bodyFailed(x *exchange, err error) *failure {
	var he *http1.Error
	switch {
	case errors.Is(err, errTooLarge):
		return &failure{status: http.StatusRequestEntityTooLarge, cause: causeTooLarge}
	case errors.As(err, &he):
		return &failure{status: he.Status, cause: causeBadRequest}
	case errors.Is(err, errTooSlow):
		return &failure{status: http.StatusRequestTimeout, cause: causeClientSlow}
	case isTimeout(err):
		x.guard.revive(time.Second)
		return &failure{status: http.StatusRequestTimeout, cause: causeClientTimeout}
	}
	x.guard.left()
	return &failure{cause: causeClientGone}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, errTimeout) || errors.As(err, &t) && t.Timeout()
}
