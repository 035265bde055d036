package vrrp

import "net/netip"

// Action is what the caller has to do next.
type Action struct {
	Kind    ActionKind
	Machine *Machine
	// Send
	Dst     netip.Addr // a peer, or the multicast group
	Payload []byte     // without the IP header; TTL 255, TOS 0xc0
	// Own, Disown, Announce: exactly these. A reload of a master adds and removes single addresses.
	Addresses []netip.Addr
	// Changed
	From, To State
	Reason   string
}

// ActionKind is what an [Action] does.
type ActionKind uint8

// The kinds of action.
const (
	Send     ActionKind = iota // Payload to Dst
	Own                        // add Addresses to the interface
	Disown                     // remove them
	Announce                   // tell the link where Addresses are, once: gratuitous ARP, unsolicited neighbor advertisement
	Changed                    // the state went From one To another, and why
)

func (k ActionKind) String() string {
	switch k {
	case Send:
		return "send"
	case Own:
		return "own"
	case Disown:
		return "disown"
	case Announce:
		return "announce"
	case Changed:
		return "changed"
	}
	return "unknown"
}
