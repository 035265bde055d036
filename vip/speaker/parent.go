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
	at      time.Duration // when it was looked at last before it fell silent
	worked  time.Duration // what it had worked then
	busy    bool          // it has worked since
	stopped bool          // it was seen stopped, and has not sent a beat since it runs again
	next    time.Duration // when to look at it
}

const (
	// parentEvery is how often the state of a silent parent is read; that costs some microseconds.
	parentEvery = 50 * time.Millisecond
	// overdue is how long after a beat the parent is looked at first: who speaks runs, and each wake-up of a process that sleeps costs
	// more than what it then does.
	overdue = BeatEvery + 10*time.Millisecond
)

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
	s.parent.pid, s.parent.next, s.parent.stopped, s.parent.busy = pid, now, false, false
}

// lookAtParent reads whether the parent is stopped, and whether it works.
func (s *Speaker) lookAtParent() {
	p := &s.parent
	if p.process == nil {
		return
	}
	state, err := p.process.Look()
	if err != nil {
		return // it has ended: the channel tells that
	}
	if state.Stopped {
		p.stopped = true
	}
	now := s.net.Now()
	if now-p.heard <= 2*parentEvery {
		p.at, p.worked = now, state.Worked
	}
	p.busy = state.Worked-p.worked >= max(busyLeast, (now-p.at)/busyShare)
}

// A parent that is silent, but works, is not dead: on a machine that is overloaded its word comes seconds late, and to take the
// addresses from it then would move the whole load to a node that is overloaded in the next moment. One that hangs does nothing: its
// run time and its health checks need less than a hundredth of a processor. One that turns in circles is found by the longer limit.
const (
	busyShare = 100
	busyLeast = 30 * time.Millisecond // three of the kernel's ticks
)

// beat is what the parent says all the time.
func (s *Speaker) beat(b *Beat) {
	s.parent.heard = s.net.Now()
	s.beatSerial = b.Serial
	if s.parent.stopped {
		// A beat that it sent before it was stopped may have waited in the channel: only one from a running parent counts.
		if state, err := s.parent.process.Look(); err == nil && !state.Stopped {
			s.parent.stopped = false
		}
	} else {
		s.parent.next = s.parent.heard + overdue
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
	case now-p.heard > HangLimit, now-p.heard > StallLimit && !p.busy:
		return "the balancer is silent"
	}
	return ""
}
