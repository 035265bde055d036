package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"skein/pool"
)

// ErrNotDrained is returned by [Store.Remove] when there is nothing to remove.
var ErrNotDrained = errors.New("is not drained")

// Store is the drains that stand. All methods may be called from any goroutine.
type Store struct {
	log  *slog.Logger
	file *file
	wake chan struct{} // tells Run that the first expiry may have changed

	drained atomic.Pointer[map[string]bool] // by server; never changed

	mu     sync.Mutex // guards what follows and the writing of drained and file
	drains []Drain    // by server, then owner; replaced as a whole
	set    *pool.Set  // the live one
	frozen bool       // another process writes the file
}

// Open reads the drains in dir/drains.json and starts nothing. A directory that is missing is made; if that is impossible,
// the store is empty and each Add says why. Only a file that exists and cannot be read is an error.
func Open(dir string, log *slog.Logger) (*Store, error) {
	s := &Store{log: log, file: newFile(dir), wake: make(chan struct{}, 1), set: pool.NewSet()}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		// Many a site never drains. It must run without the right to write.
		log.Warn("drains cannot be kept", "error", err, "hint", "set state in the file to a directory where this user may write")
		s.take(nil)
		return s, nil
	}
	drains, err := s.file.read(log, time.Now())
	if err != nil {
		return nil, err
	}
	s.take(drains)
	return s, nil
}

// Run ends drains that expire, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.wake:
		}
		t.Stop()
		if next := s.expire(time.Now()); !next.IsZero() {
			t.Reset(time.Until(next))
		}
	}
}

// Add makes drains stand, each in place of an earlier one of the same server by the same owner. A zero Since is now. When Add
// returns nil, all of them are on disk and in every pool; when it returns an error, nothing has changed. The servers need
// not be known.
func (s *Store) Add(drains ...Drain) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.drains)
	drains = slices.Clone(drains) // the caller's stay as they are
	for i, d := range drains {
		if d.Since.IsZero() {
			d.Since = now
		}
		if err := d.check(now); err != nil {
			return err
		}
		next = slices.DeleteFunc(next, func(o Drain) bool { return o.Server == d.Server && o.Owner == d.Owner })
		next = append(next, d)
		drains[i] = d
	}
	if err := s.keep(next); err != nil {
		return err
	}
	for _, d := range drains {
		s.say("server was drained", d, now)
	}
	return nil
}

// Remove ends the drain of server by owner, or with an empty owner all drains of server. Without any it returns
// ErrNotDrained, which says nothing is in the way of work. A server may still be drained by another owner afterwards.
func (s *Store) Remove(server, owner string) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	next, gone := split(s.drains, func(d Drain) bool { return d.Server == server && (owner == "" || d.Owner == owner) })
	if len(gone) == 0 {
		if owner == "" {
			return fmt.Errorf("cluster: %s %w", server, ErrNotDrained)
		}
		return fmt.Errorf("cluster: %s %w by %s", server, ErrNotDrained, owner)
	}
	if err := s.keep(next); err != nil {
		return err
	}
	for _, d := range gone {
		s.say("drain was removed", d, now)
	}
	return nil
}

// List returns all drains by server, then owner, those of servers that are not configured too.
func (s *Store) List() []Drain {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.drains)
}

// Drained reports whether any drain of server stands. It takes no lock.
func (s *Store) Drained(server string) bool { return (*s.drained.Load())[server] }

// Apply makes set the live configuration, after [pool.Set.Commit]: its members get the drains that stand.
func (s *Store) Apply(set *pool.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = set
	s.spread()
}

// keep makes drains stand if they can be written down. mu is held.
func (s *Store) keep(drains []Drain) error {
	if s.frozen {
		return ErrFrozen
	}
	if err := s.file.write(drains); err != nil {
		return err
	}
	s.take(drains)
	s.spread()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// take replaces the drains in memory. mu is held, or nobody else has s yet.
func (s *Store) take(drains []Drain) {
	slices.SortFunc(drains, func(a, b Drain) int {
		if c := strings.Compare(a.Server, b.Server); c != 0 {
			return c
		}
		return strings.Compare(a.Owner, b.Owner)
	})
	by := make(map[string]bool, len(drains))
	for _, d := range drains {
		by[d.Server] = true
	}
	s.drains = drains
	s.drained.Store(&by)
}

// spread writes the drains into the pools. mu is held.
func (s *Store) spread() {
	now := time.Now()
	for _, p := range s.set.Pools() {
		p.SetMany(pool.Drained, now, func(m *pool.Member) bool { return s.Drained(m.Server) })
	}
}

// expire ends what has expired at now and returns when the next drain does; zero is never.
func (s *Store) expire(now time.Time) (next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stand, gone := split(s.drains, func(d Drain) bool { return d.expired(now) })
	if len(gone) > 0 {
		// A disk that cannot be written must not hold back a server that is to work again: a restart drops what has expired.
		if s.frozen {
			// The other process does the same with the file.
		} else if err := s.file.write(stand); err != nil {
			s.log.Warn("expired drains stay in the file", "error", err)
		}
		s.take(stand)
		s.spread()
		for _, d := range gone {
			s.say("drain expired", d, now)
		}
	}
	for _, d := range s.drains {
		if !d.Expires.IsZero() && (next.IsZero() || d.Expires.Before(next)) {
			next = d.Expires
		}
	}
	return next
}

// say logs one change of a drain.
func (s *Store) say(event string, d Drain, now time.Time) {
	args := []any{"server", d.Server, "owner", d.Owner, "reason", d.Reason}
	if after := now.Sub(d.Since).Round(time.Millisecond); after > 0 {
		args = append(args, "after", after)
	}
	if !d.Expires.IsZero() {
		args = append(args, "expires", d.Expires.Format(time.RFC3339))
	}
	s.log.Info(event, args...)
}

// split returns the drains that f does not choose, and those that it does.
func split(drains []Drain, f func(Drain) bool) (rest, chosen []Drain) {
	for _, d := range drains {
		if f(d) {
			chosen = append(chosen, d)
		} else {
			rest = append(rest, d)
		}
	}
	return rest, chosen
}
