package web

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/quic-go/quic-go"

	"skein/web/http1"
	"skein/web/http3"
)

// conn3 is one QUIC connection of a client.
type conn3 struct {
	w     *Web
	quic  *port3
	port  *port
	q     *quic.Conn
	h     *http3.Conn
	who   client
	place place
}

// prepare makes the protocol's half of the connection.
func (c *conn3) prepare() {
	s := c.port.table.Load().settings
	state := c.q.ConnectionState().TLS
	c.who.secure = true
	c.who.local = &local{find: func() netip.AddrPort {
		a, _ := c.q.LocalAddr().(*net.UDPAddr)
		if a == nil || a.IP.IsUnspecified() { // the socket is every address's
			return netip.AddrPort{}
		}
		return a.AddrPort()
	}}
	c.who.identity = identity(state.PeerCertificates)
	stats := &c.w.stats
	stats.Handshakes.Add(1)
	if state.DidResume {
		stats.Resumed.Add(1)
	}
	c.h = http3.NewConn(c.q, &http3.Config{
		MaxHeader: s.Limits.Header, MaxFields: s.Limits.Fields, Glitches: s.Limits.Glitches,
		Idle: s.Timeouts.Idle, Header: s.Timeouts.Header, Body: s.Timeouts.Body,
		ExtendedConnect: true, Stats: &stats.HTTP3, Buffers: c.w.quic.buffers,
	}, c.serveStream)
}

// serve works until the connection ends.
func (c *conn3) serve() {
	w := c.w
	if w.draining.Load() || c.port.retired.Load() { // nobody saw it before
		c.h.Shutdown()
	}
	if w.stopping.Load() {
		c.h.Abort()
	}
	if err := c.h.Serve(); err != nil {
		w.log.Debug("HTTP/3 connection was closed", "client", c.who.ip, "listen", c.port.address, "error", err)
	}
	w.quic.mu.Lock()
	delete(w.quic.conns, c)
	w.quic.mu.Unlock()
	c.port.leave(&c.place)
	w.stats.Connections.Add(-1)
	w.stats.QUICConnections.Add(-1)
	w.leave3(c.quic)
	w.conns.Done()
}

// stream3 is what a request over HTTP/3 needs while it is served. Streams are pooled over all connections.
type stream3 struct {
	c      *conn3
	s      *http3.Stream
	k      work
	who    client
	reply  answerer3
	body   body3
	fields []Field
	key    [24]byte // Sec-WebSocket-Key of an extended CONNECT
}

func newStream3() any {
	return &stream3{k: work{ans: make([]byte, bufferSize), head: make([]byte, 0, 2048)}}
}

// serveStream serves one request. A mistake of ours must cost one request, not all of the process.
func (c *conn3) serveStream(s *http3.Stream) {
	defer func() {
		if p := recover(); p != nil {
			c.w.log.Error("a stream made skein panic and was reset", "panic", p, "client", c.who.ip, "stack", string(debug.Stack()))
			c.w.stats.Causes[causePanic].Add(1)
			s.Reset(http3.CodeInternal)
		}
	}()
	st := c.w.streams3.Get().(*stream3)
	st.c, st.s, st.who = c, s, c.who
	st.serve()
	s.SetGone(nil)
	k := &st.k
	k.x = exchange{}
	st.c, st.s, st.body = nil, nil, body3{}
	clear(st.fields)
	st.fields = st.fields[:0]
	if len(k.ans) == bufferSize {
		c.w.streams3.Put(st)
	}
}

func (st *stream3) serve() {
	c, s, k := st.c, st.s, &st.k
	t := c.port.table.Load()
	settings := t.settings
	st.who.trusted = len(t.trusted) > 0 && t.trusts(st.who.addr)
	r := s.Request()
	x := &k.x
	*x = exchange{
		method: r.Method, scheme: st.who.scheme(), authority: r.Authority, path: r.Path, length: r.Length, small: r.Small,
		proto: "HTTP/3.0", to: &st.reply, client: &st.who, guard: &guard{}, work: k, table: t, hops: &k.asked,
	}
	x.line.start = time.Now()
	x.line.visitor = st.who.addr
	x.line.received = int64(len(r.Small))
	st.reply = answerer3{s: s, x: x, block: st.reply.block[:0], pace: newPace(settings.Timeouts.Body, settings.Timeouts.MinRate)}
	if ceiling := settings.Timeouts.Ceiling; ceiling > 0 {
		s.SetDeadline(x.line.start.Add(ceiling))
	}
	s.SetGone(x.guard.left)
	defer st.reply.done()
	expected := st.take(r.Fields)
	x.fields = st.fields
	if !expected {
		c.refuse(x, http.StatusExpectationFailed, "only 100-continue can be expected")
		return
	}
	if !http1.ValidHost(x.authority) {
		c.refuse(x, http.StatusBadRequest, "the authority is not a host with an optional port")
		return
	}
	if r.Path != nil {
		if status, why := x.target(r.Path); status != 0 {
			c.refuse(x, status, why)
			return
		}
	}
	if r.Protocol != "" && !st.connects(r) {
		c.refuse(x, http.StatusNotImplemented, "only WebSockets are opened by CONNECT")
		return
	}
	if x.length != 0 && x.small == nil && x.upgrade == nil {
		st.body = body3{s: s, x: x, pace: newPace(settings.Timeouts.Body, settings.Timeouts.MinRate)}
		s.NextTimeout(settings.Timeouts.Body)
		x.body = &st.body
	}
	c.w.serve(x)
}

// refuse answers a request that cannot be one.
func (c *conn3) refuse(x *exchange, status int, why string) {
	x.line.cause = causeBadRequest
	c.w.fail(x, status, why)
	c.w.finish(x)
}

// take makes an exchange's fields of a stream's; false if the client expects what nobody can do.
func (st *stream3) take(fields []http3.Field) bool {
	x := &st.k.x
	for _, f := range fields {
		id := http1.Lookup(f.Name)
		switch id {
		case http1.TE:
			x.trailers = true // nothing else is allowed (RFC 9114 section 4.2)
		case http1.Expect:
			if !strings.EqualFold(string(f.Value), "100-continue") {
				return false
			}
			x.expect = x.length != 0 && x.small == nil
		case http1.Other:
			if string(f.Name) == "priority" {
				st.s.Prioritise(priority(f.Value))
			}
		}
		st.fields = append(st.fields, Field{Name: f.Name, Value: f.Value, ID: id, Underscore: bytes.IndexByte(f.Name, '_') >= 0})
	}
	return true
}

// priority reads the field of RFC 9218: u=0 (most urgent) to u=7, and i if the answer is of use in parts. What cannot be read
// says nothing.
func priority(v []byte) (urgency int8, incremental bool) {
	urgency = 3
	for t := range http1.Tokens(v) {
		switch {
		case len(t) == 3 && t[0] == 'u' && t[1] == '=' && '0' <= t[2] && t[2] <= '7':
			urgency = int8(t[2] - '0')
		case string(t) == "i", string(t) == "i=?1":
			incremental = true
		}
	}
	return urgency, incremental
}

// connects makes of an extended CONNECT the upgrade that members understand (RFC 9220, RFC 8441 section 5).
func (st *stream3) connects(r *http3.Request) bool {
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
