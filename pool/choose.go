package pool

import "skein/config"

// choose decides which members are used. The order of the questions matters:
//
//	drained members are out, whatever else holds; they do not count below either
//	1. is a member healthy that is not a backup, or is no backup healthy either?   -> the ordinary members, else the backups
//	2. is so small a share of those healthy that the checks are rather to be doubted?     -> all of them (panic)
//	3. are enough of those in this node's own region healthy?                             -> only these, else all regions
//
// The backups come before the panic: with all ordinary members down and a page of excuses up, it is the page that is wanted.
func choose(members []*Member, c *config.Pool, region string) *snapshot {
	var ordinary, backups tier
	for _, m := range members {
		if m.backup {
			backups.add(m)
		} else {
			ordinary.add(m)
		}
	}
	t := &ordinary
	if len(t.healthy) == 0 && (len(t.live) == 0 || len(backups.healthy) > 0) {
		t = &backups
	}
	s := &snapshot{usable: t.healthy}
	if s.panic = float64(len(t.healthy)) < c.Panic*float64(len(t.live)); s.panic {
		s.usable = t.live
	}
	if !c.LocalFirst || region == "" {
		return s
	}
	var own tier
	for _, m := range t.live {
		if m.region == region {
			own.add(m)
		}
	}
	// In a panic as well it is the healthy ones that count: a region that is down altogether is no reason to keep to it.
	switch {
	case len(own.live) == 0 || len(own.live) == len(t.live):
	case len(own.healthy) > 0 && float64(len(own.healthy)) >= c.Spill*float64(len(own.live)):
		s.usable = own.healthy
		if s.panic {
			s.usable = own.live
		}
	default:
		s.spilled = true
	}
	return s
}

// tier is members of one rank.
type tier struct {
	live, healthy []*Member // not drained; of these the healthy ones
}

func (t *tier) add(m *Member) {
	r := m.Reasons()
	if r&Drained == 0 {
		t.live = append(t.live, m)
		if r&sick == 0 {
			t.healthy = append(t.healthy, m)
		}
	}
}
