package web

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"skein/internal/sock"
	"skein/web/http1"
	"skein/web/http2"
)

// bufferSize is what a head is received into; it is also the usual bound of a head. An idle connection has no buffer.
const bufferSize = 16 << 10

// conn is one client connection speaking HTTP/1, with one goroutine.
//
// Its life is one loop inside [sock.Conn.Loop]: receive, parse, serve, answer, wait. Requests whose body is not in the buffer
// yet, and those that ask for an upgrade, need ordinary reads: for them the loop is left and entered again after.
type conn struct {
	w     *Web
	port  *port
	sock  *sock.Conn
	who   client
	step  func() bool
	k     *work // nil while idle
	reply answerer1
	err   error // why ready left the loop; nil to serve outside of it, or to end
	table *table
	begun bool // bytes of a request were received: it has its header time-out

	protocol string // that was agreed on before the first request
	stays    bool   // meet has gone well

	prior   bool                       // an HTTP/2 client that knows it need not ask (RFC 9113 section 3.3)
	served  atomic.Bool                // a request was served
	streams atomic.Pointer[http2.Conn] // nil as long as the connection is not HTTP/2

	outside bool // the request in k waits to be served outside the loop
	linger  bool // the client may still be sending: close so that it can read the answer first

	active atomic.Bool // a request is being served; read by the drain
	guard  guard
	local  local

	since    time.Duration // when it was accepted, in the timer's time
	unwanted atomic.Bool   // CloseIdle has met it

	era     atomic.Int64 // of the port, when the connection was accepted
	proxied bool         // its first bytes say for whom it is
	place   place
	first   [1]byte
}

// work is what a connection needs only while it works; idle connections share it.
type work struct {
	buf  []byte // bytes r to w are unread
	r, w int
	req  http1.Request
	x    exchange
	head []byte // of the request to the member
	ans  []byte // buffer of the answer
	out  []byte // what goes to the client

	asked, answered hops         // of the request and of the answer
	chunks          http1.Chunks // of the answer's body
}

func newWork() any {
	return &work{buf: make([]byte, bufferSize), ans: make([]byte, bufferSize), head: make([]byte, 0, 2048)}
}

// meet does what comes before the first request. It returns false if the connection has ended.
func (c *conn) meet() bool {
	defer c.end()
	c.sock.Gone = c.guard.left
	c.protocol, c.stays = c.open()
	return c.stays
}

// serve works until the connection ends.
func (c *conn) serve() {
	c.stays = false
	defer c.end()
	if c.protocol == "h2" {
		c.serveStreams(nil)
		return
	}
	c.step = c.ready
	c.sock.Arm(c.port.table.Load().settings.Timeouts.Header)
	for {
		err := c.sock.Loop(c.step)
		if err == nil {
			err, c.err = c.err, nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if c.nudged() {
				continue
			}
			c.timedOut()
			return
		case err != nil:
			return
		case c.prior:
			// The time for a head of HTTP/1 is over; left armed, it would cut every such connection when it is up.
			if !c.sock.Arm(0) {
				return
			}
			c.serveStreams(c.k.buf[c.k.r:c.k.w])
			return
		case !c.outside || !c.serveOutside():
			return
		}
	}
}

// serveOutside serves the request that left the loop, and those behind it that are in the buffer already. It returns true to
// wait for more, false to end the connection.
func (c *conn) serveOutside() bool {
	for c.outside {
		c.outside = false
		if !c.serveRequest() {
			return false
		}
		if c.parse() && !c.outside {
			return false
		}
	}
	return true
}

// nudged reports whether the loop was woken because the process drains: a request that has come meanwhile is still served.
func (c *conn) nudged() bool {
	if c.sock.Expired() {
		return false
	}
	idle := c.k == nil || c.k.r == c.k.w
	if idle && c.leaving() && c.sock.Quiet() {
		return false
	}
	return c.sock.Calm()
}

// ready receives and serves inside the loop. It returns true to leave it: to serve a request outside, or to end.
func (c *conn) ready() bool {
	if c.k == nil && c.sock.Waits() && !c.await() {
		return true
	}
	if c.k == nil {
		c.k = c.w.works.Get().(*work)
	}
	k := c.k
	for {
		n, err := c.sock.Recv(k.buf[k.w:])
		if err != nil {
			if err == sock.ErrAgain {
				return c.park()
			}
			c.err = err
			return true
		}
		k.w += n
		full := k.w == len(k.buf)
		if c.parse() {
			return true
		}
		// Half a request is followed by another receive: an end that came along with it makes no edge of its own.
		if !full && k.r == k.w && c.sock.Drained() {
			c.sock.Rest()
			return c.park()
		}
	}
}

