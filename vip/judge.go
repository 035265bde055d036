package vip

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"skein/config"
	"skein/vip/speaker"
)

// Whether this node is fit to own a vip is said by its sources: the probe through its own listeners, and the check commands.
// Fit is what all of them call good. A source changes its mind after some runs with the same result in a row; only its first
// good run counts at once, so that a node that has just started is not unfit for longer than it must.

const (
	// While a source has never been good it is the start: the listeners open at this moment. A probe is repeated soon then.
	eagerEvery = 100 * time.Millisecond
	eagerRuns  = 20
)

// source is one thing that decides whether this node is fit. The Vip's mu guards it.
type source struct {
	rule   rule
	good   bool
	ever   bool // it has been good
	known  bool // it has run
	streak int  // runs with the same result as the last one
	err    error
	last   time.Time
	took   time.Duration
}

// rule is what the file says of a source.
type rule struct {
	name           string // "" is the probe
	command        []string
	every, timeout time.Duration
	rise, fall     int
}

func rulesOf(c *config.VIP) []rule {
	rules := []rule{{every: c.Probe.Every, timeout: c.Probe.Timeout, rise: c.Probe.Rise, fall: c.Probe.Fall}}
	for _, k := range c.Checks {
		rules = append(rules, rule{k.Name, k.Command, k.Every, k.Timeout, k.Rise, k.Fall})
	}
	return rules
}

// note takes the result of a run.
func (s *source) note(err error, at time.Time, took time.Duration) {
	if s.known && (s.err == nil) == (err == nil) {
		s.streak++
	} else {
		s.streak = 1
	}
	s.known, s.err, s.last, s.took = true, err, at, took
	switch {
	case err == nil && !s.good && (!s.ever || s.streak >= s.rule.rise):
		s.good, s.ever = true, true
	case err != nil && s.good && s.streak >= s.rule.fall:
		s.good = false
	}
}

// blame is why the source makes this node unfit.
func (s *source) blame() string {
	name := "probe"
	if s.rule.name != "" {
		name = fmt.Sprintf("check %q", s.rule.name)
	}
	switch {
	case !s.known:
		return name + " has not run yet"
	case s.err == nil:
		return fmt.Sprintf("%s is good again, %d of %d times", name, s.streak, s.rule.rise)
	}
	return name + ": " + s.err.Error()
}

// takeSources makes the sources of the new configuration, which keep what those of the same name knew: a reload must not make
// a node unfit. mu is held.
func (r *router) takeSources() {
	rules := rulesOf(r.w.c)
	same := len(rules) == len(r.sources)
	var next []*source
	for i, rule := range rules {
		s := &source{rule: rule}
		for _, o := range r.sources {
			if o.rule.name == rule.name {
				*s = *o
				s.rule = rule
			}
		}
		next = append(next, s)
		same = same && reflect.DeepEqual(r.sources[i].rule, rule)
	}
	if same {
		return
	}
	r.stopJudges()
	r.sources = next
	r.judge()
}

// judge makes the fitness of what the sources say. mu is held.
func (r *router) judge() {
	next := speaker.Rank{Fitness: speaker.Fit}
	for _, s := range r.sources {
		if !s.good {
			next = speaker.Rank{Fitness: speaker.Unfit, Reason: s.blame()}
			break
		}
	}
	if next.Fitness != r.fitness.Fitness {
		if next.Fitness == speaker.Fit {
			r.v.log.Info("this node became fit", "vip", r.w.c.Name, "was", r.fitness.Reason)
		} else {
			r.v.log.Warn("this node became unfit", "vip", r.w.c.Name, "reason", next.Reason)
		}
	}
	r.fitness = next
}

// tend starts the judges that do not run.
func (v *Vip) tend(ctx context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase != active || ctx.Err() != nil {
		return // a probe of ours would reach the other process
	}
	for _, r := range v.routers {
		if r.judging == nil {
			r.startJudges(ctx)
		}
	}
}

// startJudges runs every source, when the judges of before have ended. mu is held.
func (r *router) startJudges(ctx context.Context) {
	ctx, r.judging = context.WithCancel(ctx)
	before, done := r.started, make(chan struct{})
	r.started = done
	running := make(chan struct{}, len(r.sources))
	for _, s := range r.sources {
		run := r.probe
		if s.rule.name != "" {
			run = r.v.check(r.w, s.rule, r.v.plan.node)
		}
		r.v.judges.Go(func() {
			defer func() { running <- struct{}{} }()
			<-before
			r.watch(ctx, s, s.rule, run)
		})
	}
	n := len(r.sources)
	r.v.judges.Go(func() {
		for range n {
			<-running
		}
		close(done)
	})
}

// stopJudges ends the judges without waiting. mu is held.
func (r *router) stopJudges() {
	if r.judging != nil {
		r.judging()
		r.judging = nil
	}
}

// watch runs one source again and again until ctx ends.
func (r *router) watch(ctx context.Context, s *source, rule rule, run func(context.Context) error) {
	next := time.Duration(0)
	for runs := 1; pause(ctx, next); runs++ {
		limited, cancel := context.WithTimeout(ctx, rule.timeout)
		began := time.Now()
		err := run(limited)
		cancel()
		if ctx.Err() != nil {
			return // what an interrupted run says means nothing
		}
		r.v.mu.Lock()
		s.note(err, time.Now(), time.Since(began))
		r.judge()
		r.v.rate()
		ever := s.ever
		r.v.mu.Unlock()
		next = rule.every
		if !ever && rule.name == "" && runs < eagerRuns {
			next = min(next, eagerEvery)
		}
	}
}

// probe asks whether visitors of the addresses would be served.
func (r *router) probe(ctx context.Context) error {
	r.v.mu.Lock()
	addresses := r.w.addresses // a reload may change them
	r.v.mu.Unlock()
	return r.v.o.Serving(ctx, addresses)
}

// check is the run of a check command.
func (v *Vip) check(w *wanted, rule rule, node string) func(context.Context) error {
	c := command{argv: rule.command, env: []string{"SKEIN_VIP=" + w.c.Name, "SKEIN_NODE=" + node}}
	return func(ctx context.Context) error {
		said, err := v.run(ctx, c)
		if err != nil && said != "" {
			return fmt.Errorf("%w: %s", err, said)
		}
		return err
	}
}
