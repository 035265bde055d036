package pool

// Policy prepares a Picker whenever the usable members change, off the request path.
type Policy interface {
	// Build makes tables (maglev, rings, sequences) for the usable members, which are never empty and come in a stable
	// order. Only here may it ask for [Member.Weight] and [Member.PoolSize]. It must not call back into the pool. Builds of
	// one pool never overlap, and requests are served by the previous Picker meanwhile.
	Build(usable []*Member) Picker
}

// Picker picks without a lock and without allocating, from any number of goroutines.
type Picker interface {
	// Pick returns a member that is not in except, or nil if there is none. It never looks at health.
	Pick(k Key, except Mask) *Member
}

// Key is a protocol-neutral hash of whatever the pool's policy hashes: the same bytes give the same Key on every node and in
// every version of skein, so that two balancers agree about where a visitor belongs.
type Key uint64

// Hash makes a Key of bytes (FNV-1a, then the finaliser of MurmurHash3, so that all 64 bits depend on every byte).
func Hash[B ~string | ~[]byte](b B) Key {
	h := uint64(14695981039346656037)
	for i := 0; i < len(b); i++ {
		h ^= uint64(b[i])
		h *= 1099511628211
	}
	return Key(mix(h))
}

// Mix combines a key with a member's hash into a new, well spread one.
func Mix(k Key, h uint64) uint64 { return mix(uint64(k) ^ mix(h)) }

func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

// MaxTries is the most members that one piece of work may be tried on.
const MaxTries = 8

// Mask holds the members already tried. The zero Mask holds none.
type Mask struct {
	n       int
	members [MaxTries]*Member
}

// Has reports whether m was tried.
func (k *Mask) Has(m *Member) bool {
	for i := range k.n {
		if k.members[i] == m {
			return true
		}
	}
	return false
}

// Add puts m in the mask. A full mask stays as it is.
func (k *Mask) Add(m *Member) {
	if k.n < MaxTries && !k.Has(m) {
		k.members[k.n] = m
		k.n++
	}
}

// Len is the number of members in the mask.
func (k *Mask) Len() int { return k.n }
