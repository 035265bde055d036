package web

import (
	"bytes"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"skein/config"
	"skein/web/http1"
)

// serve answers one exchange, whatever it takes.
func (w *Web) serve(x *exchange) {
	if w.probed(x) {
		return
	}
	w.stats.Requests.Add(1)
	w.stats.InFlight.Add(1)
	defer w.served(x)
	x.line.visitor = x.visitor()
	if w.find(x) {
		w.dispatch(x)
	}
}

// dispatch lets the route's files answer, or its pool.
func (w *Web) dispatch(x *exchange) {
	switch {
	case x.route.files != nil && w.serveFiles(x):
	case x.route.dial.protocol == "fastcgi":
		w.runScript(x)
	case w.gather(x):
		w.forward(x)
	}
}

// served ends an exchange. A mistake of ours must cost the one request that met it, not all the others.
func (w *Web) served(x *exchange) {
	if p := recover(); p != nil {
		w.log.Error("a request made skein panic: its connections are closed", "panic", p, "method", x.method, "path", string(x.path), "stack", string(debug.Stack()))
		w.salvage(x)
	}
	w.finish(x)
	w.stats.InFlight.Add(-1)
}

// salvage gives back what an exchange held when it broke off.
func (w *Web) salvage(x *exchange) {
	x.line.cause = causePanic
	x.guard.busy(false)
	if u := x.guard.take(); u != nil {
		if x.up != nil && x.up.started {
			x.up.wait()
		}
		u.close()
	}
	if m := x.held; m != nil {
		x.held = nil
		x.route.pool.Release(m)
	}
	if x.line.status == 0 {
		w.fail(x, http.StatusInternalServerError, "")
	}
	x.to.abort()
}

// find routes an exchange; false if it was answered instead.
func (w *Web) find(x *exchange) bool {
	if x.method == http.MethodConnect {
		return w.fail(x, http.StatusMethodNotAllowed, "this is not a forward proxy: CONNECT is refused")
	}
	if !x.hops.collect(x.fields) {
		return w.fail(x, http.StatusBadRequest, "Connection names too many fields")
	}
	s := x.table.site(x.authority)
	if x.scheme == "http" && w.proves(x) {
		return false
	}
	if s == nil {
		return w.fail(x, http.StatusMisdirectedRequest, "no site of this name is served here")
	}
	x.site = s
	if x.path[0] == '/' {
		p, err := normalize(x.path)
		if err != nil {
			return w.fail(x, http.StatusBadRequest, err.Error())
		}
		x.path = p
	}
	r, allow := s.route(x.method, x.path)
	if r == nil && len(allow) > 0 {
		x.line.allow = strings.Join(allow, ", ")
		return w.fail(x, http.StatusMethodNotAllowed, "this path does not take that method")
	}
	if r == nil {
		return w.fail(x, http.StatusNotFound, "no route takes this path")
	}
	x.route = r
	if x.upgrade != nil && !slices.Contains(s.cfg.Upgrades, strings.ToLower(string(x.upgrade))) {
		if x.connect {
			return w.fail(x, http.StatusNotImplemented, "this site takes no WebSockets")
		}
		x.upgrade = nil // the request goes on as an ordinary one (RFC 9110 section 7.8)
	}
	if limit := r.cfg.MaxBody; limit > 0 {
		if x.length > limit {
			x.line.cause = causeTooLarge
			return w.fail(x, http.StatusRequestEntityTooLarge, "the body is larger than this site takes")
		}
		if x.body != nil {
			x.body.limit(limit)
		}
	}
	if r.cfg.Redirect != nil {
		w.redirect(x, r.cfg.Redirect)
		return false
	}
	return true
}

// challengePath is where a CA looks for the proof that a name is ours (RFC 8555 section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// proves answers a CA's HTTP-01 challenge. Challenges of others, such as a certbot behind us, go their way.
func (w *Web) proves(x *exchange) bool {
	if w.prove == nil || x.method != http.MethodGet || !bytes.HasPrefix(x.path, []byte(challengePath)) {
		return false
	}
	answer, ok := w.prove(strings.ToLower(string(hostOf(x.authority))), string(x.path))
	if !ok {
		return false
	}
	x.line.cause = causeLocal
	w.local(x, http.StatusOK, answer, Field{Name: []byte("Content-Type"), Value: []byte("text/plain; charset=utf-8"), ID: http1.ContentType})
	return true
}

// redirect answers without a member. Every byte that comes from the request was checked by the parser: no line end can be
// among them.
func (w *Web) redirect(x *exchange, r *config.Redirect) {
	uri := string(x.path)
	if x.query != nil {
		uri += "?" + string(x.query)
	}
	to := strings.NewReplacer(
		"{scheme}", x.scheme, "{host}", string(hostOf(x.authority)), "{path}", string(x.path),
		"{query}", string(x.query), "{uri}", uri,
	).Replace(r.To)
	if strings.HasPrefix(to, "//") && !strings.HasPrefix(r.To, "//") {
		to = "/" + strings.TrimLeft(to, "/") // a path of two slashes would name another host
	}
	x.line.cause = causeLocal
	w.local(x, r.Status, nil, Field{Name: []byte("Location"), Value: []byte(to), ID: http1.Location})
}

// fail answers with an error of our own, with the site's page for it if there is one. It returns false for the convenience
// of its callers.
func (w *Web) fail(x *exchange, status int, detail string) bool {
	if x.line.cause == causeDone {
		x.line.cause = causeLocal
		if status == http.StatusBadRequest {
			x.line.cause = causeBadRequest
		}
	}
	text := http.StatusText(status)
	if text == "" {
		text = "Error"
	}
	if status < 500 && detail != "" { // what goes on behind us is nobody's business
		text += ": " + detail
	}
	body, kind := []byte(text+"\n"), "text/plain; charset=utf-8"
	if x.site != nil {
		if p, ok := x.site.cfg.Errors[status]; ok {
			body, kind = p.Body, p.Type
		}
	}
	w.local(x, status, body, Field{Name: []byte("Content-Type"), Value: []byte(kind), ID: http1.ContentType})
	return false
}

// local sends an answer of our own.
func (w *Web) local(x *exchange, status int, body []byte, fields ...Field) {
	a := &answer{status: status, length: int64(len(body)), none: x.method == http.MethodHead, fields: fields}
	// We are the origin of this answer, and have a clock (RFC 9110 section 6.6.1).
	a.extra = appendField(a.extra, "Date", time.Now().UTC().Format(http.TimeFormat))
	if x.line.allow != "" {
		a.extra = appendField(a.extra, "Allow", x.line.allow)
	}
	switch {
	case x.route != nil:
		a.edits = &x.route.response
	case x.site != nil:
		a.edits = &x.site.always
	}
	w.compress(x, a)
	if err := x.to.begin(a); err == nil && !a.none {
		_ = x.to.write(body)
	}
	if err := x.to.end(nil); err != nil && x.line.cause == causeDone {
		x.line.cause = causeClientGone
	}
}
