// Package speaker speaks VRRP for a balancer that lives in another process.
//
// An advertisement that is late by three intervals costs the address, and a process that serves ten thousand busy connections
// cannot promise not to be late. So the balancer (the parent) starts this small one beside it, which has real-time priority,
// does nothing else, and alone owns the virtual addresses: it runs the state machines of package vrrp, adds and removes
// addresses, announces them, watches the interfaces, and asks other nodes whether it is alone.
//
// Start at [Speaker.Run], which is one goroutine that owns everything. Receivers, the parent's orders and outcomes come to it
// through one channel of events; whatever may take time is done by [hands]; there is one timer. What the parent and the speaker
// say to each other is in message.go. [Serve] is the process.
//
// It decides nothing of its own about fitness: the parent says how fit the node is ([Beat]). It distrusts the parent's life,
// though: the end of the channel, a parent that was stopped or is silent mean that nobody serves, and it gives everything up.
//
// It promises that an address is on an interface only while its machine is master, and that nothing is left when it ends, unless
// it was killed; then who comes next removes it (state.go).
package speaker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skein/vip/vrrp"
)

// Options are what a speaker needs beside the network.
type Options struct {
	Process  func(pid int) (Process, error) // opens the parent; nil is no such watch
	Realtime bool                           // this process has real-time priority; only shown
	ID       uint16                         // of our echo requests, so that answers to others are not taken for ours
	Err      io.Writer                      // where the log goes when there is no parent any more
}

// Speaker is the process that is on time.
type Speaker struct {
	net     Network
	channel Channel
	o       Options

	events chan event
	over   chan struct{}  // closed when Run ends
	work   sync.WaitGroup // goroutines that Run waits for
	hands  *hands

	reports *reports

	// All of the following belongs to the goroutine of Run.
	groups     []*group
	instances  []*instance
	ears       []*ears
	ranks      map[string]Rank
	parent     parent
	fence      fence
	look       look
	beatSerial uint64
	statusNext time.Duration
	statusSoon bool // something has changed
	alarms     []alarm
	changes    configuring
	orphan     bool // there is no parent any more
	ended      bool
	unsaved    bool // the state could not be written the last time
}

// event is something that has happened; one of the fields is set.
type event struct {
	packet *packet
	echo   netip.Addr
	do     func()
}

// alarm is something to do later.
type alarm struct {
	at time.Duration
	do func()
}

const (
	// lateLimit is how late a wake-up may be until what waits is heard before anything is said. Go's timers are within 1 ms.
	lateLimit = 5 * time.Millisecond
	// quiet is how long nothing has to come in after a late wake-up, and catchUpLimit the longest that is waited for it: a
	// flood must not silence a master.
	quiet        = time.Millisecond
	catchUpLimit = 10 * time.Millisecond
	// maxDrain bounds how many events are handled between two looks at the clock.
	maxDrain = 64
	// endLimit is how long the end waits for addresses to be removed, should the kernel hang.
	endLimit = 3 * time.Second
	// farewell is how long it waits for the parent to read the last reports.
	farewell = time.Second
)

// New makes a speaker. Run closes the channel.
func New(network Network, c Channel, o Options) *Speaker {
	if o.Err == nil {
		o.Err = io.Discard
	}
	s := &Speaker{
		net: network, channel: c, o: o,
		events: make(chan event, 4*maxDrain), over: make(chan struct{}),
		reports: newReports(c),
		ranks:   make(map[string]Rank),
		changes: configuring{fresh: true},
	}
	s.hands = newHands(network.Announce, func(do func()) { s.post(event{do: do}) })
	return s
}

