package web

import (
	"bytes"
	"errors"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"skein/web/http1"
	"skein/web/http2"
)

// preface is what an HTTP/2 client begins with (RFC 9113 section 3.4). No HTTP/1 request begins so.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// stream is what a request over HTTP/2 needs while it is served. Streams are pooled over all connections.
type stream struct {
	c      *conn
	s      *http2.Stream
	k      work
	who    client
	reply  answerer2
	body   body2
	fields []Field
	key    [24]byte // Sec-WebSocket-Key of an extended CONNECT
}

func newStream() any {
	return &stream{k: work{ans: make([]byte, bufferSize), head: make([]byte, 0, 2048)}}
}

// prefixed is a connection whose first bytes somebody has read already.
type prefixed struct {
	http2.Transport
	first []byte
}

func (r *prefixed) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Transport.Read(p)
}

// serveStreams serves the connection as HTTP/2 from here on; first was received already.
func (c *conn) serveStreams(first []byte) {
	t := c.port.table.Load()
	s := t.settings
	c.sock.Ceiling(0)
	c.sock.Progress(s.Timeouts.Body, 0) // the minimum rate is held against streams, not against a connection that they share
	var to http2.Transport = c.sock
	if len(first) > 0 {
		to = &prefixed{c.sock, bytes.Clone(first)}
	}
	h := http2.NewConn(to, &http2.Config{
		MaxStreams: s.Limits.Streams, MaxHeader: s.Limits.Header, MaxFields: s.Limits.Fields, Glitches: s.Limits.Glitches,
		Idle: s.Timeouts.Idle, Header: s.Timeouts.Header, Stall: s.Timeouts.Body,
		ExtendedConnect: true, Stats: &c.w.stats.HTTP2, Workers: c.w.workers,
	}, c.serveStream)
	c.active.Store(true) // no nudges: the drain speaks to it in its own way
	c.streams.Store(h)
	if c.leaving() { // nobody saw it before
		h.Shutdown()
	}
	err := h.Serve()
	var ce *http2.ConnError
	if errors.As(err, &ce) {
		c.w.log.Debug("HTTP/2 connection was closed", "client", c.who.ip, "listen", c.port.address, "error", err)
		c.linger = true // so that the client can read why
	}
}

// serveStream serves one request.
func (c *conn) serveStream(s *http2.Stream) {
	st := c.w.streams.Get().(*stream)
	st.c, st.s, st.who = c, s, c.who
	defer func() {
		if p := recover(); p != nil { // what serve itself does not catch; st is not used again
			c.w.log.Error("a request made skein panic: its stream is reset", "panic", p, "client", c.who.ip, "stack", string(debug.Stack()))
			c.w.stats.Causes[causePanic].Add(1)
			s.Reset(http2.CodeInternal)
		}
	}()
	st.serve()
	k := &st.k
	k.x = exchange{}
	st.c, st.s, st.body.s = nil, nil, nil
	clear(st.fields)
	st.fields = st.fields[:0]
	if len(k.ans) == bufferSize {
		c.w.streams.Put(st)
	}
}

func (st *stream) serve() {
	c, s, k := st.c, st.s, &st.k
	t := c.port.table.Load()
	st.who.trusted = len(t.trusted) > 0 && t.trusts(st.who.addr)
	r := s.Request()
	x := &k.x
	*x = exchange{
		method: r.Method, scheme: st.who.scheme(), authority: r.Authority, path: r.Path, length: r.Length,
		proto: "HTTP/2.0", to: &st.reply, client: &st.who, guard: &guard{}, work: k, table: t, hops: &k.asked,
	}
	x.line.start = time.Now()
	x.line.visitor = st.who.addr
	st.reply = answerer2{s: s, x: x, block: st.reply.block[:0]}
	s.SetGone(x.guard.left)
	if !st.take(r.Fields) {
		x.line.cause = causeBadRequest
		c.w.fail(x, http.StatusExpectationFailed, "only 100-continue can be expected")
		c.w.finish(x)
		return
	}
	x.fields = st.fields
	if !http1.ValidHost(x.authority) {
		c.w.fail(x, http.StatusBadRequest, "the authority is not a host with an optional port")
		c.w.finish(x)
		return
	}
	if r.Path != nil {
		if status, why := x.target(r.Path); status != 0 {
			c.w.fail(x, status, why)
			c.w.finish(x)
			return
		}
	}
	if r.Protocol != "" && !st.connects(r) {
		c.w.fail(x, http.StatusNotImplemented, "only WebSockets are opened by CONNECT")
		c.w.finish(x)
		return
	}
	if x.length != 0 && x.upgrade == nil {
		st.body = body2{s: s, x: x, pace: newPace(t.settings.Timeouts.Body, t.settings.Timeouts.MinRate)}
		s.NextTimeout(t.settings.Timeouts.Body)
		x.body = &st.body
	}
	c.w.serve(x)
	st.reply.done()
}

// take makes an exchange's fields of a stream's; false if the client expects what nobody can do.
func (st *stream) take(fields []http2.Field) bool {
	x := &st.k.x
	for _, f := range fields {
		id := http1.Lookup(f.Name)
		switch id {
		case http1.TE:
			x.trailers = true // nothing else is allowed (RFC 9113 section 8.2.2)
		case http1.Expect:
			if !strings.EqualFold(string(f.Value), "100-continue") {
				return false
			}
			x.expect = x.length != 0
		}
		st.fields = append(st.fields, Field{Name: f.Name, Value: f.Value, ID: id})
	}
	return true
}

// connects makes of an extended CONNECT the upgrade that members understand (RFC 8441 section 5).
func (st *stream) connects(r *http2.Request) bool {
	x := &st.k.x
	if r.Protocol != "websocket" {
		return false
	}
	x.method, x.length = http.MethodGet, 0
	x.connect, x.upgrade = true, []byte(r.Protocol)
	st.reply.key = webSocketKey(&st.key)
	st.fields = append(st.fields, Field{Name: []byte("Sec-WebSocket-Key"), Value: st.reply.key})
	x.fields = st.fields
	return true
}

// body2 reads the body of a request over HTTP/2.
type body2 struct {
	s     *http2.Stream
	x     *exchange
	max   int64
	total int64
	pace  pace
}

func (b *body2) next() ([]byte, error) {
	start := time.Now()
	p, err := b.s.Next()
	if err != nil {
		return nil, err
	}
	if !b.pace.moved(len(p), time.Since(start)) {
		return nil, errTooSlow
	}
	b.total += int64(len(p))
	b.x.line.received = b.total
	if b.max > 0 && b.total > b.max {
		return nil, errTooLarge
	}
	return p, nil
}

func (b *body2) last() bool      { return b.s.Last() }
func (b *body2) stop()           { b.s.StopReading() }
func (b *body2) limit(max int64) { b.max = max }

func (b *body2) trailers() []Field {
	var out []Field
	for _, f := range b.s.Trailers() {
		out = append(out, Field{Name: f.Name, Value: f.Value, ID: http1.Lookup(f.Name)})
	}
	return out
}
