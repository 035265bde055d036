// Package policy holds the algorithms that pick the next member of a pool.
//
// Start at [List]: it is the only list of policies, and the configuration check, the manual and the dashboard read it too. A
// new policy is one file here and one line there; the conformance test then covers it.
//
// A policy sees usable members only and builds what it needs when they change: see [pool.Policy]. It knows nothing of health,
// drains, queues and requests. No pick takes a lock or allocates, and none costs more with 10,000 members than with 100:
// what would be a scan is a table or a sample of bounded size.
package policy

import (
	"fmt"
	"strings"

	"skein/config"
	"skein/pool"
)

// Info describes one policy.
type Info struct {
	Name     string
	Doc      string                            // what it does, in one sentence
	Weighted bool                              // members get work in proportion to their weights
	Keyed    bool                              // the pick depends on the Key
	Hashes   bool                              // the user says what the Key is made of (config.Policy.Key)
	Bounded  bool                              // knows config.Policy.Bounded
	New      func(c config.Policy) pool.Policy // c is valid for this policy
}

// List returns all policies, the default first.
func List() []Info {
	return []Info{
		{
			Name: "round_robin", New: newRoundRobin, Weighted: true,
			Doc: "in turn, by weight, a heavy member spread evenly between the others",
		},
		{
			Name: "least_conn", New: newLeastConn, Weighted: true,
			Doc: "the member with the least work in progress for its weight",
		},
		{
			Name: "random", New: newRandom, Weighted: true,
			Doc: "at random by weight",
		},
		{
			Name: "random_two", New: newRandomTwo, Weighted: true,
			Doc: "two members at random by weight, and of these the one with less work in progress for its weight",
		},
		{
			Name: "least_time", New: newLeastTime, Weighted: true,
			Doc: "the member that will answer first: recent latency times work in progress, for its weight",
		},
		{
			Name: "ip_hash", New: newIPHash, Weighted: true, Keyed: true,
			Doc: "by the client's address: the same client goes to the same member",
		},
		{
			Name: "hash", New: newHash, Weighted: true, Keyed: true, Hashes: true, Bounded: true,
			Doc: "by a key of the request; a member that comes or goes moves only its own keys",
		},
		{
			Name: "maglev", New: newMaglev, Weighted: true, Keyed: true, Hashes: true,
			Doc: "by a key of the request, from a table in which all members have very nearly their exact share",
		},
		{
			Name: "first", New: newFirst,
			Doc: "the first member in the order of the file that has room under its connection limit",
		},
	}
}

// Names returns the names of all policies.
func Names() []string {
	var s []string
	for _, i := range List() {
		s = append(s, i.Name)
	}
	return s
}

// New returns the policy that c names.
func New(c config.Policy) (pool.Policy, error) {
	for _, i := range List() {
		switch {
		case i.Name != c.Name:
		case c.Bounded != 0 && !i.Bounded:
			return nil, fmt.Errorf("policy %q has no load bound; %q has", c.Name, "hash")
		case c.Bounded != 0 && c.Bounded <= 1:
			return nil, fmt.Errorf("policy %q: a load bound of %v leaves no room; it must be above 1, say 1.25", c.Name, c.Bounded)
		default:
			return i.New(c), nil
		}
	}
	return nil, fmt.Errorf("unknown policy %q; there are %s", c.Name, strings.Join(Names(), ", "))
}

// build makes a function a pool.Policy.
type build func(usable []*pool.Member) pool.Picker

func (b build) Build(usable []*pool.Member) pool.Picker { return b(usable) }

// after returns the first member from start on, and from the beginning after the last, that is not in except; nil if there
// is none. A mask has room for MaxTries, so that the search is short.
func after(members []*pool.Member, start int, except *pool.Mask) *pool.Member {
	for range min(len(members), pool.MaxTries+1) {
		if m := members[start]; !except.Has(m) {
			return m
		}
		if start++; start == len(members) {
			start = 0
		}
	}
	return nil
}
