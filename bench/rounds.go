package main

import (
	"context"
	"fmt"
	"os"
)

// measure runs one scenario: round after round, in each round every contender once. What disturbs the machine for a while
// then disturbs all of them alike.
func (h *harness) measure(ctx context.Context, s scenario) (Table, error) {
	field := s.field(h.present)
	rows := make([]*Row, len(field))
	running := make([]*instance, len(field))
	defer func() {
		for _, p := range running {
			if p != nil {
				p.stop()
			}
		}
	}()
	for i, c := range field {
		rows[i] = &Row{Name: c.name}
		if s.alone {
			continue
		}
		var err error
		if running[i], err = h.launch(ctx, c); err != nil {
			rows[i].Note = err.Error()
		}
	}
	load := s.load(h.settings)
	var notes []string
	if load.Mode == Open && load.Rate == 0 {
		var err error
		if load.Rate, err = h.halfLoad(ctx, load, field, running); err != nil {
			return Table{}, err
		}
		notes = append(notes, fmt.Sprintf("%.0f requests per second, half of what the slower of nginx and skein can", load.Rate))
	}
	for round := range h.settings.Rounds {
		for i, c := range field {
			fmt.Fprintf(os.Stderr, "\r%-70s", fmt.Sprintf("%s, round %d of %d: %s", s.name, round+1, h.settings.Rounds, c.name))
			if ctx.Err() != nil {
				return Table{}, context.Cause(ctx)
			}
			if rows[i].Note != "" {
				continue // it did not start, or broke off
			}
			r, err := h.once(ctx, c, load, running[i])
			if ctx.Err() != nil {
				return Table{}, context.Cause(ctx)
			}
			if err != nil {
				rows[i].Note = err.Error()
				continue
			}
			rows[i].Results = append(rows[i].Results, r)
		}
	}
	t := summarize(s, rows, against)
	t.Notes = append(notes, t.Notes...)
	return t, nil
}

// once measures a contender once; without an instance that runs it starts one for this time only.
func (h *harness) once(ctx context.Context, c contender, load Load, p *instance) (Result, error) {
	if p == nil {
		var err error
		if p, err = h.launch(ctx, c); err != nil {
			return Result{}, err
		}
		defer p.stop()
	}
	load.Address, load.Group = p.address, p.group()
	load.Paths, load.WarmupRequests = c.paths, c.warm
	r, err := h.drive(ctx, load)
	select {
	case <-p.ended:
		// Its own words say more than those of the driver.
		return Result{}, p.explain("ended under load")
	default:
		return r, err
	}
}

// halfLoad finds the rate of the open loop: half of what the slower of nginx and skein does in a closed loop, so that
// neither is near its limit and both get the same. Without either, the slowest of all counts.
func (h *harness) halfLoad(ctx context.Context, load Load, field []contender, running []*instance) (float64, error) {
	load.Mode, load.Rate, load.Conns = Closed, 0, h.settings.Conns
	slowest, general := 0.0, 0.0
	for i, c := range field {
		if running[i] == nil {
			continue
		}
		r, err := h.once(ctx, c, load, running[i])
		if err != nil {
			return 0, err
		}
		if r.Errors > 0 {
			continue
		}
		if (c.name == "skein" || c.name == "nginx") && (slowest == 0 || r.Rate() < slowest) {
			slowest = r.Rate()
		}
		if general == 0 || r.Rate() < general {
			general = r.Rate()
		}
	}
	if slowest == 0 {
		slowest = general
	}
	if slowest == 0 {
		return 0, fmt.Errorf("no proxy answers well enough to find a rate")
	}
	return slowest / 2, nil
}
