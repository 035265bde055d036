package main

import (
	"errors"
	"fmt"
	"time"
)

// opening is how many connections of the idle mode are made at a time: far fewer than any listener's backlog.
const opening = 64

// runIdle opens connections that each make one request and then stay silent, lets the proxy settle, and reads its memory
// before and after. A first hundred connections come and go before that: what a proxy allocates once does not belong to a
// client.
func (d *driver) runIdle() error {
	warmups := min(100, len(d.clients))
	if err := d.visit(d.clients[:warmups]); err != nil {
		return err
	}
	for i := range warmups {
		d.clients[i].close()
	}
	if err := d.settle(); err != nil {
		return err
	}
	var err error
	if d.result.Before, err = memory(d.meter.proxy); err != nil {
		return fmt.Errorf("read memory of proxy: %w", err)
	}
	if err := d.meter.start(); err != nil {
		return err
	}
	if err := d.visit(d.clients); err != nil {
		return err
	}
	d.result.Requests = int64(len(d.clients))
	if err := d.settle(); err != nil {
		return err
	}
	if err := d.meter.stop(&d.result); err != nil {
		return err
	}
	for i := range d.clients {
		ended, err := d.clients[i].ended(d.scratch)
		if err == nil && ended {
			err = errors.New("idle connection closed by the proxy")
		}
		if err != nil {
			if err := d.wrong(err, nil); err != nil {
				return err
			}
			continue
		}
		d.result.Connected++
	}
	if d.result.After, err = memory(d.meter.proxy); err != nil {
		return fmt.Errorf("read memory of proxy: %w", err)
	}
	return nil
}

// visit connects clients and has each make one request.
func (d *driver) visit(clients []client) error {
	begun, finished := 0, 0
	begin := func() error {
		if begun == len(clients) {
			return nil
		}
		c := &clients[begun]
		begun++
		if err := d.connect(c); err != nil {
			return err
		}
		return d.ask(c, now())
	}
	d.answered = func(c *client) error {
		d.latency.add(time.Duration(now() - c.start))
		finished++
		return begin()
	}
	for range opening {
		if err := begin(); err != nil {
			return err
		}
	}
	for finished < len(clients) {
		if err := d.step(stalled); err != nil {
			return err
		}
	}
	return nil
}

// settle waits, and lets events come: a connection that the proxy closes is an error.
func (d *driver) settle() error {
	for end := now() + int64(d.load.Time); now() < end; {
		if err := d.step(time.Duration(end - now())); err != nil {
			return err
		}
	}
	return nil
}
