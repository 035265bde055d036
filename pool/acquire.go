package pool

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Why a piece of work gets no member.
var (
	ErrNone         = errors.New("no usable member")
	ErrQueueFull    = errors.New("every member is at its connection limit and the queue is full")
	ErrQueueTimeout = errors.New("every member stayed at its connection limit for the queue timeout")
	ErrCanceled     = errors.New("canceled while waiting for a member")
)

// Acquire gives work a usable member that is not in except and has room, waiting in the pool's queue if all are at their
// limit. prefer, if it is not nil, is taken if it is usable and has room, whatever the policy says. A close of cancel ends
// the waiting. The member must be given back with [Pool.Release].
func (p *Pool) Acquire(k Key, prefer *Member, except *Mask, cancel <-chan struct{}) (*Member, error) {
	if p.queue.busy() {
		return p.wait(k, prefer, except, cancel) // not past those who came before
	}
	m, none := p.try(k, prefer, except)
	if none && p.stale(p.snap.Load()) {
		// Nobody is left of a snapshot that is out of date: the next one may have backups, or panic.
		p.rebuild()
		m, none = p.try(k, prefer, except)
	}
	if m != nil {
		return m, nil
	} else if none {
		return nil, ErrNone
	}
	return p.wait(k, prefer, except, cancel)
}

// Release ends a piece of work on m.
func (p *Pool) Release(m *Member) {
	m.leave()
	if p.queue.waiting.Load() > 0 {
		p.handOver(m)
	}
}

// Sticky returns the usable member that a visitor's cookie names, or nil.
func (p *Pool) Sticky(hash uint64) *Member {
	s := p.snap.Load()
	if m := s.sticky[hash]; m != nil && s.allows(m) {
		return m
	}
	return nil
}

// Queued is the number of pieces of work that wait for a member.
func (p *Pool) Queued() int64 { return p.queue.waiting.Load() }

// try picks without waiting. none says that no member is left even for those who wait.
func (p *Pool) try(k Key, prefer *Member, except *Mask) (m *Member, none bool) {
	s := p.snap.Load()
	if s.picker == nil {
		return nil, true
	}
	if prefer != nil && !except.Has(prefer) && prefer.used.Load() && s.allows(prefer) && prefer.take() {
		return prefer, false
	}
	// The policy's choice may be full, or have got a reason since the snapshot was made: then the policy's next choice, as far
	// as a mask reaches.
	full := false
	for tried := *except; ; tried.Add(m) {
		m = s.picker.Pick(k, tried)
		switch {
		case m == nil:
			return nil, !full
		case !s.allows(m):
		case m.take():
			return m, false
		default:
			full = true
		}
		if tried.Len() == MaxTries {
			return p.spill(s, k, except)
		}
	}
}

// spill gives work whose first choices are all full to any member with room.
func (p *Pool) spill(s *snapshot, k Key, except *Mask) (m *Member, none bool) {
	n, total := len(s.usable), p.total.Load()
	steps := n
	if s.capacity > 0 && total >= s.capacity {
		steps = min(n, 64) // all are full, but for room that opens right now; looking at ten thousand would not help
	}
	none = steps == n
	// The place to begin changes from request to request: else all of them would land on the same member.
	i := int(Mix(k, uint64(total)) % uint64(n))
	for range steps {
		if o := s.usable[i]; !except.Has(o) && s.allows(o) {
			if o.take() {
				return o, false
			}
			none = false
		}
		if i++; i == n {
			i = 0
		}
	}
	return nil, none
}

// queue is first in, first out.
type queue struct {
	waiting atomic.Int64
	masked  atomic.Int64 // of these, those who cannot use every member

	mu   sync.Mutex // guards list
	list list.List  // of *waiter
}

type waiter struct {
	key    Key
	prefer *Member
	except *Mask
	got    chan *Member // nil: no usable member is left
}

// busy reports whether work waits that could use any member. If so, none has room: each that gets room is handed to the
// longest waiting at once.
func (q *queue) busy() bool { return q.waiting.Load() > 0 && q.masked.Load() == 0 }

// push and remove are called with mu held.
func (q *queue) push(w *waiter) *list.Element {
	q.waiting.Add(1)
	if w.except.Len() > 0 {
		q.masked.Add(1)
	}
	return q.list.PushBack(w)
}

func (q *queue) remove(e *list.Element) {
	q.waiting.Add(-1)
	if e.Value.(*waiter).except.Len() > 0 {
		q.masked.Add(-1)
	}
	q.list.Remove(e)
}

func (p *Pool) wait(k Key, prefer *Member, except *Mask, cancel <-chan struct{}) (*Member, error) {
	c := p.cfg.Load()
	if p.queue.waiting.Load() >= int64(c.Queue) {
		return nil, ErrQueueFull // also found below, but in an overload this should cost nothing
	}
	// The mask is copied: the caller's must not be made to escape by those who do not wait.
	mask := *except
	w := &waiter{key: k, prefer: prefer, except: &mask, got: make(chan *Member, 1)}
	p.queue.mu.Lock()
	if p.queue.list.Len() >= c.Queue {
		p.queue.mu.Unlock()
		return nil, ErrQueueFull
	}
	first := p.queue.list.Len() == 0 || p.queue.masked.Load() > 0
	e := p.queue.push(w)
	p.queue.mu.Unlock()
	if first {
		// A member may have been released between the look and the queueing: its owner saw nobody waiting. Behind others
		// there is nothing to look for, and in a flood each newcomer would look at all members for those before it.
		p.dispatch()
	}

	t := time.NewTimer(c.QueueTimeout)
	defer t.Stop()
	var err error
	select {
	case m := <-w.got:
		if m == nil {
			return nil, ErrNone
		}
		return m, nil
	case <-t.C:
		err = ErrQueueTimeout
	case <-cancel:
		err = ErrCanceled
	}
	p.queue.mu.Lock()
	select {
	case m := <-w.got: // it came at the last moment
		p.queue.mu.Unlock()
		if m != nil && err == ErrQueueTimeout {
			return m, nil
		}
		if m != nil {
			p.Release(m)
		}
		return nil, err
	default:
	}
	p.queue.remove(e)
	p.queue.mu.Unlock()
	return nil, err
}

// handOver gives the room that work on m has just left to the first that may use it.
func (p *Pool) handOver(m *Member) {
	if !m.used.Load() || !p.snap.Load().allows(m) {
		return // if that changes, the new snapshot dispatches by itself
	}
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	for e := p.queue.list.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); !w.except.Has(m) {
			if m.take() {
				p.queue.remove(e)
				w.got <- m
			}
			return
		}
	}
}

// dispatch gives members with room to those who wait, the longest first.
func (p *Pool) dispatch() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	var next *list.Element
	for e := p.queue.list.Front(); e != nil; e = next {
		next = e.Next()
		w := e.Value.(*waiter)
		m, none := p.try(w.key, w.prefer, w.except)
		switch {
		case m != nil, none && !p.stale(p.snap.Load()): // out of date, the next snapshot says it
			p.queue.remove(e)
			w.got <- m
		case w.except.Len() == 0:
			return // nobody has room
		}
	}
}
