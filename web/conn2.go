package web

import (
	"bytes"
	"errors"
	"runtime/debug"

	"skein/web/http2"
)

// preface is what an HTTP/2 client begins with (RFC 9113 section 3.4). No HTTP/1 request begins so.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// stream2 is a stream of HTTP/2 and its answer. Those are pooled over all connections.
type stream2 struct {
	stream
	reply answerer2
}

func newStream2() any { return &stream2{stream: newStream()} }

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
	// Whoever waits for the socket, the streams together are what the client takes too slowly. Those that wait for windows instead
	// are http2's business.
	c.sock.Progress(s.Timeouts.Body, s.Timeouts.MinRate)
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
	if c.w.parting(&c.local) { // one that came while its address was leaving: this request is its last
		c.streams.Load().Shutdown()
	}
	st := c.w.streams.Get().(*stream2)
	defer func() {
		if p := recover(); p != nil { // what serve itself does not catch; st is not used again
			c.w.log.Error("a request made skein panic: its stream is reset", "panic", p, "client", c.who.ip, "stack", string(debug.Stack()))
			c.w.stats.Causes[causePanic].Add(1)
			s.Reset(http2.CodeInternal)
		}
	}()
	x := st.begin(c.port.table.Load(), s, "HTTP/2.0", c.who, &st.reply)
	st.reply = answerer2{s: s, x: x, block: st.reply.block[:0], key: st.key[:]}
	if st.judge(c.w, s) {
		c.w.serve(x)
		st.reply.done()
	}
	st.reply = answerer2{block: st.reply.block}
	if st.forget() {
		c.w.streams.Put(st)
	}
}
