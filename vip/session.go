package vip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// One speaker after another:
//
//	start -> (frozen: wait) -> beat, configure -> beat, beat, beat ...   configure again after each reload
//	                                           <- status, status ...     none for a while: kill -9
//	         at the end of Run, or without vips:  stop, and wait until it has let everything go
//	         before an upgrade:                   release, and keep what it says for the heir
//	         it died: start another at once; if that dies soon too, wait a little longer each time

const (
	// firstPause is doubled up to lastPause while speakers die sooner than steady.
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
	steady     = 10 * time.Second
	// quietAtStart is how long a speaker may take until its first status: the machine may be saturated.
	quietAtStart = 5 * time.Second
	// quietLimit is how long it may be silent later on, at least; five advertisements if those take longer.
	quietLimit = 5 * speaker.StatusEvery
	// stopLimit bounds how long a speaker may take to let everything go.
	stopLimit = 2 * time.Second
	// releaseLimit bounds how long it may take to hand over to another speaker.
	releaseLimit = time.Second
)

// session is the life of one speaker.
type session struct {
	v     *Vip
	p     process
	heard atomic.Bool // a status, since the last look

	released chan []vrrp.Snapshot // what it said when it was told to release
	leaving  atomic.Bool          // another process takes over; leave is closed soon
	leave    chan struct{}        // closed when the speaker has nothing more to do

	sending    sync.Mutex // guards the order of what is sent, and what follows
	told       *plan      // the last one that it was told; nil before
	serial     uint64
	beatSerial uint64
}

// supervise keeps a speaker alive while there are vips, until ctx ends.
func (v *Vip) supervise(ctx context.Context) {
	wait := time.Duration(0)
	for ctx.Err() == nil {
		v.tend(ctx)
		if !v.needed() {
			select {
			case <-ctx.Done():
			case <-v.wake:
			}
			continue
		}
		began := time.Now()
		err := v.serve(ctx)
		if err == nil {
			wait = 0
			continue
		}
		if time.Since(began) >= steady {
			wait = 0
		}
		v.lost(err, wait)
		if wait > 0 && !pause(ctx, wait) {
			return
		}
		wait = min(max(2*wait, firstPause), lastPause)
	}
}

// needed reports whether there is something to speak for.
func (v *Vip) needed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.phase != released && (len(v.plan.vips) > 0 || v.leftovers)
}

// remember notes whether the process before this one was killed, all of it, and has left addresses: the speaker's file is there as
// long as there may be some. A speaker removes them also when no vip is configured any more.
func (v *Vip) remember() {
	_, err := os.Stat(filepath.Join(v.o.State, addressFile))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leftovers = err == nil
}

// lost is the end of a speaker that was not asked for.
func (v *Vip) lost(err error, wait time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.speaker.Restarts++
	v.speaker.Error = err.Error()
	v.leftovers = false // one attempt has to do
	v.forget("the speaker was lost: " + err.Error())
	v.log.Error("the speaker was lost: another one is started", "error", err, "after", wait)
}

// serve is the life of one speaker. The error is why it ended; nil if it was told to.
func (v *Vip) serve(ctx context.Context) error {
	p, err := v.spawn()
	if err != nil {
		return err
	}
	s := &session{v: v, p: p, released: make(chan []vrrp.Snapshot, 1), leave: make(chan struct{})}
	v.mu.Lock()
	v.session = s
	v.speaker.PID = p.PID()
	v.mu.Unlock()
	v.log.Info("speaker was started", "pid", p.PID())
	beating, stop := context.WithCancel(ctx)
	gone := make(chan error, 1)
	var own sync.WaitGroup
	own.Go(func() { gone <- s.listen() })
	own.Go(func() { s.beating(beating) })

	err = s.loop(ctx, gone)

	v.mu.Lock()
	v.session = nil
	v.speaker.PID, v.speaker.Realtime = 0, false
	v.mu.Unlock()
	stop()
	p.Close()
	own.Wait()
	select { // the end of its channel is its end
	case <-p.Ended():
	case <-time.After(stopLimit):
		p.Kill()
		<-p.Ended()
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("process %d has ended: %s", p.PID(), p.Cause())
	}
	return err
}

