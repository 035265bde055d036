package vip

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// leaving is the addresses whose connections shall end. Several handovers may go on at once, and whoever ends the connections
// takes one list.
type leaving struct {
	tell func([]netip.Addr)

	mu sync.Mutex // guards of, and the order in which tell is called
	of map[string][]netip.Addr
}

// set makes addresses those of a group; nil is none of them any more.
func (l *leaving) set(group string, addresses []netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[group] == nil && addresses == nil {
		return
	}
	if addresses == nil {
		delete(l.of, group)
	} else {
		l.of[group] = addresses
	}
	var all []netip.Addr
	for _, group := range slices.Sorted(maps.Keys(l.of)) {
		all = append(all, l.of[group]...)
	}
	l.tell(all)
}
