package policy

import (
	"skein/config"
	"skein/pool"
)

// randomTwo is the power of two choices (Mitzenmacher 1996): the better of two random members keeps the longest queue nearly
// as short as the best of all does, and unlike that one it does not send every node's next request to the same idle member.
type randomTwo struct{ least }

func newRandomTwo(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		return &randomTwo{newLeast(usable)}
	})
}

// Pick implements pool.Picker.
func (r *randomTwo) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	d := newDice()
	if len(r.members) <= 2 {
		return r.scan(&d, &except)
	}
	return r.sample(&d, 2, &except)
}
