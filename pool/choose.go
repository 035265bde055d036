package pool

import "skein/config"

// choose decides which members are used. The order of the questions matters:
//
//	drained members are out, whatever else holds; they do not count below either
//	1. is so small a share of the rest healthy that the checks are rather to be doubted?    -> all of them (panic)
//	2. are healthy members left that are not backups?                                       -> those, else the backups
//	3. are enough members of this node's own region healthy?                                -> only those, else all regions
func choose(members []*Member, c *config.Pool, region string) *snapshot {
	var live, healthy int
	for _, m := range members {
		r := m.Reasons()
		if r&Drained != 0 {
			continue
		}
		live++
		if r&sick == 0 {
			healthy++
		}
	}
	s := &snapshot{}
	s.panic = live > 0 && float64(healthy) < c.Panic*float64(live)
	usable := func(m *Member) bool {
		r := m.Reasons()
		return r&Drained == 0 && (s.panic || r&sick == 0)
	}
	tier := func(backup bool) (t []*Member) {
		for _, m := range members {
			if m.backup == backup && usable(m) {
				t = append(t, m)
			}
		}
		return t
	}
	s.usable = tier(false)
	backup := len(s.usable) == 0
	if backup {
		s.usable = tier(true)
	}
	if !c.LocalFirst || region == "" {
		return s
	}
	var own []*Member
	total := 0
	for _, m := range members {
		if m.region == region && m.backup == backup && m.Reasons()&Drained == 0 {
			total++
			if usable(m) {
				own = append(own, m)
			}
		}
	}
	switch {
	case total == 0 || len(own) == len(s.usable):
	case len(own) > 0 && float64(len(own)) >= c.Spill*float64(total):
		s.usable = own
	default:
		s.spilled = true
	}
	return s
}
