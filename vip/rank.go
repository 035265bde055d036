package vip

import "skein/config"

// A node's priority says how fit it is to own a vip, and nothing else does: keepalived understands it, too. With n nodes
//
//	serves        the priority of the file, 40 - 255 (200, 190, 180 ... in the order of nodes)
//	does not      n + its position
//	is drained    its position
//
// where the position is 1 for the lowest priority of the file and n for the highest; nodes of equal priority have equal
// positions. So any fit node is above any unfit one, which is above any drained one, and the order among equals stays. With at
// most 16 nodes the highest priority of an unfit node is 32, below all of the file's.
//
// 255 is the owner of the addresses in RFC 9568 (section 5.2.4), who "MUST" say 255: it never changes.

// owner is the priority that never changes.
const owner = 255

// ranks are the priorities of one node for one vip.
type ranks struct{ fit, unfit, drained uint8 }

// ranksOf returns the priorities of the node with this name.
func ranksOf(nodes []config.VIPNode, name string) ranks {
	base := 0
	for _, n := range nodes {
		if n.Name == name {
			base = n.Priority
		}
	}
	if base == owner {
		return ranks{owner, owner, owner}
	}
	position := 1
	for _, n := range nodes {
		if n.Priority < base {
			position++
		}
	}
	return ranks{fit: uint8(base), unfit: uint8(len(nodes) + position), drained: uint8(position)}
}

// floorOf is the lowest priority of a node that serves: a master below it does not serve, and is taken over from even where
// preempt is false.
func floorOf(nodes []config.VIPNode) uint8 { return uint8(2*len(nodes) + 1) }
