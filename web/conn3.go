package web

import (
	"net"
	"net/netip"
	"runtime/debug"
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
		ExtendedConnect: true, Stats: &stats.HTTP3, Buffers: c.w.quic.buffers, Workers: c.w.quic.workers,
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

// stream3 is a stream of HTTP/3 and its answer. Those are pooled over all connections.
type stream3 struct {
	stream
	reply answerer3
}

func newStream3() any { return &stream3{stream: newStream()} }

// serveStream serves one request. A mistake of ours must cost one request, not all of the process.
func (c *conn3) serveStream(s *http3.Stream) {
	defer func() {
		if p := recover(); p != nil {
			c.w.log.Error("a stream made skein panic and was reset", "panic", p, "client", c.who.ip, "stack", string(debug.Stack()))
			c.w.stats.Causes[causePanic].Add(1)
			s.Reset(http3.CodeInternal)
		}
	}()
	if c.w.parting(c.who.local) {
		c.h.Shutdown()
	}
	st := c.w.streams3.Get().(*stream3)
	t := c.port.table.Load()
	x := st.begin(t, s, "HTTP/3.0", c.who, &st.reply)
	times := &t.settings.Timeouts
	st.reply = answerer3{s: s, x: x, block: st.reply.block[:0], key: st.key[:], pace: newPace(times.Body, times.MinRate)}
	if times.Ceiling > 0 {
		// The member is given up at the ceiling; the client is told so, which takes a moment more.
		s.SetDeadline(x.line.start.Add(times.Ceiling + time.Second))
	}
	for _, f := range s.Request().Fields {
		if string(f.Name) == "priority" {
			s.Prioritise(priority(f.Value))
		}
	}
	if st.judge(c.w, s) {
		c.w.serve(x)
	}
	st.reply.done()
	s.SetGone(nil)
	st.reply = answerer3{block: st.reply.block}
	if st.forget() {
		c.w.streams3.Put(st)
	}
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
