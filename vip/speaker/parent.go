package speaker

import (
	"log/slog"
	"time"
)

// parent is what is known of the balancer. An address must not stay where nobody answers: a balancer that was stopped, or hangs,
// holds its sockets open, and the kernel goes on accepting connections that nobody will ever read.
type parent struct {
	process Process
	pid     int
	heard   time.Duration // the last beat
	stopped bool          // it was seen stopped, and has not sent a beat since it runs again
	next    time.Duration // when to look at it
}

// parentEvery is how often the parent's state is read; that costs some microseconds.
const parentEvery = 50 * time.Millisecond

// watchParent begins to watch a process.
func (s *Speaker) watchParent(pid int) {
	now := s.net.Now()
	s.parent.heard = now // it has just spoken
	if pid == s.parent.pid || s.o.Process == nil || pid <= 0 {
		return
	}
	if s.parent.process != nil {
		_ = s.parent.process.Close()
		s.parent.process = nil
	}
	p, err := s.o.Process(pid)
	if err != nil {
		s.log(slog.LevelWarn, "the balancer's state cannot be seen; that it was stopped is noticed by its silence only", "error", err)
	} else {
		s.parent.process = p
	}
	s.parent.pid, s.parent.next, s.parent.stopped = pid, now, false
}

// lookAtParent reads whether the parent is stopped.
func (s *Speaker) lookAtParent() {
	if s.parent.process == nil {
		return
	}
	stopped, err := s.parent.process.Stopped()
	if err != nil {
		return // it has ended: the channel tells that
	}
	if stopped {
		s.parent.stopped = true
	}
}

// beat is what the parent says all the time.
func (s *Speaker) beat(b *Beat) {
	s.parent.heard = s.net.Now()
	s.beatSerial = b.Serial
	if s.parent.stopped {
		// A beat that it sent before it was stopped may have waited in the channel: only one from a running parent counts.
		if stopped, err := s.parent.process.Stopped(); err == nil && !stopped {
			s.parent.stopped = false
		}
	}
	for vip, r := range b.Ranks { // also of those that come with the next configuration
		s.ranks[vip] = r
	}
	s.rank()
}

// complaint is why the parent does not serve; empty if it does.
func (p *parent) complaint(now time.Duration) string {
	switch {
	case p.stopped:
		return "the balancer is stopped"
	case now-p.heard > StallLimit:
		return "the balancer is silent"
	}
	return ""
}
