package keepalived

import (
	"time"

	"skein/test/lab"
)

// advert is an advertisement on the wire.
type advert struct {
	lab.Packet
	id, priority int
}

// adverts are those of a node, and of a router unless id is 0, in a time; zero times are the beginning and now.
func (n *node) adverts(id int, from, to time.Time) (all []advert) {
	n.site.t.Helper()
	for _, p := range n.site.wire.Packets() {
		v := p.VRRP()
		if len(v) < 8 || !n.sent(p) || p.Time.Before(from) || !to.IsZero() && p.Time.After(to) {
			continue
		}
		if a := (advert{p, int(v[1]), int(v[2])}); id == 0 || a.id == id {
			all = append(all, a)
		}
	}
	return all
}

// speaks waits for the first advertisement of the node, other than priority 0, after a moment.
func (n *node) speaks(r router, after time.Time) advert {
	n.site.t.Helper()
	return n.says(r, after, func(priority int) bool { return priority > 0 })
}

// givesUp waits for its priority 0.
func (n *node) givesUp(r router, after time.Time) advert {
	n.site.t.Helper()
	return n.says(r, after, func(priority int) bool { return priority == 0 })
}

func (n *node) says(r router, after time.Time, wanted func(priority int) bool) advert {
	n.site.t.Helper()
	p := n.site.wire.Wait(func(p lab.Packet) bool {
		v := p.VRRP()
		return len(v) >= 8 && p.Time.After(after) && n.sent(p) && int(v[1]) == r.id && wanted(int(v[2]))
	}, settling)
	return advert{p, int(p.VRRP()[1]), int(p.VRRP()[2])}
}

// last is the last advertisement of the node before a moment; there must be one.
func (n *node) last(r router, before time.Time) advert {
	n.site.t.Helper()
	all := n.adverts(r.id, time.Time{}, before)
	if len(all) == 0 {
		n.site.t.Fatalf("%s has never spoken before %v", n, before)
	}
	return all[len(all)-1]
}
