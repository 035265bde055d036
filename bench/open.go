package main

import (
	"errors"
	"time"
)

// schedule says when each request of an open loop is due: evenly spaced from begin on.
type schedule struct {
	begin    int64   // ns
	interval float64 // ns
}

func (s schedule) due(i int64) int64 { return s.begin + int64(float64(i)*s.interval) }

// grace is how long an open loop waits for the last answers.
const grace = time.Second

// runOpen sends each request when it is due if a connection is free, else as soon as one is; the latency counts from the
// due time either way. Requests of the warm-up are not recorded.
func (d *driver) runOpen() error {
	if d.load.Rate <= 0 {
		return errors.New("open loop without a rate")
	}
	// Free connections, oldest first, so that all of them are used as by so many visitors. Clients only leave the queue to
	// be busy, so it never holds more than there are.
	free := make([]*client, 0, len(d.clients))
	sent, answers := int64(0), int64(0)
	var s schedule
	first := int64(d.load.Rate * d.load.Warmup.Seconds())
	last := first + int64(d.load.Rate*d.load.Time.Seconds())
	d.answered = func(c *client) error {
		if c.start >= s.due(first) {
			d.result.Requests++
			d.latency.add(time.Duration(now() - c.start))
		}
		answers++
		free = append(free, c)
		return nil
	}
	for i := range d.clients {
		c := &d.clients[i]
		if err := d.connect(c); err != nil {
			return err
		}
		free = append(free, c)
	}
	s = schedule{begin: now(), interval: float64(time.Second) / d.load.Rate}
	started, stopped := false, false
	for answers < last || !stopped {
		t := now()
		if !started && t >= s.due(first) {
			started = true
			if err := d.meter.start(); err != nil {
				return err
			}
		}
		if !stopped && t >= s.due(last) {
			stopped = true
			if err := d.meter.stop(&d.result); err != nil {
				return err
			}
		}
		if t > s.due(last)+int64(grace) {
			break
		}
		used := 0
		for ; used < len(free) && sent < last && s.due(sent) <= t; used++ {
			c := free[used]
			if err := d.ask(c, s.due(sent)); err != nil {
				if err := d.wrong(err, d.again(c)); err != nil {
					return err
				}
			}
			sent++
		}
		free = free[:copy(free, free[used:])]
		// Sleep until something is due, or an answer comes.
		until := s.due(last) + int64(grace)
		if len(free) > 0 && sent < last {
			until = s.due(sent)
		}
		if !started {
			until = min(until, s.due(first))
		} else if !stopped {
			until = min(until, s.due(last))
		}
		if err := d.step(max(0, time.Duration(until-now()))); err != nil {
			return err
		}
	}
	d.leave(s, max(sent, first), last)
	return nil
}

// leave records what was never answered as having waited until now: leaving it out would flatter a proxy that is too slow.
func (d *driver) leave(s schedule, sent, last int64) {
	t := now()
	for i := range d.clients {
		if c := &d.clients[i]; c.busy {
			d.latency.add(time.Duration(t - c.start))
			d.result.Late++
		}
	}
	for i := sent; i < last; i++ {
		d.latency.add(time.Duration(t - s.due(i)))
		d.result.Late++
	}
}
