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
	if m, none := p.try(k, prefer, except); m != nil {
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
func (p *Pool) Sticky(hash uint64) *Member { return p.snap.Load().sticky[hash] }

// Queued is the number of pieces of work that wait for a member.
func (p *Pool) Queued() int64 { return p.queue.waiting.Load() }

// try picks without waiting. none says that no member is left even for those who wait.
func (p *Pool) try(k Key, prefer *Member, except *Mask) (m *Member, none bool) {
	s := p.snap.Load()
	if s.picker == nil {
		return nil, true
	}
	if prefer != nil && !except.Has(prefer) && prefer.take() {
		return prefer, false
	}
	m = s.picker.Pick(k, *except)
	if m == nil {
		return nil, true
	}
	if m.take() {
		return m, false
	}
	// The chosen one is full. Work spills over to any member with room, from a place that depends on the key so that not all
	// of it lands on the same one.
	n := len(s.usable)
	start := int(uint64(Mix(k, uint64(m.active.Load()))) % uint64(n))
	for i := range n {
		o := s.usable[(start+i)%n]
		if o != m && !except.Has(o) && o.take() {
			return o, false
		}
	}
	return nil, false
}

// queue is first in, first out.
type queue struct {
	waiting atomic.Int64

	mu   sync.Mutex // guards list
	list list.List  // of *waiter
}

type waiter struct {
	key    Key
	prefer *Member
	except *Mask
	got    chan *Member // nil: no usable member is left
}

func (p *Pool) wait(k Key, prefer *Member, except *Mask, cancel <-chan struct{}) (*Member, error) {
	c := p.cfg.Load()
	// The mask is copied: the caller's must not be made to escape by those who do not wait.
	mask := *except
	w := &waiter{key: k, prefer: prefer, except: &mask, got: make(chan *Member, 1)}
	p.queue.mu.Lock()
	if p.queue.list.Len() >= c.Queue {
		p.queue.mu.Unlock()
		return nil, ErrQueueFull
	}
	e := p.queue.list.PushBack(w)
	p.queue.waiting.Add(1)
	p.queue.mu.Unlock()
	// A member may have been released between the look and the queueing: its owner saw nobody waiting.
	p.dispatch()

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
	p.queue.list.Remove(e)
	p.queue.waiting.Add(-1)
	p.queue.mu.Unlock()
	return nil, err
}

// handOver gives the room that work on m has just left to the first that may use it.
func (p *Pool) handOver(m *Member) {
	if !p.uses(m) {
		return // a new snapshot dispatches by itself
	}
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	for e := p.queue.list.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); !w.except.Has(m) {
			if m.take() {
				p.queue.list.Remove(e)
				p.queue.waiting.Add(-1)
				w.got <- m
			}
			return
		}
	}
}

// uses reports whether m is in use: usable, or used because the pool panics.
func (p *Pool) uses(m *Member) bool {
	r := m.Reasons()
	return r == 0 || r&Drained == 0 && p.Panicking()
}

// dispatch gives members with room to those who wait, the longest first.
func (p *Pool) dispatch() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	for e := p.queue.list.Front(); e != nil; {
		w := e.Value.(*waiter)
		m, none := p.try(w.key, w.prefer, w.except)
		next := e.Next()
		if m == nil && !none {
			return // nobody has room
		}
		p.queue.list.Remove(e)
		p.queue.waiting.Add(-1)
		w.got <- m
		e = next
	}
}
