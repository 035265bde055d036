package harness

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Recorder is an origin that does what a script says and remembers what it was sent.
type Recorder struct {
	Addr string

	l        net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex // guards the rest
	peers    []*Peer
	requests []*Request
}

// Origin listens, and calls script in a goroutine of its own for each connection; the connection is closed when script
// returns.
func Origin(t testing.TB, script func(*Peer)) *Recorder {
	t.Helper()
	l := listen(t)
	o := &Recorder{Addr: l.Addr().String(), l: l}
	o.wg.Go(func() { o.accept(script) })
	t.Cleanup(o.Close)
	return o
}

func (o *Recorder) accept(script func(*Peer)) {
	for {
		c, err := o.l.Accept()
		if err != nil {
			return
		}
		p := &Peer{TCPConn: c.(*net.TCPConn), origin: o, gone: make(chan struct{})}
		p.r = bufio.NewReaderSize(io.TeeReader(c, p), 64<<10)
		o.mu.Lock()
		o.peers = append(o.peers, p)
		p.ID = len(o.peers)
		o.mu.Unlock()
		o.wg.Go(func() {
			defer close(p.gone)
			defer p.Close()
			script(p)
		})
	}
}

// Close stops listening, closes all connections and waits for the scripts.
func (o *Recorder) Close() {
	o.l.Close()
	for _, p := range o.Peers() {
		p.Close()
	}
	o.wg.Wait()
}

// Peers returns all connections so far, also those that have ended.
func (o *Recorder) Peers() []*Peer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*Peer(nil), o.peers...)
}

// Requests returns what was read on all connections, in the order in which it was complete.
func (o *Recorder) Requests() []*Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*Request(nil), o.requests...)
}

// Faults returns why connections ended, where that was in the middle of something or before something that net/http does not
// take for a request.
func (o *Recorder) Faults() []error {
	var faults []error
	for _, p := range o.Peers() {
		if err := p.Fault(); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// Peer is one connection that an origin has accepted. Its methods may be called while the script runs.
type Peer struct {
	*net.TCPConn

	ID     int // 1, 2, ... in the order of their coming
	origin *Recorder
	r      *bufio.Reader
	gone   chan struct{}

	mu       sync.Mutex // guards the rest
	got      bytes.Buffer
	requests []*Request
	read     int // bytes of got that belong to requests
	fault    error
}

// Request is one whole request as it arrived.
type Request struct {
	*http.Request        // as net/http reads it; its body has been read
	Peer          *Peer  // whence it came
	Raw           string // the bytes: head, body with its chunks, trailers
	Content       string // the body
}

// Write records what was received: it is the other end of the reader's tee.
func (p *Peer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.Write(b)
}

// Received is all that has come on this connection.
func (p *Peer) Received() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.String()
}

// Requests returns the requests that the script has read.
func (p *Peer) Requests() []*Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Request(nil), p.requests...)
}

// Fault is why the last Head, Body or Next failed, if not by the end of the connection between two requests.
func (p *Peer) Fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// Gone is closed when the script has ended.
func (p *Peer) Gone() <-chan struct{} { return p.gone }

// Head reads a request up to its body, nil at the end of the connection.
func (p *Peer) Head() *Request {
	if _, err := p.r.Peek(1); err != nil {
		return nil
	}
	req, err := http.ReadRequest(p.r)
	if err != nil {
		p.mu.Lock()
		p.fault = err
		p.mu.Unlock()
		return nil
	}
	return &Request{Request: req, Peer: p}
}

// Body reads the rest of a request, and says whether all of it came.
func (p *Peer) Body(r *Request) bool {
	b, err := io.ReadAll(r.Request.Body)
	r.Content = string(b)
	if err != nil {
		p.mu.Lock()
		p.fault = err
		p.mu.Unlock()
		return false
	}
	p.mu.Lock()
	end := p.got.Len() - p.r.Buffered()
	r.Raw = string(p.got.Bytes()[p.read:end])
	p.read = end
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	p.origin.mu.Lock()
	p.origin.requests = append(p.origin.requests, r)
	p.origin.mu.Unlock()
	return true
}

// Next reads a whole request, and sends the 100 that it may wait for; nil at the end of the connection.
func (p *Peer) Next() *Request {
	r := p.Head()
	if r == nil {
		return nil
	}
	if r.Header.Get("Expect") != "" {
		p.Send("HTTP/1.1 100 Continue\r\n\r\n")
	}
	if !p.Body(r) {
		return nil
	}
	return r
}

// Send writes bytes and says whether that went well.
func (p *Peer) Send(s string) bool {
	p.SetWriteDeadline(time.Now().Add(Patience))
	_, err := io.WriteString(p.TCPConn, s)
	return err == nil
}

// Drain reads until the other side closes, and remembers nothing of it: that may be much. It is how a script waits for the end.
func (p *Peer) Drain() { io.Copy(io.Discard, p.TCPConn) }

// Reset closes by RST.
func (p *Peer) Reset() {
	p.SetLinger(0)
	p.TCPConn.Close()
}
