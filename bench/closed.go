package main

import (
	"errors"
	"time"
)

// runClosed keeps one request under way on every connection: first until proxy and origin are warm, then for the
// counted time.
func (d *driver) runClosed() error {
	counting, warmed := false, int64(0)
	d.answered = func(c *client) error {
		t := now()
		if counting {
			d.result.Requests++
			d.latency.add(time.Duration(t - c.start))
		} else {
			warmed++
		}
		if c.parting {
			// The proxy has closed first, as it does in production too, and keeps the TIME_WAIT. We only close after it.
			c.close()
			t = now()
			if err := d.connect(c); err != nil {
				return err
			}
		}
		return d.ask(c, t)
	}
	begin := now()
	for i := range d.clients {
		c := &d.clients[i]
		if err := d.connect(c); err != nil {
			return err
		}
		if err := d.ask(c, now()); err != nil {
			return err
		}
	}
	for {
		spent := time.Duration(now() - begin)
		if spent >= d.load.Warmup && warmed >= d.load.WarmupRequests {
			break
		}
		if spent > maxWarmup {
			return d.wrong(errors.New("warm-up took too long"), errEnough)
		}
		if err := d.step(stalled); err != nil {
			return err
		}
	}
	counting = true
	if err := d.meter.start(); err != nil {
		return err
	}
	for end := now() + int64(d.load.Time); now() < end; {
		if err := d.step(stalled); err != nil {
			return err
		}
	}
	return d.meter.stop(&d.result)
}