// Run speaks until the parent says so or is gone. Then nothing is left of it.
func (s *Speaker) Run() {
	ctx, cancel := context.WithCancel(context.Background())
	s.work.Go(s.obey)
	s.work.Go(func() { s.reports.run(s.over) })
	s.work.Go(func() { s.hands.run(s.over) })
	s.work.Go(func() { s.watch(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	s.statusNext = s.net.Now()
	for !s.ended {
		due := s.deadline()
		timer.Reset(max(due-s.net.Now(), 0))
		var e event
		happened := false
		select {
		case e = <-s.events:
			happened = true
		case <-timer.C:
		}
		late := s.net.Now() - due
		if late > lateLimit {
			s.forgive(late) // before anything is judged
		}
		if happened {
			s.handle(e)
		}
		if late > lateLimit {
			s.catchUp()
		} else {
			s.drain()
		}
		s.tick()
	}
	done := s.finish()
	cancel()
	close(s.over)
	s.closeSockets()
	_ = s.channel.Close()
	if done {
		s.work.Wait()
	}
}

// post hands an event to the speaker. It is lost when the speaker ends.
func (s *Speaker) post(e event) {
	select {
	case s.events <- e:
	case <-s.over:
	}
}

// pause waits on a receiver's goroutine; it returns false when the speaker ends.
func (s *Speaker) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.over:
		return false
	}
}

func (s *Speaker) handle(e event) {
	switch {
	case e.packet != nil:
		s.hear(e.packet)
	case e.do != nil:
		e.do()
	default:
		s.answered(e.echo)
	}
	s.settle()
}

// drain handles what waits already.
func (s *Speaker) drain() {
	for range maxDrain {
		select {
		case e := <-s.events:
			s.handle(e)
		default:
			return
		}
	}
}

// forgive is called when this process did not run for a while: it was stopped, or the whole machine was, or it is overloaded.
// What has not been heard of others in that time is no fault of theirs.
func (s *Speaker) forgive(late time.Duration) {
	now := s.net.Now()
	s.parent.heard = min(s.parent.heard+late, now)
	s.fence.forgive(late, now)
	for _, g := range s.groups {
		if g.begun {
			g.vrrp.PutOff(late)
		}
	}
}

// catchUp hears what was sent meanwhile. Another node may be master by now, and its advertisements wait in the sockets: they
// count before a timer that has expired.
func (s *Speaker) catchUp() {
	limit := time.Now().Add(catchUpLimit)
	t := time.NewTimer(quiet)
	defer t.Stop()
	for time.Now().Before(limit) {
		select {
		case e := <-s.events:
			s.handle(e)
			t.Reset(quiet)
		case <-t.C:
			return
		}
	}
}

// deadline is when something has to be done next.
func (s *Speaker) deadline() time.Duration {
	next := s.statusNext
	if s.statusSoon {
		next = min(next, s.net.Now())
	}
	for _, g := range s.groups {
		if !g.begun {
			continue
		}
		if d, ok := g.vrrp.Deadline(); ok {
			next = min(next, d)
		}
	}
	if s.parent.process != nil {
		next = min(next, s.parent.next)
	}
	if s.fence.every > 0 {
		next = min(next, s.fence.next, s.fence.judge)
	}
	for _, a := range s.alarms {
		next = min(next, a.at)
	}
	return next
}

// tick does what is due.
func (s *Speaker) tick() {
	now := s.net.Now()
	for _, g := range s.groups {
		if !g.begun {
			continue
		}
		if due, ok := g.vrrp.Deadline(); ok && due <= now {
			s.act(g, g.vrrp.Tick(now), due)
		}
	}
	s.settle()
	if s.parent.process != nil && s.parent.next <= now {
		s.parent.next = now + parentEvery
		s.lookAtParent()
	}
	if f := &s.fence; f.every > 0 {
		if f.next <= now {
			f.next = now + f.every
			s.ask()
		}
		if f.judge <= now {
			s.judgeFence(now)
		}
	}
	for len(s.alarms) > 0 {
		i := slices.IndexFunc(s.alarms, func(a alarm) bool { return a.at <= now })
		if i < 0 {
			break
		}
		do := s.alarms[i].do
		s.alarms = slices.Delete(s.alarms, i, i+1)
		do()
	}
	s.settle()
	if s.statusSoon || s.statusNext <= now {
		s.statusSoon = false
		s.statusNext = now + StatusEvery
		s.report(now)
	}
}

// after does something later.
func (s *Speaker) after(d time.Duration, do func()) {
	s.alarms = append(s.alarms, alarm{s.net.Now() + d, do})
}

// flush waits until the hands have done all jobs that they have now, at most for limit.
func (s *Speaker) flush(limit time.Duration) bool {
	done := false
	s.hands.do(func() func() { return func() { done = true } })
	t := time.NewTimer(limit)
	defer t.Stop()
	for !done {
		select {
		case e := <-s.events:
			s.handle(e)
		case <-t.C:
			return false
		}
	}
	return true
}

// finish gives everything up. It returns false if the kernel hangs.
func (s *Speaker) finish() bool {
	now := s.net.Now()
	s.changes.epoch++
	for _, g := range s.groups {
		if g.begun {
			s.act(g, g.vrrp.Stop(now), 0)
		}
	}
	for _, i := range s.instances {
		s.leaveEars(i)
	}
	path, left := s.changes.state, s.left
	s.groups, s.instances = nil, nil
	if !s.flush(endLimit) {
		s.log(slog.LevelError, "the kernel did not answer; addresses may be left on the interfaces", "limit", endLimit)
		return false
	}
	if path != "" && !s.changes.released {
		s.hands.do(func() func() {
			err := left().save(path)
			return func() { s.stateSaved(path, err) }
		})
		s.flush(endLimit)
	}
	if s.orphan {
		return true
	}
	// The parent learns how it ended, if it listens.
	t := time.NewTimer(farewell)
	defer t.Stop()
	select {
	case <-s.reports.sent():
	case <-t.C:
	}
	return true
}

// obey receives the parent's orders until the channel ends.
func (s *Speaker) obey() {
	b := make([]byte, maxMessage)
	for {
		n, err := s.channel.Receive(b)
		if err != nil {
			s.post(event{do: func() { s.orphaned(err) }})
			return
		}
		o, err := decode(b[:n])
		s.post(event{do: func() {
			if err != nil {
				s.log(slog.LevelError, "an order was not understood", "error", err)
				return
			}
			s.carryOut(o)
		}})
	}
}

// orphaned is called when the parent is gone. Nobody serves any more.
func (s *Speaker) orphaned(err error) {
	s.orphan = true
	cause := err
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		cause = op.Err // a socket pair has no addresses worth a word
	}
	if len(s.instances) > 0 {
		s.log(slog.LevelWarn, "the balancer is gone: its addresses are given up", "cause", cause)
	}
	s.ended = true
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

// carryOut obeys.
func (s *Speaker) carryOut(o *Order) {
	switch {
	case o.Configure != nil:
		s.configure(o.Configure)
	case o.Beat != nil:
		s.beat(o.Beat)
	case o.Yield != nil:
		s.yield(o.Yield)
	case o.Release:
		s.release()
	case o.Stop:
		s.ended = true
	}
}

// yield hands vips over: with them go those that are owned together with them.
func (s *Speaker) yield(y *Yield) {
	now := s.net.Now()
	for _, g := range s.groups {
		if g.begun && slices.ContainsFunc(g.instances, func(i *instance) bool { return slices.Contains(y.VIPs, i.key.vip) }) {
			s.act(g, g.vrrp.Yield(now, y.Reason), 0)
		}
	}
}

// release stops speaking and leaves all as it is.
func (s *Speaker) release() {
	now := s.net.Now()
	snapshots := []vrrp.Snapshot{}
	for _, g := range s.groups {
		snapshots = append(snapshots, s.freeze(g, now)...)
	}
	s.changes.epoch++
	s.changes.busy, s.changes.waiting = false, nil
	s.changes.released, s.changes.fresh = true, true
	instances := s.instances
	s.groups, s.instances = nil, nil
	s.raiseFence()
	s.flush(endLimit) // an address that is on its way must not come or go when another one speaks
	s.reports.send(Report{Released: &snapshots})
	for _, i := range instances { // which may wait for the kernel's lock; nobody waits for this
		s.leaveEarsStanding(i)
	}
}
