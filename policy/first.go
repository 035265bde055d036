package policy

import (
	"math/rand/v2"
	"sync/atomic"

	"skein/config"
	"skein/pool"
)

// first fills the members one after the other, so that the last ones may sleep or be switched off. It makes sense only with a
// connection limit.
//
// In a large pool it would look at all full members before it comes to one with room. It remembers where it found room last
// and looks around there, and at one random member before, so that it finds its way back when work ends there.
type first struct {
	members []*pool.Member
	place   atomic.Int64
}

// around is how many members before and after the remembered place are looked at.
const around = scanUpTo / 2

func newFirst(config.Policy) pool.Policy {
	return build(func(usable []*pool.Member) pool.Picker {
		return &first{members: usable}
	})
}

// Pick implements pool.Picker.
func (f *first) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	from := 0
	if len(f.members) > scanUpTo {
		from = max(0, int(f.place.Load())-around)
		if from > 0 {
			if i := rand.IntN(from); f.members[i].Room() {
				from = i
			}
		}
	}
	for i := from; i < min(len(f.members), from+2*around); i++ {
		if m := f.members[i]; m.Room() && !except.Has(m) {
			f.remember(i)
			return m
		}
	}
	// All full around here. The pool gives the work to any other member with room, or lets it wait.
	next := from + 2*around
	if next >= len(f.members) {
		next = 0
	}
	f.remember(next)
	return after(f.members, from, &except)
}

// remember does not write what is there already: most picks find room where the last one did.
func (f *first) remember(i int) {
	if f.place.Load() != int64(i) {
		f.place.Store(int64(i))
	}
}
