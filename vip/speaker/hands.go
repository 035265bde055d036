package speaker

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// hands do what may take time, one thing after the other, so that the goroutine that speaks never waits: the kernel changes
// addresses under a lock that any other program of the machine can hold (RTNL), and disks are slow.
//
// There are two queues. Jobs are done in their order, and each says what the speaker shall do with its outcome. Announcements
// wait for all jobs: they are many (five for each address, twice), and none matters as much as an address.
type hands struct {
	announce func(link string, a netip.Addr) error
	post     func(do func()) // hands the outcome to the speaker

	wake chan struct{}

	mu            sync.Mutex // guards what follows
	jobs          []func() func()
	announcements []announcement
}

// announcement is one gratuitous ARP or unsolicited NA that is still to be sent.
type announcement struct {
	link string
	addr netip.Addr
	// owned turns false when the instance stops to be master: who still announced then would steal the address of its new owner.
	owned  *atomic.Bool
	failed func(error) // run by the speaker's goroutine
}

// maxAnnouncements bounds what waits: it is reached only while the kernel hangs, and then all of it is too late.
const maxAnnouncements = 20000

func newHands(announce func(string, netip.Addr) error, post func(func())) *hands {
	return &hands{announce: announce, post: post, wake: make(chan struct{}, 1)}
}

// do queues a job. What it returns is run by the speaker's goroutine; nil is nothing.
func (h *hands) do(job func() (then func())) {
	h.mu.Lock()
	h.jobs = append(h.jobs, job)
	h.mu.Unlock()
	h.knock()
}

// say queues announcements.
func (h *hands) say(a ...announcement) {
	h.mu.Lock()
	if len(h.announcements)+len(a) <= maxAnnouncements {
		h.announcements = append(h.announcements, a...)
	}
	h.mu.Unlock()
	h.knock()
}

func (h *hands) knock() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run works until over is closed. What is queued then stays undone.
func (h *hands) run(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		job, a, ok := h.next()
		switch {
		case job != nil:
			if then := job(); then != nil {
				h.post(then)
			}
		case ok:
			if !a.owned.Load() {
				continue
			}
			if err := h.announce(a.link, a.addr); err != nil {
				h.post(func() { a.failed(err) })
			}
		default:
			select {
			case <-h.wake:
			case <-over:
				return
			}
		}
	}
}

func (h *hands) next() (job func() func(), a announcement, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.jobs) > 0 {
		job = h.jobs[0]
		h.jobs[0] = nil
		if h.jobs = h.jobs[1:]; len(h.jobs) == 0 {
			h.jobs = nil
		}
		return job, a, false
	}
	if len(h.announcements) > 0 {
		a = h.announcements[0]
		if h.announcements = h.announcements[1:]; len(h.announcements) == 0 {
			h.announcements = nil
		}
		return nil, a, true
	}
	return nil, a, false
}
