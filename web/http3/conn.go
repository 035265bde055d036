package http3

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// What the end of a connection waits for, at least and at most; in between are four round trips.
const (
	leastWords = 50 * time.Millisecond
	lastWords  = time.Second
)

// Conn is one connection. It is used once.
type Conn struct {
	q      *quic.Conn
	cfg    *Config
	handle func(*Stream)

	streams sync.WaitGroup
	others  sync.WaitGroup // what reads unidirectional streams

	control   *quic.SendStream // we send SETTINGS and GOAWAY on it
	writing   sync.Mutex       // guards writes to control
	clientHas [4]chan struct{} // by type of critical stream: holds one until the client has opened its one

	mu        sync.Mutex // guards what follows
	running   int        // requests
	next      quic.StreamID
	idle      *time.Timer
	leaving   leave
	closed    bool
	points    int
	allowance int
	forgiven  time.Time
	fatal     error // why we ended the connection
}

type leave uint8

const (
	staying   leave = iota
	announced       // GOAWAY 2^62-4 was sent: requests on their way are still taken
	left            // GOAWAY with the first stream that is not taken was sent
)

// NewConn serves the client behind q once [Conn.Serve] is called. q must require the release of stream credit
// (quic.Config.RequireStreamCreditRelease). handle is called for each request on a goroutine of its own and must not panic;
// when it returns, the stream is over.
func NewConn(q *quic.Conn, c *Config, handle func(*Stream)) *Conn {
	conn := &Conn{q: q, cfg: c, handle: handle, allowance: allowanceStart, forgiven: time.Now()}
	for i := range conn.clientHas {
		conn.clientHas[i] = make(chan struct{}, 1)
	}
	return conn
}

// Serve blocks until the connection has ended and all handlers have returned. A [*ConnError] says that the client was cut
// off; nil that the connection ended by Shutdown, by idleness or by the client.
func (c *Conn) Serve() error {
	c.cfg.Stats.Connections.Add(1)
	if err := c.greet(); err != nil {
		_ = c.q.CloseWithError(quic.ApplicationErrorCode(CodeStreamCreation), "")
		return err
	}
	c.arm()
	c.others.Go(c.acceptOthers)
	for {
		s, err := c.q.AcceptStream(context.Background())
		if err != nil {
			break
		}
		c.take(s)
	}
	c.mu.Lock()
	c.closed = true
	if c.idle != nil {
		c.idle.Stop()
	}
	c.mu.Unlock()
	c.streams.Wait()
	c.others.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fatal
}

// greet opens our control stream (RFC 9114 section 6.2.1). QPACK's streams are not needed, as we keep no table (RFC 9204
// section 4.2).
func (c *Conn) greet() error {
	s, err := c.q.OpenUniStream()
	if err != nil {
		return err
	}
	c.control = s
	settings := quicvarint.Append(nil, settingMaxFieldSection)
	settings = quicvarint.Append(settings, uint64(c.cfg.MaxHeader))
	if c.cfg.ExtendedConnect {
		settings = append(settings, settingExtendedConnect, 1)
	}
	b := []byte{streamControl, typeSettings, byte(len(settings))}
	return c.tell(append(b, settings...))
}

// tell writes to the control stream, on which the client may leave us no window.
func (c *Conn) tell(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.control.SetWriteDeadline(time.Now().Add(lastWords))
	_, err := c.control.Write(b)
	return err
}

// take begins a request.
func (c *Conn) take(q *quic.Stream) {
	c.mu.Lock()
	refused := c.leaving == left
	if !refused {
		c.next = q.StreamID() + 4
		c.running++
		c.allowance = min(allowanceMost, c.allowance+allowanceStream)
		c.streams.Add(1)
		c.arm2()
	}
	c.mu.Unlock()
	if refused {
		c.cfg.Stats.Refused.Add(1)
		q.CancelRead(quic.StreamErrorCode(CodeRequestRejected))
		q.CancelWrite(quic.StreamErrorCode(CodeRequestRejected))
		q.ReleaseStreamCredit()
		return
	}
	c.cfg.Workers.do(&Stream{c: c, q: q})
}

// done ends a request.
func (c *Conn) done() {
	c.mu.Lock()
	c.running--
	c.arm2()
	last := c.running == 0 && c.leaving == left
	c.mu.Unlock()
	c.streams.Done()
	if last {
		c.end()
	}
}

