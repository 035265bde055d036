package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"skein/cluster"
)

// DrainRequest is the body of POST /api/v1/drain.
type DrainRequest struct {
	Name   string `json:"name"`             // of a server, a node or a region; see [resolve]
	Owner  string `json:"owner,omitempty"`  // default "operator"
	Reason string `json:"reason,omitempty"` // free text for the others
	For    string `json:"for,omitempty"`    // a duration, "10m"; default until `ready`
	Force  bool   `json:"force,omitempty"`  // even if a pool loses its last usable server
}

// ReadyRequest is the body of POST /api/v1/ready.
type ReadyRequest struct {
	Name  string `json:"name"`
	Owner string `json:"owner,omitempty"` // whose drain ends; default "operator"
	All   bool   `json:"all,omitempty"`   // end the drains of all owners
}

// DrainAnswer says what was done, and what stands now.
type DrainAnswer struct {
	Servers []string `json:"servers"` // that the name stands for
	Drains  []Drain  `json:"drains"`  // of these servers, of all owners
}

// Bounds of what callers may write into the store.
const (
	maxText = 200
	maxFor  = 366 * 24 * time.Hour
)

const defaultOwner = "operator"

func (a *Admin) drain(_ http.ResponseWriter, r *http.Request) (any, error) {
	var q DrainRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if len(q.Reason) > maxText || len(q.Owner) > maxText {
		return nil, refuse(http.StatusBadRequest, "", "owner and reason may have %d bytes", maxText)
	}
	c, set := a.sources.Live()
	servers, err := resolve(c, q.Name)
	if err != nil {
		return nil, err
	}
	d := cluster.Drain{Owner: cmp.Or(q.Owner, defaultOwner), Reason: q.Reason, Since: time.Now()}
	if q.For != "" {
		lasts, err := time.ParseDuration(q.For)
		if err != nil || lasts <= 0 || lasts > maxFor {
			return nil, refuse(http.StatusBadRequest, "", "for: %q is not a duration like 10m, above 0 and at most a year", q.For)
		}
		d.Expires = d.Since.Add(lasts)
	}
	a.draining.Lock() // two drains at once could each leave the other's server as the last one
	defer a.draining.Unlock()
	if !q.Force {
		if err := cluster.Last(set, servers); err != nil {
			return nil, refusal{http.StatusConflict, err, "drain it all the same with --force"}
		}
	}
	drains := make([]cluster.Drain, len(servers))
	for i, s := range servers {
		drains[i] = d
		drains[i].Server = s
	}
	if err := a.sources.Drains.Add(drains...); err != nil {
		return nil, err
	}
	return a.standing(servers), nil
}

func (a *Admin) ready(_ http.ResponseWriter, r *http.Request) (any, error) {
	var q ReadyRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if q.All && q.Owner != "" {
		return nil, refuse(http.StatusBadRequest, "", "either an owner or all owners, not both")
	}
	owner := cmp.Or(q.Owner, defaultOwner)
	if q.All {
		owner = ""
	}
	c, _ := a.sources.Live()
	servers, err := resolve(c, q.Name)
	if err != nil {
		// A server that has left the configuration keeps its drain; this is how to be rid of it.
		if !a.drainedName(q.Name) {
			return nil, err
		}
		servers = []string{q.Name}
	}
	var not []error
	for _, s := range servers {
		switch err := a.sources.Drains.Remove(s, owner); {
		case errors.Is(err, cluster.ErrNotDrained):
			not = append(not, err)
		case err != nil:
			return nil, err
		}
	}
	answer := a.standing(servers)
	if len(not) == len(servers) && len(answer.Drains) > 0 {
		// To say "done" while somebody else's drain stands would mislead.
		o := answer.Drains[0].Owner
		return nil, refusal{http.StatusConflict, not[0], fmt.Sprintf("it is drained by %q: name that --owner, or --all", o)}
	}
	return answer, nil
}

// standing lists the drains of these servers.
func (a *Admin) standing(servers []string) DrainAnswer {
	answer := DrainAnswer{Servers: servers, Drains: []Drain{}}
	in := map[string]bool{}
	for _, s := range servers {
		in[s] = true
	}
	for _, d := range a.Status().Drains {
		if in[d.Server] {
			answer.Drains = append(answer.Drains, d)
		}
	}
	return answer
}

func (a *Admin) drainedName(server string) bool {
	for _, d := range a.sources.Drains.List() {
		if d.Server == server {
			return true
		}
	}
	return false
}