// await receives the first byte of a request where receiving waits: so that an idle connection holds no buffer there either.
// The rest of what came with that byte costs no system call.
func (c *conn) await() bool {
	if _, c.err = c.sock.Recv(c.first[:]); c.err != nil {
		return false
	}
	c.k = c.w.works.Get().(*work)
	c.k.w = copy(c.k.buf, c.first[:])
	return !c.parse() // which only notes that a request has begun
}

// park gives the buffers back if nothing is in them, and waits. It returns true to leave the loop instead, if the connection
// has nothing to do and should end: the nudge for it passes by those who are at work.
func (c *conn) park() bool {
	if c.k.r < c.k.w {
		return false
	}
	c.release()
	// The first request follows the last flight of the handshake, and nearly always at once: the next nudge ends who has none.
	return c.leaving() && (c.served.Load() || !c.who.secure)
}

// leaving reports whether connections end as soon as they have nothing to do.
func (c *conn) leaving() bool {
	return c.w.draining.Load() || c.port.retired.Load() || c.unwanted.Load() || c.era.Load() != c.port.era.Load()
}

// parse serves the requests that are complete in the buffer; it returns true to leave the loop.
func (c *conn) parse() bool {
	k := c.k
	for k.r < k.w {
		if !c.begun {
			c.begun = true
			c.table = c.port.table.Load()
			c.sock.Arm(c.table.settings.Timeouts.Header)
		}
		if c.table.h2c && !c.served.Load() {
			switch b := k.buf[k.r:k.w]; {
			case bytes.HasPrefix(b, []byte(preface)):
				c.prior = true
				return true
			case bytes.HasPrefix([]byte(preface), b):
				return false
			}
		}
		n, err := k.req.Parse(k.buf[k.r:k.w], c.table.limits)
		if err == nil && n == 0 {
			if limit := c.table.settings.Limits.Header; k.w-k.r > limit {
				err = &http1.Error{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "the head is too large", Rule: "RFC 6585 section 5"}
			} else if k.w == len(k.buf) {
				k.room(limit)
				return false
			} else {
				return false
			}
		} else if err == nil && n > c.table.settings.Limits.Header {
			err = &http1.Error{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "the head is too large", Rule: "RFC 6585 section 5"}
		}
		if err != nil {
			c.refuse(err)
			return true
		}
		k.r += n
		if c.needsOutside() {
			c.outside = true
			return true
		}
		if !c.serveRequest() {
			return true
		}
	}
	k.r, k.w = 0, 0
	return false
}

// room moves or enlarges the buffer so that a head of up to limit bytes, and one more to notice a longer one, fits.
func (k *work) room(limit int) {
	b := k.buf
	if k.r == 0 && len(b) <= limit {
		b = make([]byte, limit+1)
	}
	k.w = copy(b, k.buf[k.r:k.w])
	k.r = 0
	k.buf = b
	k.req.Reset()
}

// needsOutside reports whether serving the parsed request takes more of the client than the buffer holds.
func (c *conn) needsOutside() bool {
	r := &c.k.req
	return r.Chunked || r.Length > int64(c.k.w-c.k.r) || r.Upgrade != nil
}

func (c *conn) release() {
	k := c.k
	c.k = nil
	k.r, k.w = 0, 0
	k.out, c.reply.out = c.reply.out, nil
	k.req.Reset() // half a head of this client must not become the beginning of the next one's
	if len(k.buf) == bufferSize && len(k.ans) == bufferSize && cap(k.out) <= 4*flushAt {
		k.x = exchange{}
		c.w.works.Put(k)
	}
}

