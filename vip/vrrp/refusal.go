package vrrp

// Refusal is why an advertisement was not taken; its text is the key in [Counters.Refused].
type Refusal uint8

// The refusals, in the order of the checks, which is almost keepalived's.
const (
	RefusedLength      Refusal = iota // shorter than a header, or not exactly what version, family and count say
	RefusedRouterID                   // it is of another virtual router; harmless where several share a link
	RefusedTTL                        // not 255: a router has forwarded it (RFC 9568 section 7.1)
	RefusedVersion                    // not 2 or 3, or not ours
	RefusedAuthType                   // version 2: one side has a password and the other has none, or it is not a simple password
	RefusedPassword                   // version 2: another one
	RefusedInterval                   // version 2: not ours, which would end in two masters; version 3: zero
	RefusedType                       // not an advertisement
	RefusedCount                      // another number of addresses, or none
	RefusedChecksum                   // neither with the pseudo-header nor without
	RefusedDestination                // multicast where unicast is configured, or the other way
	RefusedAddresses                  // an own address is not among them
	RefusedSource                     // unicast: not one of the peers; or of the other family
	RefusedOwn                        // our own advertisement came back, or another node has our address
	refusals
)

func (r Refusal) Error() string {
	switch r {
	case RefusedLength:
		return "length"
	case RefusedRouterID:
		return "router_id"
	case RefusedTTL:
		return "ttl"
	case RefusedVersion:
		return "version"
	case RefusedAuthType:
		return "auth_type"
	case RefusedPassword:
		return "password"
	case RefusedInterval:
		return "interval"
	case RefusedType:
		return "type"
	case RefusedCount:
		return "count"
	case RefusedChecksum:
		return "checksum"
	case RefusedDestination:
		return "destination"
	case RefusedAddresses:
		return "addresses"
	case RefusedSource:
		return "source"
	case RefusedOwn:
		return "own"
	}
	return "unknown"
}
