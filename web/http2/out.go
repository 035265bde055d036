package http2

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
)

const (
	flushAt = 16 << 10 // so much is written without being asked for
	outMost = 64 << 10 // streams wait when so much waits to be written
	outKeep = 2 * outMost
)

// outbox is what waits to be written. Streams and the reader append whole frames; one goroutine at a time takes all of it and
// writes it, while others fill the next buffer: ten small answers become one record and one system call.
type outbox struct {
	b       []byte
	spare   []byte
	held    *[]byte // of the pool: where b or spare began
	writing bool    // somebody writes, and will look at b again
	push    bool    // b has frames that nobody will flush
	acks    int     // bytes of control frames in b
	lastAt  int     // where the frame of lastBy begins that ends b
	lastBy  *Stream // nil if the last frame is none of a stream
}

// release gives the buffer of an idle connection back.
func (o *outbox) release(w *Workers) {
	if len(o.b) > 0 {
		return
	}
	h := o.held
	if h == nil {
		o.b, o.spare = nil, nil
		return
	}
	*h = o.b[:0]
	if cap(o.spare) > cap(*h) {
		*h = o.spare[:0]
	}
	o.b, o.spare, o.held = nil, nil, nil
	if cap(*h) <= outKeep {
		w.outs.Put(h)
	}
}

// hold gets buffers for a connection that begins to talk.
func (c *Conn) hold() {
	o := &c.out
	if o.held == nil {
		o.held = c.workers.outs.Get().(*[]byte)
		if len(o.b) == 0 {
			o.b = (*o.held)[:0]
		} else {
			o.spare = (*o.held)[:0]
		}
	}
}

// kick has a worker write what there is, if the reader or the clock has put something there. The reader and the clock use it: they must never wait for the client.
func (c *Conn) kick() {
	if c.out.writing || !c.out.push && !c.ending && c.fatal == nil {
		return
	}
	c.out.writing = true
	c.workers.do((*writer)(c))
}

// writer is the Conn as a job.
type writer Conn

func (w *writer) run() { (*Conn)(w).drain(0) }

// drain writes what there is; the caller has set writing. rounds bounds how long a handler works for the others; a worker
// takes over after that. 0 is no bound.
func (c *Conn) drain(rounds int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	for n := 0; len(o.b) > 0; n++ {
		if n > 0 && n == rounds {
			c.workers.do((*writer)(c))
			return
		}
		if c.busy > 0 && len(o.b) < flushAt {
			// Others that are ready to run may have something to add; the price is one trip through the scheduler.
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		}
		b := o.b
		o.b, o.spare, o.acks, o.lastBy, o.push = o.spare[:0], nil, 0, nil, false
		c.rooms.next()
		c.mu.Unlock()
		_, err := c.t.Write(b)
		c.mu.Lock()
		o.spare = b
		if cap(b) > outKeep {
			o.spare = nil
		}
		if err != nil {
			c.severed(err)
			break
		}
	}
	o.writing = false
	if len(c.streams) == 0 {
		o.release(c.workers)
	}
	if c.ending || c.fatal != nil {
		c.t.Abort()
	}
	c.idle.Broadcast()
}

// severed notes that the client cannot be written to. The reader tells the streams: nobody who writes may find himself in
// a gone function.
func (c *Conn) severed(err error) {
	c.lost(err)
	c.out.b, c.out.push = c.out.b[:0], false
	for _, s := range c.streams {
		s.send.Broadcast()
	}
	c.t.Abort()
}

// lost notes why the transport broke: a write that the client did not take in time ends it for the reader, too, who may be the
// first to see that. Called with mu held.
func (c *Conn) lost(err error) {
	if c.fatal != nil {
		return
	}
	c.fatal = err
	if errors.Is(err, os.ErrDeadlineExceeded) && c.leaving == staying {
		c.cfg.Stats.CutQueue.Add(1)
	}
}

// flush writes what there is, unless somebody does already. Called by handlers with mu held; it lets go of mu.
func (c *Conn) flush() {
	if c.out.writing || len(c.out.b) == 0 {
		c.mu.Unlock()
		return
	}
	c.out.writing = true
	c.mu.Unlock()
	c.drain(1)
}

// reply is called after a control frame was appended. Such frames are small, but they must not pile up.
func (c *Conn) reply(n int) error {
	c.out.lastBy, c.out.push = nil, true
	c.out.acks += n
	if c.out.acks <= maxControl {
		return nil
	}
	if c.fatal == nil {
		c.cfg.Stats.CutQueue.Add(1)
	}
	return &ConnError{CodeCalm, "acknowledgements are not read"}
}

func appendHead(b []byte, length int, typ, flags byte, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), typ, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendGoAway(b []byte, last, code uint32) []byte {
	b = appendHead(b, 8, typeGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, code)
}

func appendPing(b []byte, ack bool, data [8]byte) []byte {
	flags := byte(0)
	if ack {
		flags = flagAck
	}
	return append(appendHead(b, 8, typePing, flags, 0), data[:]...)
}

func appendReset(b []byte, stream, code uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(b, 4, typeReset, 0, stream), code)
}

func appendWindowUpdate(b []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(appendHead(b, 4, typeWindowUpdate, 0, stream), uint32(n))
}

func appendSetting(b []byte, id uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), v)
}

// greet sends our settings and opens the connection's window.
func (c *Conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 3
	if c.cfg.ExtendedConnect {
		n++
	}
	b := appendHead(c.out.b, 6*n, typeSettings, 0, 0)
	b = appendSetting(b, settingMaxStreams, uint32(c.cfg.MaxStreams))
	b = appendSetting(b, settingWindow, streamWindow)
	b = appendSetting(b, settingMaxHeader, uint32(c.cfg.MaxHeader))
	if c.cfg.ExtendedConnect {
		b = appendSetting(b, settingExtendedConnect, 1)
	}
	c.out.b = appendWindowUpdate(b, 0, connWindow-defaultWindow)
	c.out.push = true
	c.due.header = c.after(c.cfg.Header)
	c.kick()
}
