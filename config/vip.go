package config

import (
	"net/netip"
	"time"
)

// VIP is a vip block: addresses that several nodes share, and of which one node at a time is the owner (VRRP).
type VIP struct {
	Name         string
	Pos          Pos
	Addresses    []netip.Prefix // in the order of the file, IPv4 and IPv6; each with the length of its network
	Interface    string         // on this node; "" is the interface whose network holds the first address
	InterfacePos Pos            // where the file says so, or the block
	RouterID     int            // 1 - 255, the same on all nodes and for no other vip of the network
	Version      int            // of VRRP, 2 or 3
	Interval     time.Duration  // between two advertisements
	Nodes        []VIPNode      // in the order of the file; this node is one of them
	Unicast4     bool           // advertisements for the IPv4 addresses go to the nodes' own addresses; false is the multicast group
	Unicast6     bool           // the same for the IPv6 addresses; true only if every node has an own address of that family
	Password     Secret         // of version 2, at most 8 bytes count; empty is none
	Checksum     string         // of version 3 over IPv4: auto, pseudo-header, rfc9568
	Preempt      bool           // a node of higher priority takes the addresses back
	PreemptDelay time.Duration  // how long it waits before it does
	StartDelay   time.Duration  // how long a node that starts leaves the others alone
	Group        string         // vips of one group are owned together; "" is none
	VirtualMAC   bool           // the addresses have the MAC of RFC 9568 section 7.3, on an interface of their own
	Witnesses    []netip.Addr   // a node that reaches none of them, nor enough nodes, gives the addresses up
	Handover     time.Duration  // how long a planned handover waits for running requests
	Notify       []string       // command and arguments for each change of state; empty is none
	NotifyLimit  time.Duration  // its run time
	Probe        VIPProbe
	Checks       []VIPCheck // foreign conditions
}

// VIPNode is one of the nodes that may own a vip.
type VIPNode struct {
	Name     string
	Host     string     // as in servers
	Addr     netip.Addr // of Host; invalid if it is a name
	Priority int        // 40 - 255 while it serves; 255 takes the addresses at once and whatever its state
}

// VIPProbe is the request that finds out whether this node serves.
type VIPProbe struct {
	Every, Timeout time.Duration
	Rise, Fall     int
}

// VIPCheck is a command that says whether this node is fit to own the addresses: exit code 0 does.
type VIPCheck struct {
	Name           string
	Command        []string
	Every, Timeout time.Duration
	Rise, Fall     int
}
