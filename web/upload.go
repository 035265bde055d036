package web

import (
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"skein/web/http1"
)

// patience100 is how long a member may keep a client waiting for 100 Continue. Many servers never send one.
const patience100 = time.Second

// upload sends a request's body to a member beside the reading of the answer, so that an early answer is seen.
type upload struct {
	x       *exchange
	u       *upstream
	to      answerer      // the client half itself: x.to may be put behind a compression while we run
	first   time.Duration // for the answer, from the end of the body on
	idle    time.Duration
	started bool
	done    chan struct{}
	goOn    chan struct{} // closed when the body may be asked for, or need not be any more
	once    sync.Once

	stopped atomic.Bool // nobody wants the rest of the body
	whole   atomic.Bool // the client has sent all of it: what follows is the next request

	// Valid after done.
	kept       []byte // what the client has sent, for regain; nil if that is too much
	fromClient error  // the client's side failed
	toMember   error  // the member's side failed
	complete   bool
	fault      any // what run panicked with, and where
}

func newUpload(x *exchange, u *upstream, first, idle time.Duration) *upload {
	return &upload{x: x, u: u, to: x.to, first: first, idle: idle, done: make(chan struct{}), goOn: make(chan struct{})}
}

// proceed ends the waiting for 100 Continue.
func (p *upload) proceed() { p.once.Do(func() { close(p.goOn) }) }

func (p *upload) run() {
	defer func() {
		if e := recover(); e != nil {
			p.fault = fmt.Sprintf("%v, in the upload:\n%s", e, debug.Stack())
			p.u.abort()
		}
		close(p.done)
	}()
	if p.x.expect && !p.ask() {
		return
	}
	var frame []byte
	for {
		p.u.arm(0) // a slow client is not the member's fault
		data, err := p.x.body.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if p.stopped.Load() {
				return // it is we who did not want the rest, because of the member
			}
			p.fromClient = err
			p.u.abort() // whoever waits for the answer waits in vain
			return
		}
		p.keep(data)
		p.u.arm(p.idle)
		if p.x.body.last() {
			p.whole.Store(true) // before it is sent: the answer may overtake us
		}
		if !p.send(p.u.wire.piece(&frame, data, p.x)) {
			return
		}
	}
	p.whole.Store(true)
	if end := p.u.wire.last(&frame, p.x); end != nil && !p.send(end) {
		return
	}
	p.complete = true
	p.u.arm(p.first)
}

// send writes to the member. When that fails the answer may still be there to be read: it often says why.
func (p *upload) send(b []byte) bool {
	n, err := p.u.write(b)
	p.u.member.Stats.Sent.Add(uint64(n))
	if err != nil {
		p.toMember = err
		p.u.arm(min(p.first, 5*time.Second))
	}
	return err == nil
}

// ask waits for the member's leave to ask the client for the body. A member that says nothing is taken to agree.
func (p *upload) ask() bool {
	patience := patience100
	if _, mute := p.u.wire.(*wireFCGI); mute {
		patience = 0 // FastCGI has no word for it
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.goOn:
	case <-t.C:
		if err := p.to.interim(100, nil); err != nil {
			p.fromClient = err
			p.u.abort()
			return false
		}
	}
	return !p.u.expired()
}

// keepMost bounds the bodies that can be regained: nearly all calls of gRPC are smaller.
const keepMost = 16 << 10

// keep remembers a small body on its way to a member that may say that it has not taken the request, as HTTP/2 can.
func (p *upload) keep(data []byte) {
	switch {
	case p.u.stream == nil || p.kept == nil && p.x.line.received > int64(len(data)): // or it was too much before
	case len(p.kept)+len(data) > keepMost:
		p.kept = nil
	default:
		p.kept = append(p.kept, data...)
	}
}

// regain makes the body of a request that certainly nobody has worked on the exchange's own again, so that it can be sent once
// more; false if it was too large, or has not been received to its end.
func (p *upload) regain(x *exchange) bool {
	if !p.whole.Load() || p.kept == nil || x.line.received != int64(len(p.kept)) || len(x.body.trailers()) > 0 {
		return false
	}
	x.small, x.body = p.kept, nil
	return true
}

// taken reports whether the client's part is over: the whole body was received. Its last bytes may still be on the way to the
// member. False for no upload at all.
func (p *upload) taken() bool { return p != nil && p.started && p.whole.Load() }

// running reports whether the body is still being sent.
func (p *upload) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return p.started
	}
}

// grace is how long the last bytes of a body may take to leave when the answer is there already: usually the goroutine that
// sends them has only not been told yet.
const grace = 100 * time.Millisecond

// end waits for the upload, and stops it if the answer was complete before it: then the connection to the member must be
// closed, and the client's, too, unless all of the body was taken from it. It reports whether the whole body was sent.
func (p *upload) end() bool {
	if !p.started {
		return false
	}
	p.wait()
	if p.fault != nil {
		panic(p.fault) // for the goroutine that serves the request, which knows what to give back
	}
	return p.complete
}

func (p *upload) wait() {
	if p.whole.Load() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.done:
			return
		case <-t.C:
		}
	}
	select {
	case <-p.done:
	default:
		p.u.abort()
		p.proceed()
		if p.whole.Load() {
			<-p.done
		} else {
			p.stopped.Store(true)
			p.x.body.stop()
			<-p.done
			p.x.guard.calm() // the answer has yet to be written
		}
	}
}

// interim passes a 1xx answer on.
func (x *exchange) interim(r *http1.Response) error {
	if u := x.up; r.Status == 100 && u != nil {
		if !x.expect {
			return nil // nobody asked
		}
		err := x.to.interim(r.Status, r.Fields)
		u.proceed()
		return err
	}
	if r.Status == 100 {
		return nil
	}
	return x.to.interim(r.Status, r.Fields)
}
