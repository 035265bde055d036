package web

import (
	"errors"
	"slices"
	"sync"
	"time"

	"skein/pool"
)

// maxLinks bounds the connections to one member.
const maxLinks = 16

// maxRefusals bounds how often a request goes to the same member again because a connection was ended under it: a member that
// ends its connections after a few requests can do that to the same one several times.
const maxRefusals = 4

// errBusy is a member that takes no more streams on any connection.
var errBusy = errors.New("all HTTP/2 connections to the member have as many streams as it takes")

// links are the connections to one member. A stream goes to the first that has room, and another one is opened when all are
// full; the last ones therefore rest first.
type links struct {
	mu      sync.Mutex // guards what follows; a link's mu may be taken with it held, never the other way
	list    []*link
	opening *opening // nil if none is being opened
	room    chan struct{}
	closed  bool // the member is gone
}

// opening is a connection that somebody opens: others wait for it instead of opening as many as there are requests.
type opening struct {
	done chan struct{}
	err  error // valid after done
}

// connect2 gets a stream to m.
func (w *Web) connect2(x *exchange, m *pool.Member, d *dialer, timeout time.Duration) (*upstream, error) {
	x.code = 0
	l, reused, err := w.linkTo(x, m, d, timeout)
	if err != nil {
		return nil, err
	}
	u := &upstream{member: m, dial: d, reused: reused}
	u.stream = newMemberStream(l)
	u.wire = wire2{u.stream}
	return u, nil
}

// linkTo reserves a place for a stream on a link to m.
func (w *Web) linkTo(x *exchange, m *pool.Member, d *dialer, timeout time.Duration) (l *link, reused bool, err error) {
	if d.proxy { // it says for whom it is: nobody else may use it
		l, err := w.openLink(x, m, d, nil, timeout)
		if err == nil && !l.reserve() {
			l.retire()
			err = errBusy
		}
		return l, false, err
	}
	var late *time.Timer
	for {
		i := &w.idleOf(m).links
		l, o, room := i.pick(d)
		switch {
		case l != nil:
			return l, true, nil
		case o == nil && room == nil:
			l, err = w.openLink(x, m, d, i, timeout)
			ours := i.opened(l, err)
			if err != nil {
				return nil, false, err
			}
			if !ours {
				return nil, false, errBusy // it takes no streams at all
			}
			return l, false, nil
		}
		if late == nil {
			late = time.NewTimer(timeout)
			defer late.Stop()
		}
		var done chan struct{}
		if o != nil {
			done = o.done
		}
		select {
		case <-done:
			if o.err != nil {
				return nil, false, o.err
			}
		case <-room:
		case <-x.guard.canceled():
			return nil, false, errBusy
		case <-late.C:
			return nil, false, errBusy
		}
	}
}

// pick reserves a place on a link, or returns what to wait for: a connection that is being opened, or room; neither if the
// caller has to open one, and then to call opened.
func (i *links) pick(d *dialer) (l *link, o *opening, room chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := 0; n < len(i.list); n++ {
		l := i.list[n]
		if l.dial != d {
			l.retire() // the pool's settings have changed since
			i.list = slices.Delete(i.list, n, n+1)
			n--
			continue
		}
		if l.reserve() {
			return l, nil, nil
		}
	}
	switch {
	case i.opening != nil:
		return nil, i.opening, nil
	case len(i.list) >= maxLinks:
		if i.room == nil {
			i.room = make(chan struct{})
		}
		return nil, nil, i.room
	}
	i.opening = &opening{done: make(chan struct{})}
	return nil, nil, nil
}

// opened lists a new link, unless err says that there is none, and reserves a place on it for who has opened it.
func (i *links) opened(l *link, err error) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	o := i.opening
	i.opening = nil
	o.err = err
	close(o.done)
	if err != nil {
		return false
	}
	ok := l.reserve()
	if i.closed {
		l.retire()
		return ok
	}
	l.mu.Lock()
	ended := l.err != nil
	l.mu.Unlock()
	if !ended {
		i.list = append(i.list, l)
	}
	return ok
}

// remove takes a link out that has ended.
func (i *links) remove(l *link) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := slices.Index(i.list, l); n >= 0 {
		i.list = slices.Delete(i.list, n, n+1)
	}
	i.signal()
}

// wake is called when a stream has ended.
func (i *links) wake() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signal()
}

func (i *links) signal() {
	if i.room != nil {
		close(i.room)
		i.room = nil
	}
}

// expire ends links that have rested since before then; all of them, as soon as they rest, if the member is gone.
func (i *links) expire(before time.Duration, gone bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = i.closed || gone
	i.list = slices.DeleteFunc(i.list, func(l *link) bool {
		l.mu.Lock()
		old := gone || l.open == 0 && l.rested < before
		l.mu.Unlock()
		if old {
			l.retire()
		}
		return old
	})
}
