package http2

import (
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// lastWords is how long a client that is cut off may take to receive the GOAWAY.
const lastWords = time.Second

// Conn is one connection. It is used once.
type Conn struct {
	t       Transport
	cfg     *Config
	handle  func(*Stream)
	workers *Workers
	own     bool // workers are ours alone
	begun   time.Time

	// Of the goroutine in Serve.
	in      input
	hp      *hpack.Decoder
	block   block
	settled bool // the client's SETTINGS came

	mu   sync.Mutex // guards what follows, and the state of all streams
	idle sync.Cond  // Serve waits for handlers and writer

	streams map[uint32]*Stream // open
	seen    uint32             // highest stream that the client began
	last    uint32             // highest stream that we took
	resets  []uint32           // streams that we reset lately: the client may not know yet
	nextOut int                // in resets
	running int                // handlers
	busy    int                // handlers that have not answered
	windows sendQueue          // for the connection's window
	rooms   sendQueue          // for room in out

	window     int64 // what we may send
	initial    int64 // the client's SETTINGS_INITIAL_WINDOW_SIZE
	credit     int   // what the client may send
	unreturned int   // read, not yet given back to the client
	table      bool  // the client changed its HPACK table: the next block says that we use none

	out outbox

	points, allowance int
	forgiven          int64

	clock   *time.Timer
	clockAt int64 // when it fires, 0 if never
	due     dues

	leaving leave // how far Shutdown has come
	ending  bool  // nothing is left to do but to write what is in out
	fatal   error // why the connection must end
	closed  bool  // the reader has ended
	over    bool  // so has everybody: the transport is not ours any more
}

// dues are the connection's deadlines, in nanoseconds since it began; 0 is none.
type dues struct{ idle, header, ping, words int64 }

type leave uint8

const (
	staying   leave = iota
	announced       // GOAWAY 2^31-1 and a PING were sent: requests on their way are still taken
	left            // GOAWAY with the last stream was sent
)

// NewConn serves the client behind t once [Conn.Serve] is called. handle is called for each request on a goroutine of its own
// and must not panic; when it returns, the stream is over.
func NewConn(t Transport, c *Config, handle func(*Stream)) *Conn {
	conn := &Conn{
		t: t, cfg: c, handle: handle, workers: c.Workers, begun: time.Now(), streams: make(map[uint32]*Stream),
		window: defaultWindow, initial: defaultWindow, credit: connWindow, allowance: allowanceStart,
	}
	if conn.workers == nil {
		conn.workers, conn.own = NewWorkers(c.MaxStreams), true
	}
	conn.idle.L = &conn.mu
	conn.hp = hpack.NewDecoder(4096, conn.emit)
	return conn
}

// Serve blocks until the connection has ended and all handlers have returned. It does not close the transport. nil means that
// the connection ended by Shutdown, by idleness or by the client; a [*ConnError] that the client was cut off.
func (c *Conn) Serve() error {
	c.cfg.Stats.Connections.Add(1)
	c.greet()
	err := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	var mine *ConnError
	switch {
	case c.fatal != nil: // somebody else found the reason, and has said so
		err = c.fatal
	case c.ending:
		err = nil
	case errors.As(err, &mine):
		if mine.Code != CodeCalm {
			c.cfg.Stats.CutProtocol.Add(1)
		}
		c.fail(err)
	default:
		c.lost(err)
		c.t.Abort()
		if err == io.EOF && len(c.streams) == 0 {
			err = nil
		}
	}
	c.closed = true
	c.abandon(err)
	for c.running > 0 || c.out.writing {
		c.idle.Wait()
	}
	c.over, c.due = true, dues{}
	if c.clock != nil {
		c.clock.Stop()
	}
	c.in.release(c.workers)
	c.out.release(c.workers)
	if c.own {
		c.workers.Close()
	}
	return err
}

// fail ends the connection: the client is told why, and has lastWords to hear it. Called with mu held.
func (c *Conn) fail(err error) {
	if c.fatal != nil {
		return
	}
	c.fatal = err
	code := CodeInternal
	var e *ConnError
	if errors.As(err, &e) {
		code = e.Code
	}
	c.out.b = appendGoAway(c.out.b, c.last, code)
	c.out.lastBy = nil
	c.due.words = c.after(lastWords)
	c.kick()
}

// abandon tells all streams that the connection is over. Called with mu held, by the reader.
func (c *Conn) abandon(err error) {
	for _, s := range c.streams {
		e := &StreamError{s.id, CodeCancel, "the connection ended"}
		if err != nil {
			e.Reason = "the connection broke: " + err.Error()
		}
		s.kill(e)
		c.leave(s)
	}
}

// leave calls the stream's gone function, without mu. Only the reader calls it, with mu held, right after kill.
func (c *Conn) leave(s *Stream) {
	f := s.gone
	s.gone = nil
	if f == nil || !s.running {
		return
	}
	s.calling = true
	c.mu.Unlock()
	f()
	c.mu.Lock()
	s.calling = false
	s.recv.Broadcast()
}

// Shutdown ends the connection gracefully: new streams are refused as soon as the client can have heard of it, and Serve
// returns when the open ones have ended (RFC 9113 section 6.8).
func (c *Conn) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving != staying || c.fatal != nil || c.closed {
		return
	}
	c.leaving = announced
	c.out.b = appendGoAway(c.out.b, maxWindow, CodeNo)
	c.out.b = appendPing(c.out.b, false, shutdownPing())
	c.out.lastBy, c.out.push = nil, true
	c.due.ping = c.after(lastWords)
	c.kick()
}

// shutdownPing is the PING whose answer shows that the client has read the first GOAWAY.
func shutdownPing() [8]byte { return [8]byte{'s', 'h', 'u', 't', 'd', 'o', 'w', 'n'} }

// farewell sends the GOAWAY that counts. Called with mu held.
func (c *Conn) farewell() {
	if c.leaving == left || c.fatal != nil {
		return
	}
	c.leaving = left
	c.due.ping = 0
	c.out.b = appendGoAway(c.out.b, c.last, CodeNo)
	c.out.lastBy, c.out.push = nil, true
	c.finish()
	c.kick()
}

// finish ends a connection that is being left when nothing is open any more. Called with mu held.
func (c *Conn) finish() {
	if c.leaving == left && len(c.streams) == 0 && !c.ending {
		c.ending = true
		c.kick()
	}
}

// Open is the number of open streams.
func (c *Conn) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}
