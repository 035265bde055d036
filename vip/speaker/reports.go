package speaker

import (
	"encoding/json"
	"sync"
)

// reports are on their way to the parent. The parent may be stopped and read nothing: what waits is bounded, and the speaker
// never waits for it. A status that is older than the next one is worth nothing, and log lines are worth less than changes.
type reports struct {
	channel Channel
	wake    chan struct{}

	mu      sync.Mutex // guards what follows
	waiting []Report
	status  *Status       // the newest one
	lost    int           // reports that found no room
	drained chan struct{} // closed when all was sent that waited when sent was called; nil if nobody waits
}

// maxReports is how many reports wait at most; log lines get half of it.
const maxReports = 512

func newReports(c Channel) *reports {
	return &reports{channel: c, wake: make(chan struct{}, 1)}
}

// send queues a report.
func (r *reports) send(p Report) {
	r.mu.Lock()
	room := maxReports
	if p.Log != nil {
		room /= 2
	}
	if p.Change != nil {
		r.status = nil // it is from before the change, and would take it back
	}
	switch {
	case p.Status != nil:
		r.status = p.Status
	case len(r.waiting) < room:
		r.waiting = append(r.waiting, p)
	default:
		r.lost++
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run sends until over is closed or the parent is gone.
func (r *reports) run(over <-chan struct{}) {
	for {
		p, ok := r.next()
		if !ok {
			select {
			case <-r.wake:
				continue
			case <-over:
				if p, ok = r.next(); !ok {
					return
				}
			}
		}
		b, err := json.Marshal(p)
		if err == nil {
			err = r.channel.Send(b)
		}
		if err != nil && isGone(err) {
			return
		}
	}
}

// sent is closed when nothing waits any more, or the parent is gone.
func (r *reports) sent() <-chan struct{} {
	done := make(chan struct{})
	r.mu.Lock()
	r.drained = done
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return done
}

// next is what to send next. A status goes after what waits, so that it is not older than a change that was told before.
func (r *reports) next() (Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.lost > 0 && len(r.waiting) < maxReports/4:
		lost := r.lost
		r.lost = 0
		return Report{Log: &Line{Level: "warn", Message: "reports of the speaker were lost", Fields: map[string]any{"count": lost}}}, true
	case len(r.waiting) > 0:
		p := r.waiting[0]
		r.waiting[0] = Report{}
		if r.waiting = r.waiting[1:]; len(r.waiting) == 0 {
			r.waiting = nil
		}
		return p, true
	case r.status != nil:
		p := Report{Status: r.status}
		r.status = nil
		return p, true
	}
	if r.drained != nil {
		close(r.drained)
		r.drained = nil
	}
	return Report{}, false
}
