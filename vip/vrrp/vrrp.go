// Package vrrp is VRRP, versions 2 (RFC 3768) and 3 (RFC 9568), over IPv4 and IPv6, by multicast and unicast: the packets, and
// the election as a pure state machine.
//
// Several nodes could own an address; the one that advertises the highest priority does. Start at [Group]: its methods are the
// events (an advertisement came, time has passed, the priority changed), what they return are the [Action]s that the caller has
// to carry out in their order (send this, add these addresses, announce them). [Advert] and [Parse] are the packets.
//
// It opens no socket, reads no clock, starts no goroutine and adds no address; the time is an argument. So the whole election of
// several nodes is run in a test, thousands of times a second (simulation_test.go, which shows the use of everything here).
//
// It promises: a machine asks for its addresses to be added only when it becomes master and for their removal whenever it stops
// to be; what a peer sends costs no memory and a bounded number of answers; nothing is allocated for an advertisement in the
// steady state.
//
// Beside the RFCs it keeps the habits of keepalived 2.2.7, which most peers are, and adds rules of its own: a master that serves
// nobody ([Settings.Floor]), a node that slept, groups whose nodes disagree about who is first (all three at [Group]), and nodes
// that learn of another list of addresses one after the other (rollout.go).
package vrrp

import "net/netip"

// MaxAddresses is how many addresses a virtual router can have: what fits into 1280 bytes with the headers of IPv6, the smallest
// MTU that a link may have (RFC 8200 section 5). IPv4 could carry more; two limits would only surprise.
const MaxAddresses = (1280 - 40 - headerSize) / 16

// OwnerPriority is that of the node whose own address the virtual one is: it never changes (RFC 9568 section 5.2.4).
const OwnerPriority = 255

// stopPriority says that a master gives up (RFC 9568 section 5.2.4).
const stopPriority = 0

// Multicast is the group that routers of a virtual router speak to, if they do not know each other.
func Multicast(ipv6 bool) netip.Addr {
	if ipv6 {
		return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12}) // ff02::12, RFC 9568 section 5.1.2.2
	}
	return netip.AddrFrom4([4]byte{224, 0, 0, 18}) // RFC 9568 section 5.1.1.2
}