// loop tells the speaker what to do until it ends or is told to.
func (s *session) loop(ctx context.Context, gone <-chan error) error {
	if err := s.configure(); err != nil {
		s.p.Kill()
		return err
	}
	look := time.NewTicker(speaker.StatusEvery)
	defer look.Stop()
	quiet, limit := 0, quietAtStart
	for {
		select {
		case <-ctx.Done():
			s.finish(gone, "skein has stopped")
			return nil
		case <-s.leave:
			s.p.Kill() // it has nothing more to do, and the end of its channel must not make it clean up
			return nil
		case err := <-gone:
			return err
		case <-s.v.wake:
			s.v.tend(ctx)
			if !s.v.needed() {
				s.finish(gone, "no vip is configured any more")
				return nil
			}
			if s.current() {
				continue // it was told before it was woken
			}
			if err := s.configure(); err != nil {
				s.p.Kill()
				return err
			}
		case <-look.C:
			// Looks are counted, not time: when this process itself was stopped, the reports of meanwhile are yet to be read.
			if s.heard.Swap(false) {
				quiet, limit = 0, s.v.quiet()
				continue
			}
			// So is it when this process has more to do than it can: whoever receives waits in the queue of thousands, which our
			// ticker passes by.
			if s.p.Waits() {
				quiet = 0
				continue
			}
			if quiet++; time.Duration(quiet)*speaker.StatusEvery >= limit && s.configured() {
				s.p.Kill()
				return fmt.Errorf("process %d was silent for %v and was killed", s.p.PID(), limit)
			}
		}
	}
}

// quiet is how long the speaker may be silent.
func (v *Vip) quiet() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	limit := time.Duration(0)
	for _, w := range v.plan.vips {
		if d := 5 * w.c.Interval; limit == 0 || d < limit {
			limit = d
		}
	}
	return max(limit, quietLimit)
}

// configure tells the speaker the plan, unless another process still owns the addresses.
func (s *session) configure() error {
	// The ranks come first: a fit node must not begin as an unfit one.
	s.beat()
	s.sending.Lock() // before the plan is read, so that an older one never comes after a newer
	defer s.sending.Unlock()
	v := s.v
	v.mu.Lock()
	if v.phase != active {
		v.mu.Unlock()
		return nil
	}
	p := v.plan
	c := &speaker.Configure{
		Serial: s.serial + 1, Parent: os.Getpid(), State: filepath.Join(v.o.State, addressFile), Groups: v.spoken(), Resume: v.takeResume(),
	}
	v.mu.Unlock()
	if err := s.p.Send(speaker.Order{Configure: c}); err != nil {
		return fmt.Errorf("configure the speaker: %w", err)
	}
	s.told, s.serial = p, c.Serial
	return nil
}

// spoken are the groups that the speaker is told of. mu is held.
func (v *Vip) spoken() []speaker.Group {
	groups := []speaker.Group{}
	for _, g := range v.plan.groups {
		if !v.groups[g.Name].left {
			groups = append(groups, g)
		}
	}
	return groups
}

// current reports whether the speaker was told the plan that is wanted.
func (s *session) current() bool {
	s.v.mu.Lock()
	p := s.v.plan
	s.v.mu.Unlock()
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.told == p
}

func (s *session) configured() bool {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.told != nil
}

// send gives the speaker an order; it fails when the speaker has ended.
func (s *session) send(o speaker.Order) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.p.Send(o)
}

// finish ends the speaker. If another process takes over, nothing may be given up.
func (s *session) finish(gone <-chan error, why string) {
	if s.leaving.Load() {
		<-s.leave
		s.p.Kill()
		return
	}
	s.stop(gone, why)
}

// stop makes the speaker give everything up and waits until it has.
func (s *session) stop(gone <-chan error, why string) {
	if s.send(speaker.Order{Stop: true}) == nil {
		select {
		case <-gone:
		case <-time.After(stopLimit):
			s.v.log.Warn("the speaker did not stop and is killed: the next one removes its addresses", "pid", s.p.PID(), "after", stopLimit)
			s.p.Kill()
		}
	} else {
		s.p.Kill()
	}
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	s.v.forget(why)
}

// listen hears what the speaker says until its end.
func (s *session) listen() error {
	for {
		r, err := s.p.Receive()
		if err != nil {
			return err
		}
		s.hear(r)
	}
}

func (s *session) hear(r speaker.Report) {
	v := s.v
	switch {
	case r.Log != nil:
		v.pass(r.Log)
	case r.Released != nil:
		select {
		case s.released <- *r.Released:
		default: // nobody asked
		}
	case r.Configured != nil:
		v.mu.Lock()
		v.speaker.Error = r.Configured.Error
		swept := v.leftovers
		v.leftovers = false
		v.mu.Unlock()
		if swept {
			v.poke() // without vips it was all that the speaker was for
		}
		if r.Configured.Error != "" {
			v.log.Error("the speaker could not do all", "error", r.Configured.Error)
		}
	case r.Change != nil:
		v.changed(r.Change)
	case r.Status != nil:
		s.heard.Store(true)
		v.warmed()
		v.seen(r.Status)
	}
}

// warmed notes that a speaker lives.
func (v *Vip) warmed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.warm:
	default:
		close(v.warm)
	}
}

// pass logs a line of the speaker.
func (v *Vip) pass(l *speaker.Line) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // an unknown word is info
	args := make([]slog.Attr, 0, len(l.Fields))
	for _, k := range sortedKeys(l.Fields) {
		args = append(args, slog.Any(k, l.Fields[k]))
	}
	v.log.LogAttrs(context.Background(), level, l.Message, args...)
}
