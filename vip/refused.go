package vip

import (
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// refusedQuiet is how long nothing must have been refused for a reason before it is told again: a line for each packet would fill
// the disk, and whoever can send packets could wish for it.
const refusedQuiet = time.Minute

// refused tells what of others is not taken, as two nodes that refuse each other's word both own the addresses, and each of
// them has nothing else to report. mu is held.
func (r *router) refused(f *family, n *speaker.InstanceStatus, now time.Time) {
	if f.seen == nil {
		return // after an upgrade this is what the elder has counted
	}
	for reason, count := range n.Counters.Refused {
		// Another router ID is another virtual router, of which a network may have many.
		if count == f.seen.Counters.Refused[reason] || reason == vrrp.RefusedRouterID.Error() {
			continue
		}
		last, told := f.refusals[reason]
		f.refusals[reason] = now
		if !told || now.Sub(last) > refusedQuiet {
			r.v.log.Warn("advertisements were refused", "vip", r.w.c.Name, "family", f.number, "reason", reason, "hint", refusedHint(reason))
		}
	}
}

// refusedHint is what to look at.
func refusedHint(reason string) string {
	switch reason {
	case vrrp.RefusedTTL.Error():
		return "they came through a router, or somebody forges them"
	case vrrp.RefusedVersion.Error():
		return "version has to be the same on all nodes"
	case vrrp.RefusedAuthType.Error(), vrrp.RefusedPassword.Error():
		return "password has to be the same on all nodes"
	case vrrp.RefusedInterval.Error():
		return "interval has to be the same on all nodes with version 2"
	case vrrp.RefusedCount.Error(), vrrp.RefusedAddresses.Error():
		return "address has to be the same on all nodes, and router_id nobody else's in this network"
	case vrrp.RefusedChecksum.Error():
		return "see checksum; or packets are damaged on their way"
	case vrrp.RefusedDestination.Error():
		return "unicast has to be the same on all nodes"
	case vrrp.RefusedSource.Error():
		return "they came from an address that no server in nodes has"
	case vrrp.RefusedOwn.Error():
		return "own packets come back, or another machine has this node's address"
	}
	return "they are no VRRP of this version"
}
