package cluster

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"skein/pool"
)

// Drain keeps new work from a server, in every pool. A server is drained while any drain stands, so that a deploy which ends
// does not give back a server that an operator still works on.
type Drain struct {
	Server  string    `json:"server"`
	Owner   string    `json:"owner"` // whose it is: a user, a deploy; one drain for each server and owner
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires,omitzero"` // zero is never
}

// check says what is wrong with d as a new drain.
func (d Drain) check(now time.Time) error {
	switch {
	case d.Server == "":
		return errors.New("cluster: a drain needs a server")
	case d.Owner == "":
		return fmt.Errorf("cluster: the drain of %s needs an owner", d.Server)
	case d.expired(now):
		return fmt.Errorf("cluster: the drain of %s would have expired at %s", d.Server, d.Expires.Format(time.RFC3339))
	}
	return nil
}

func (d Drain) expired(now time.Time) bool { return !d.Expires.IsZero() && !now.Before(d.Expires) }

// ErrLast is what [Last] returns errors of.
var ErrLast = errors.New("the last usable server")

// Last reports whether the drain of these servers would leave a pool that has usable members now without any. Backups
// count as usable. In a pool that panics no member is healthy enough; there any that is not drained counts. The error names
// every such pool.
func Last(set *pool.Set, servers []string) error {
	drained := make(map[string]bool, len(servers))
	for _, s := range servers {
		drained[s] = true
	}
	var pools []string
	for _, p := range set.Pools() {
		var now, after, live int
		for _, m := range p.Members() {
			r := m.Reasons()
			if r == 0 {
				now++
			}
			if drained[m.Server] || r&pool.Drained != 0 {
				continue
			}
			live++
			if r == 0 {
				after++
			}
		}
		if now > 0 && after == 0 || len(p.Usable()) > 0 && live == 0 {
			pools = append(pools, fmt.Sprintf("%q", p.Name))
		}
	}
	switch len(pools) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("cluster: drain %s: pool %s would lose %w", strings.Join(servers, ", "), pools[0], ErrLast)
	}
	return fmt.Errorf("cluster: drain %s: pools %s would each lose %w", strings.Join(servers, ", "), strings.Join(pools, ", "), ErrLast)
}
