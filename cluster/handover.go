package cluster

import (
	"errors"
	"time"
)

// During an upgrade two processes have the same state directory, and only one of them may write: the elder until it lets go,
// the heir from then on. See engine/upgrade.go.

// ErrFrozen is what changes return while another process keeps the drains.
var ErrFrozen = errors.New("cluster: skein is being upgraded and the new process keeps the drains: ask again")

// Freeze ends all writing. What was acknowledged before is on disk when it returns; drains that expire still end here.
func (s *Store) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
}

// Thaw reads the drains again, as another process may have changed them, and allows writing. After an error those that were
// known still stand.
func (s *Store) Thaw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = false
	drains, err := s.file.read(s.log, time.Now())
	if err != nil {
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
