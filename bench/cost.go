package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cost is what a process takes while nobody visits.
type cost struct {
	name   string
	pids   []int
	cpu    float64 // cores
	memory Memory
	wakes  float64 // per second

	spent    time.Duration
	switches int64
}

// measureCosts watches a pair of balancers and a pair of keepalived that have one address each, and nothing else to do.
func measureCosts(ctx context.Context, h *harness, n *network, watch time.Duration) ([]cost, error) {
	skein := filepath.Join(h.dir, "skein")
	var all []cost
	for i, s := range []side{master, far} {
		word := []string{"master", "backup"}[i]
		b, err := h.startBalancer(n, s, true, skein)
		if err != nil {
			return nil, err
		}
		defer b.stop()
		status, err := b.reaches(ctx, word)
		if err != nil {
			return nil, err
		}
		all = append(all, cost{name: "skein's speaker, " + word, pids: []int{status.Speaker.PID}}, cost{name: "skein's balancer, " + word, pids: []int{b.group()}})
	}
	for i, s := range []side{master, far} {
		k, err := h.startKeepalived(n, s, true)
		if err != nil {
			return nil, err
		}
		defer k.stop()
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
		pids, err := members(k.group()) // it and its child that speaks
		if err != nil {
			return nil, err
		}
		all = append(all, cost{name: "keepalived, " + []string{"master", "backup"}[i], pids: pids})
	}
	if err := pause(ctx, 3*time.Second); err != nil { // first requests, first collections
		return nil, err
	}
	begin := time.Now()
	for i := range all {
		if err := all[i].read(); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, watch); err != nil {
		return nil, err
	}
	took := time.Since(begin).Seconds()
	for i := range all {
		c := &all[i]
		before := *c
		if err := c.read(); err != nil {
			return nil, err
		}
		c.cpu = (c.spent - before.spent).Seconds() / took
		c.wakes = float64(c.switches-before.switches) / took
	}
	return all, nil
}

// read reads the counters.
func (c *cost) read() (err error) {
	c.spent, c.switches = 0, 0
	for _, pid := range c.pids {
		spent, err := processCPU(pid)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		c.spent += spent
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return err
		}
		for _, name := range threads {
			b, err := os.ReadFile(name)
			if err != nil {
				continue // it ended meanwhile
			}
			// Each wake-up ends with the thread giving its CPU up.
			if _, rest, ok := strings.Cut(string(b), "\nvoluntary_ctxt_switches:"); ok {
				var k int64
				if _, err := fmt.Sscan(rest, &k); err != nil {
					return fmt.Errorf("read %s: %w", name, err)
				}
				c.switches += k
			}
		}
	}
	c.memory, err = memory(c.pids)
	return err
}

// pause waits, unless the user has had enough.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
