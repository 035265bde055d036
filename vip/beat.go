package vip

import (
	"context"
	"sync"
	"time"

	"skein/vip/speaker"
)

// beats count how punctual this process was.
type beats struct {
	mu   sync.Mutex // guards what follows
	sent uint64
	late uint64
	max  time.Duration
}

// note counts a beat that left late after its time.
func (b *beats) note(late time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent++
	b.max = max(b.max, late)
	if late > speaker.BeatEvery {
		b.late++
	}
}

func (b *beats) status(s *SpeakerStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Beats, s.BeatsLate, s.BeatMax = b.sent, b.late, b.max
}

// beating tells the speaker each [speaker.BeatEvery] that this process lives and how fit it is, and at once when that has
// changed, until ctx ends.
//
// What it needs of the rest is one pointer: it must not wait for a lock that somebody holds who waits for a disk. It has no
// thread of its own: a goroutine whose time has come is the next to run on the processor that sees it, while one with a thread
// has to be handed a processor, and that thread waits for the system's scheduler, too.
func (s *session) beating(ctx context.Context) {
	t := time.NewTimer(speaker.BeatEvery)
	defer t.Stop()
	due := time.Now().Add(speaker.BeatEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.v.urgent:
			s.beat()
		case <-t.C:
			now := time.Now()
			s.beat()
			s.v.beats.note(now.Sub(due))
			if due = due.Add(speaker.BeatEvery); due.Before(now) {
				due = now.Add(speaker.BeatEvery)
			}
			t.Reset(time.Until(due))
		}
	}
}

// beat sends one. An error is nothing new: whoever listens to the speaker sees its end.
func (s *session) beat() {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.beatSerial++
	_ = s.p.Send(speaker.Order{Beat: &speaker.Beat{Serial: s.beatSerial, Ranks: *s.v.ranks.Load()}})
}
