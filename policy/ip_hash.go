package policy

import (
	"skein/config"
	"skein/pool"
)

// newIPHash is hash with the client's address as the key, which is the caller's to make (see Info.Hashes).
func newIPHash(config.Policy) pool.Policy { return newHash(config.Policy{}) }
