package policy

import (
	"math/bits"

	"skein/pool"
)

// table gives each key the owner of a slot: one look-up, whatever the number of members.
type table struct {
	members []*pool.Member
	owner   []uint32
	loads   loads
}

// walk is how many slots a key looks at for a member that it may use before it takes any.
const walk = 32

// Pick implements pool.Picker. The key's next choices are the owners of other slots, which depend on the key alone: the keys
// of a member that fails are spread over all others.
func (t *table) Pick(k pool.Key, except pool.Mask) *pool.Member {
	total := t.loads.total()
	h := uint64(k)
	for range walk {
		h = mix(h + 0x9e3779b97f4a7c15)
		hi, _ := bits.Mul64(h, uint64(len(t.owner)))
		i := int(t.owner[hi])
		if m := t.members[i]; !except.Has(m) && !t.loads.over(i, m, total) {
			return m
		}
	}
	hi, _ := bits.Mul64(mix(h), uint64(len(t.members)))
	start := int(hi)
	if total != 0 {
		// Not all can be over the bound, which is above 1: with a bound of 1.25 a search that got here ends after five.
		for n := range t.members {
			i := start + n
			if i >= len(t.members) {
				i -= len(t.members)
			}
			if m := t.members[i]; !except.Has(m) && !t.loads.over(i, m, total) {
				return m
			}
		}
	}
	return after(t.members, start, &except)
}
