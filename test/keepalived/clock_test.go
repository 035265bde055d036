package keepalived

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// clock measures how late the machine is: a thread on each CPU sleeps for a moment again and again, as eager as keepalived is, and notes
// how much longer that took. Whatever a program is late because of the machine alone is in there, and may be added to what
// the protocol allows. On a quiet machine that is nothing.
type clock struct {
	quit chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // guards stalls
	stalls []stall
}

type stall struct {
	at   time.Time // its end
	took time.Duration
}

const (
	tick   = 5 * time.Millisecond
	minute = 2 * time.Millisecond // what is shorter is not noted
)

func newClock() *clock {
	c := &clock{quit: make(chan struct{})}
	for cpu := range runtime.NumCPU() {
		c.done.Go(func() { c.run(cpu) })
	}
	return c
}

func (c *clock) run(cpu int) {
	runtime.LockOSThread() // never unlocked: the thread ends with its priority
	var set unix.CPUSet
	set.Set(cpu)
	unix.SchedSetaffinity(0, &set)
	unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	for {
		select {
		case <-c.quit:
			return
		default:
		}
		begin := time.Now()
		unix.Nanosleep(&unix.Timespec{Nsec: int64(tick)}, nil)
		end := time.Now()
		if late := end.Sub(begin) - tick; late > minute {
			c.mu.Lock()
			c.stalls = append(c.stalls, stall{end, late})
			c.mu.Unlock()
		}
	}
}

// late is how much time the CPUs were not there for somebody, in all, between two moments. Of a longer time it is the beginning and
// the end that count: in between a program waits for its timer, and is not late if it could not have done that.
func (c *clock) late(from, to time.Time) time.Duration {
	const part = 500 * time.Millisecond
	if to.Sub(from) > 2*part {
		return c.stalled(from, from.Add(part)) + c.stalled(to.Add(-part), to)
	}
	return c.stalled(from, to)
}

func (c *clock) stalled(from, to time.Time) (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stalls {
		if s.at.After(from) && s.at.Add(-s.took).Before(to) {
			sum += s.took
		}
	}
	return sum
}

func (c *clock) stop() {
	close(c.quit)
	c.done.Wait()
}
