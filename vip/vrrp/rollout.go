package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// rollout is the time in which the nodes learn of another list of addresses, one after the other.
//
// A machine takes only advertisements of its own list (as keepalived does), so that without this two nodes of which one was
// reloaded would both be master until the other one is. So a machine whose list has changed goes on to take the former one, too,
// and to say it for a while: the others have not been reloaded yet. Whose list is heard knows better than any time: that one is
// then said.
//
//	master first:  it says the former list for sayFormer; the others have to be reloaded by then
//	backup first:  it takes the former list for takeFormer, and a master that is reloaded says it for a while again:
//	               takeFormer - sayFormer is the time to reload the master
type rollout struct {
	former []netip.Addr
	say    timer // until when
	take   timer
}

const (
	sayFormer  = time.Minute
	takeFormer = 10 * time.Minute
)

// begin is told that the list was another one. A second change while the first is rolled out keeps the list that is
// said, as it is the one that everybody knows.
func (r *rollout) begin(now Time, before, after []netip.Addr) {
	if len(before) == 0 || len(before) == len(after) && includes(before, after) {
		return
	}
	if r.say.set && !r.say.due(now) {
		before = r.former
	}
	*r = rollout{former: before}
	if len(before) == len(after) && includes(before, after) {
		return // back again: nobody knows the other list
	}
	r.say.arm(now + sayFormer)
	r.take.arm(now + takeFormer)
}

func (r *rollout) save(s *Snapshot) {
	s.Former, s.SayUntil, s.TakeUntil = slices.Clone(r.former), r.say.at, r.take.at
}

func (r *rollout) restore(s *Snapshot) {
	*r = rollout{}
	alien := func(a netip.Addr) bool { return !a.IsValid() || a.Is4() == s.IPv6 }
	if n := len(s.Former); n > 0 && n <= MaxAddresses && !slices.ContainsFunc(s.Former, alien) {
		*r = rollout{former: s.Former, say: timer{s.SayUntil, true}, take: timer{s.TakeUntil, true}}
	}
}

// said is the list of the next advertisement.
func (r *rollout) said(now Time, current []netip.Addr) []netip.Addr {
	if r.say.set && !r.say.due(now) {
		return r.former
	}
	return current
}

// hears says whether a list is a right one, and remembers which of the two it was. Whoever says a third one may have missed what we
// say now, but not what is configured; if that is not its list either, it is a mistake that must be seen.
func (r *rollout) hears(now Time, current, list []netip.Addr) bool {
	if r.takes(now) && len(list) == len(r.former) && includes(list, r.former) {
		r.say = r.take
		return true
	}
	r.say.stop()
	return len(list) == len(current) && includes(list, current)
}

func (r *rollout) takes(now Time) bool { return r.take.set && !r.take.due(now) }