// serveRequest serves the parsed request; false ends the connection.
func (c *conn) serveRequest() bool {
	k := c.k
	r := &k.req
	c.active.Store(true)
	if !c.served.Load() { // a store costs more
		c.served.Store(true)
	}
	defer c.active.Store(false)
	c.sock.Ceiling(c.table.settings.Timeouts.Ceiling)
	if !c.sock.Arm(0) {
		return false
	}
	c.sock.Progress(c.table.settings.Timeouts.Body, c.table.settings.Timeouts.MinRate)
	t := c.table
	c.who.trusted = len(t.trusted) > 0 && t.trusts(c.who.addr)
	x := &k.x
	*x = exchange{
		method: methodName(r.Method), scheme: c.who.scheme(), authority: r.Authority, path: r.Path, query: r.Query,
		fields: r.Fields, proto: "HTTP/1.1", trailers: r.Trailers, to: &c.reply, client: &c.who, guard: &c.guard, work: c.k, table: t, hops: &c.k.asked,
	}
	x.line.start = time.Now()
	if r.Minor == 0 {
		x.proto = "HTTP/1.0"
	}
	// After a refused CONNECT the connection ends: what follows was meant for a tunnel, and may be anything.
	c.linger = r.Form == http1.AuthorityForm
	c.reply.reset(c, !r.Close && !c.linger, r.Minor == 0)
	var b *body1
	switch {
	case r.Chunked:
		x.length = -1
	case r.Length > 0:
		x.length = r.Length
	}
	if x.length > 0 && x.length <= int64(k.w-k.r) {
		x.small = k.buf[k.r : k.r+int(x.length)]
		k.r += int(x.length)
		x.line.received = x.length
	} else if x.length != 0 {
		b = c.newBody(x)
		x.body = b
		x.expect = r.Expect
	}
	x.upgrade = r.Upgrade
	c.w.serve(x)
	if b != nil {
		b.done(c)
	}
	asked := r.Close
	k.req.Reset()
	c.begun = false
	if !c.reply.keep || c.sock.Expired() {
		if (!asked || k.r < k.w) && !c.reply.failed && x.upgrade == nil {
			c.linger = true // the client could not know, and may have sent the next request already
		}
		return false
	}
	c.sock.Ceiling(0)
	return c.sock.Arm(t.settings.Timeouts.Idle)
}

// refuse answers a message that is not HTTP, or not the HTTP that we take, and ends the connection.
func (c *conn) refuse(err error) {
	var he *http1.Error
	if !errors.As(err, &he) {
		return
	}
	x := &c.k.x
	*x = exchange{to: &c.reply, client: &c.who, guard: &c.guard, work: c.k, table: c.table, proto: "HTTP/1.1"}
	x.line = record{start: time.Now(), cause: causeBadRequest, visitor: c.who.addr}
	c.reply.reset(c, false, false)
	c.w.fail(x, he.Status, he.Reason)
	c.w.finish(x)
	c.linger = true
}

// timedOut answers 408 to a client that began a request and did not finish its head (RFC 9110 section 15.5.9); an idle one
// is just closed.
func (c *conn) timedOut() {
	if c.k == nil || c.k.w == c.k.r || c.w.stopping.Load() {
		return
	}
	x := &c.k.x
	*x = exchange{to: &c.reply, client: &c.who, guard: &c.guard, work: c.k, table: c.table, proto: "HTTP/1.1"}
	x.line = record{start: time.Now(), cause: causeClientTimeout, visitor: c.who.addr}
	c.reply.reset(c, false, false)
	c.sock.Revive(time.Second)
	c.w.fail(x, http.StatusRequestTimeout, "the request's head did not come in time")
	c.w.finish(x)
}

// lingerTime bounds how long a client that is still sending is listened to, so that it can read its answer: a close with
// unread bytes would make the kernel send a reset, which may overtake the answer (RFC 9112 section 9.6).
const lingerTime = 2 * time.Second

// end closes the connection. A mistake of ours must cost one client its connection, not all of them.
func (c *conn) end() {
	if p := recover(); p != nil {
		c.w.log.Error("a connection made skein panic and was closed", "panic", p, "client", c.who.ip, "stack", string(debug.Stack()))
		c.w.stats.Causes[causePanic].Add(1)
		c.k, c.linger = nil, false // nobody knows what state it is in
	} else if c.stays {
		return
	}
	c.close()
}

func (c *conn) close() {
	if c.leaving() && !c.sock.Quiet() {
		c.linger = true // the client could not know, and has sent the next request already
	}
	if c.k != nil {
		c.release() // not held while we linger
	}
	if c.linger && !c.w.stopping.Load() && c.sock.CloseWrite() == nil && c.sock.Revive(lingerTime) {
		buf := make([]byte, 4<<10)
		for {
			if _, err := c.sock.Read(buf); err != nil {
				break
			}
		}
	}
	_ = c.sock.Close()
	c.port.leave(&c.place)
}
