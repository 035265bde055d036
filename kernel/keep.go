package kernel

import (
	"net/netip"
	"slices"
)

// VRRPKeep says whose messages a [VRRPSocket] keeps. The zero value is everybody's.
type VRRPKeep struct {
	From      []netip.Addr // empty: from anywhere
	RouterIDs []uint8      // empty: of all virtual routers
	Near      bool         // only from this link: with a TTL of 255
}

func (k *VRRPKeep) everything() bool { return len(k.From) == 0 && len(k.RouterIDs) == 0 && !k.Near }

// keeps is what the filter of [Net] does, for [Fake].
func (k *VRRPKeep) keeps(src netip.Addr, ttl int, message []byte) bool {
	bare := func(a netip.Addr) bool { return a.WithZone("") == src.WithZone("") }
	return (!k.Near || ttl == 255) && (len(k.From) == 0 || slices.ContainsFunc(k.From, bare)) &&
		(len(k.RouterIDs) == 0 || len(message) >= 2 && slices.Contains(k.RouterIDs, message[1]))
}
