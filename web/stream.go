package web

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"skein/web/http1"
	"skein/web/message"
)

// carrier is a stream of a connection that many requests share, in HTTP/2 or in HTTP/3: a request and the reading of its body.
type carrier interface {
	Request() *message.Request
	SetGone(func())
	Next() ([]byte, error)
	NextTimeout(time.Duration)
	Last() bool
	Trailers() []message.Field
	StopReading()
}

// stream is what a request on a carrier needs while it is served.
type stream struct {
	k      work
	who    client
	body   bodyStream
	fields []Field
	key    [24]byte // Sec-WebSocket-Key that we make for an extended CONNECT
}

func newStream() stream {
	return stream{k: work{ans: make([]byte, bufferSize), head: make([]byte, 0, 2048)}}
}

// begin makes the exchange of a request that has come.
func (st *stream) begin(t *table, s carrier, proto string, who client, to answerer) *exchange {
	st.who = who
	st.who.trusted = len(t.trusted) > 0 && t.trusts(st.who.addr)
	r, x := s.Request(), &st.k.x
	*x = exchange{
		method: r.Method, scheme: st.who.scheme(), authority: r.Authority, path: r.Path, length: r.Length, small: r.Small,
		proto: proto, to: to, client: &st.who, guard: &guard{}, work: &st.k, table: t, hops: &st.k.asked,
	}
	x.line.start = time.Now()
	x.line.visitor = st.who.addr
	x.line.received = int64(len(r.Small))
	s.SetGone(x.guard.left)
	return x
}

// judge completes the exchange with all that may be wrong with it. It answers what cannot be served itself, and returns false
// then.
func (st *stream) judge(w *Web, s carrier) bool {
	r, x := s.Request(), &st.k.x
	refuse := func(status int, why string) bool {
		x.line.cause = causeBadRequest
		w.fail(x, status, why)
		w.finish(x)
		return false
	}
	expected := st.take(r.Fields)
	x.fields = st.fields
	if !expected {
		return refuse(http.StatusExpectationFailed, "only 100-continue can be expected")
	}
	if !http1.ValidHost(x.authority) {
		return refuse(http.StatusBadRequest, "the authority is not a host with an optional port")
	}
	if r.Path != nil {
		if status, why := x.target(r.Path); status != 0 {
			return refuse(status, why)
		}
	}
	if r.Protocol != "" && !st.connects(r) {
		return refuse(http.StatusNotImplemented, "only WebSockets are opened by CONNECT")
	}
	if x.length != 0 && x.small == nil && x.upgrade == nil {
		t := &x.table.settings.Timeouts
		st.body = bodyStream{s: s, x: x, pace: newPace(t.Body, t.MinRate)}
		s.NextTimeout(t.Body)
		x.body = &st.body
	}
	return true
}

// take makes an exchange's fields of a stream's; false if the client expects what nobody can do.
func (st *stream) take(fields []message.Field) bool {
	x := &st.k.x
	for _, f := range fields {
		id := http1.Lookup(f.Name)
		switch id {
		case http1.TE:
			x.trailers = true // nothing else is allowed (RFC 9113 section 8.2.2, RFC 9114 section 4.2)
		case http1.Expect:
			if !strings.EqualFold(string(f.Value), "100-continue") {
				return false
			}
			x.expect = x.length != 0 && x.small == nil
		}
		st.fields = append(st.fields, Field{Name: f.Name, Value: f.Value, ID: id, Underscore: bytes.IndexByte(f.Name, '_') >= 0})
	}
	return true
}

// connects makes of an extended CONNECT the upgrade that members understand (RFC 8441 section 5, RFC 9220).
func (st *stream) connects(r *message.Request) bool {
	x := &st.k.x
	if r.Protocol != "websocket" {
		return false
	}
	x.method, x.length = http.MethodGet, 0
	x.connect, x.upgrade = true, []byte(r.Protocol)
	st.fields = append(st.fields, Field{Name: []byte("Sec-WebSocket-Key"), Value: webSocketKey(&st.key)})
	x.fields = st.fields
	return true
}

// forget lets go of the request, and reports whether the stream may serve another one.
func (st *stream) forget() bool {
	st.k.x = exchange{}
	st.body = bodyStream{}
	clear(st.fields)
	st.fields = st.fields[:0]
	return len(st.k.ans) == bufferSize
}

// bodyStream reads the body of a request on a carrier.
type bodyStream struct {
	s     carrier
	x     *exchange
	max   int64
	total int64
	pace  pace
}

func (b *bodyStream) next() ([]byte, error) {
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

func (b *bodyStream) last() bool      { return b.s.Last() }
func (b *bodyStream) stop()           { b.s.StopReading() }
func (b *bodyStream) limit(max int64) { b.max = max }

func (b *bodyStream) trailers() []Field {
	var out []Field
	for _, f := range b.s.Trailers() {
		out = append(out, Field{Name: f.Name, Value: f.Value, ID: http1.Lookup(f.Name)})
	}
	return out
}

// The encodings of HTTP/2 and HTTP/3 differ in how they write a status and a field, and in nothing else that a head needs.
type (
	statusAppender func(b []byte, status int) []byte
	fieldAppender  func(b, name, value []byte) []byte
)

var nameContentLength = []byte("content-length")

// appendHead writes the head of an answer.
func appendHead(b []byte, h *answer, status statusAppender, add fieldAppender) []byte {
	b = appendBlock(status(b, h.status), h, add)
	if h.length >= 0 && h.status >= 200 && h.status != http.StatusNoContent {
		var room [20]byte
		b = add(b, nameContentLength, strconv.AppendInt(room[:0], h.length, 10))
	}
	return b
}

// interimHead is the head of a 1xx answer; nil if it goes no further: neither version knows 101 (RFC 9113 section 8.6, RFC 9114
// section 4.5). The upload may send one beside the answer, so that the bytes are its own.
func interimHead(code int, fields []Field, status statusAppender, add fieldAppender) []byte {
	var h hops
	if code == http.StatusSwitchingProtocols || !h.collect(fields) {
		return nil
	}
	return appendBlock(status(nil, code), &answer{fields: fields, hops: &h}, add)
}

// appendBlock writes the fields of an answer's head as appendAnswer does for HTTP/1.
func appendBlock(b []byte, h *answer, add fieldAppender) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; h.passes(f) {
			b = add(b, f.Name, f.Value)
		}
	}
	if h.edits != nil {
		b = appendLines(b, h.edits.append, add)
	}
	return appendLines(b, h.extra, add)
}

// appendLines writes complete lines of ours, which are kept as HTTP/1 has them, as fields.
func appendLines(b, lines []byte, add fieldAppender) []byte {
	for name, value := range http1.Lines(lines) {
		b = add(b, name, value)
	}
	return b
}
