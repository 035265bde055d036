package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skein/admin"
	"skein/config"
	"skein/policy"
	"skein/pool"
)

// A reload goes
//
//	load -> next pools -> every Prepare -> commit all
//	                  \____ an error: ____ discard all, nothing has changed
//
// Everything that can fail happens before anything that lives is touched, so a reload happens as a whole or not at all. Pools
// and members that stay keep their objects, and with them their counters, health and connections.

// prepareLimit bounds how long services may prepare: a reload that hangs would block all later ones.
const prepareLimit = 30 * time.Second

// Reload reads the file again and makes it live, or changes nothing and says why. Reloads queue behind each other. During an
// upgrade they are refused: the new process has read the file, maybe an older one than is there now.
func (e *Engine) Reload(ctx context.Context) error {
	if e.upgrading.Load() {
		err := errors.New("an upgrade is under way: reload again when it has ended")
		e.log.Error("configuration was not reloaded: the running one stays", "error", err)
		// Type=notify-reload waits for both.
		e.notify(reloading())
		e.notify("READY=1")
		return err
	}
	e.reload.Lock()
	defer e.reload.Unlock()
	if e.stopped.Load() {
		return errors.New("skein is stopping")
	}
	e.notify(reloading())
	defer e.notify("READY=1")
	began := time.Now()
	c, err := e.o.Load()
	if err == nil {
		err = e.change(ctx, c)
	}
	last := &admin.Reload{Time: began, OK: err == nil, Hash: e.live.Load().config.Hash}
	if err != nil {
		last.Error = err.Error()
		e.last.Store(last)
		e.log.Error("configuration was not reloaded: the running one stays", "error", line(err))
		return err
	}
	e.last.Store(last)
	e.log.Info("configuration was reloaded", "file", c.File, "hash", short(c.Hash), "took", time.Since(began).Round(time.Microsecond))
	return nil
}

// change makes c live, all or nothing. The reload lock is held, or nobody else knows e yet.
func (e *Engine) change(ctx context.Context, c *config.Config) error {
	old := e.live.Load()
	if c.State != old.config.State {
		return fmt.Errorf("state = %q: the directory cannot be changed while skein runs (it is %q); restart skein", c.State, old.config.State)
	}
	set, err := old.set.Next(c, pool.Options{Policy: policy.New, Drained: e.parts.drained, Now: time.Now()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	var commits, discards []func()
	for _, s := range e.parts.all() {
		commit, discard, err := s.service.Prepare(ctx, c, set)
		if err != nil {
			for i := range discards {
				discards[len(discards)-1-i]()
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
		commits, discards = append(commits, commit), append(discards, discard)
	}
	// From here on nothing fails.
	set.Commit(time.Now())
	for _, commit := range commits {
		commit()
	}
	e.logs.apply(c.Log)
	e.live.Store(&live{config: c, set: set})
	return nil
}

// line is an error in one line of the log: of a file with mistakes the first one, with its place. Whoever asked for the reload
// gets all of them.
func line(err error) string {
	var d *config.Diagnostics
	if !errors.As(err, &d) {
		return err.Error()
	}
	more := -1
	var first config.Problem
	for _, p := range d.Problems {
		if p.Severity != config.SeverityError {
			continue
		}
		if more++; more == 0 {
			first = p
		}
	}
	s := fmt.Sprintf("%s:%d: %s: %s", first.File, first.Line, first.Summary, first.Detail)
	if more > 0 {
		s += fmt.Sprintf(" (and %d more; see skein check)", more)
	}
	return s
}