func (c *Conn) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm2()
}

// arm2 starts or stops the clock of idleness. Called with mu held. Frames that keep the connection alive do not count: they
// cost a client nothing.
func (c *Conn) arm2() {
	switch {
	case c.cfg.Idle == 0 || c.closed:
	case c.running > 0:
		if c.idle != nil {
			c.idle.Stop()
		}
	case c.idle == nil:
		c.idle = time.AfterFunc(c.cfg.Idle, c.expire)
	default:
		c.idle.Reset(c.cfg.Idle)
	}
}

// expire ends an idle connection as gently as a stop does: the next request may be on its way.
func (c *Conn) expire() {
	c.mu.Lock()
	busy := c.running > 0 || c.leaving != staying
	c.mu.Unlock()
	if !busy {
		c.cfg.Stats.CutIdle.Add(1)
		c.Shutdown()
	}
}

// Shutdown ends the connection gracefully: new requests are refused as soon as the client can have heard of it, and Serve
// returns when the running ones have ended (RFC 9114 section 5.2).
func (c *Conn) Shutdown() {
	c.mu.Lock()
	first := c.leaving == staying && !c.closed
	if first {
		c.leaving = announced
	}
	c.mu.Unlock()
	if first {
		go func() { // nobody should wait for a client's window
			_ = c.tell(appendGoAway(nil, maxStreamID))
			time.AfterFunc(c.patience(), c.farewell)
		}()
	}
}

// patience is how long a message takes to be heard and answered, loss included.
func (c *Conn) patience() time.Duration {
	return min(max(4*c.q.ConnectionStats().SmoothedRTT, leastWords), lastWords)
}

// farewell sends the GOAWAY that counts.
func (c *Conn) farewell() {
	c.mu.Lock()
	c.leaving = left
	next, last, closed := c.next, c.running == 0, c.closed
	c.mu.Unlock()
	if closed {
		return
	}
	_ = c.tell(appendGoAway(nil, next))
	if last {
		c.end()
	}
}

// maxFlush bounds how long a connection without an open stream may take to get its last bytes through.
const maxFlush = 5 * time.Second

// end closes a connection on which nothing is open any more, once the client has had time to receive the last answer: closing
// gives up what waits for the congestion window, and what was lost on the way. QUIC does not tell when all is acknowledged; but
// as long as it is not, something is sent again and again (RFC 9002 section 6.2), so that silence for longer than a probe
// takes says it.
func (c *Conn) end() { c.endAfter(c.q.ConnectionStats().BytesSent, time.Now().Add(maxFlush)) }

func (c *Conn) endAfter(sent uint64, until time.Time) {
	s := c.q.ConnectionStats()
	probe := s.SmoothedRTT + 4*s.MeanDeviation + maxAckDelay
	time.AfterFunc(max(c.patience(), 2*probe), func() {
		if now := c.q.ConnectionStats().BytesSent; now != sent && c.q.Context().Err() == nil && time.Now().Before(until) {
			c.endAfter(now, until)
			return
		}
		_ = c.q.CloseWithError(quic.ApplicationErrorCode(CodeNo), "")
	})
}

// maxAckDelay is how long a peer may keep an acknowledgement back (RFC 9000 section 18.2), unless it says otherwise.
const maxAckDelay = 25 * time.Millisecond

// Abort ends the connection at once.
func (c *Conn) Abort() { _ = c.q.CloseWithError(quic.ApplicationErrorCode(CodeNo), "") }

// fail ends the connection because of what the client did.
func (c *Conn) fail(e *ConnError) {
	c.mu.Lock()
	first := c.fatal == nil && !c.closed
	if first {
		c.fatal = e
	}
	c.mu.Unlock()
	if !first {
		return
	}
	if e.Code == CodeExcessiveLoad {
		c.cfg.Stats.CutGlitches.Add(1)
	} else {
		c.cfg.Stats.CutProtocol.Add(1)
	}
	_ = c.q.CloseWithError(quic.ApplicationErrorCode(e.Code), e.Reason)
}

func appendGoAway(b []byte, id quic.StreamID) []byte {
	b = append(b, typeGoAway, byte(quicvarint.Len(uint64(id))))
	return quicvarint.Append(b, uint64(id))
}

// reset reports whether err is the client's reset of a stream.
func reset(err error) bool {
	var e *quic.StreamError
	return errors.As(err, &e) && e.Remote
}
