// Package kernel wraps what needs privileges: network interfaces and their addresses, ARP and neighbor discovery, VRRP sockets,
// echo requests, the list of TCP connections.
//
// Start at [Net]. Every method works in the network namespace of the calling process. [Fake] is a network in memory with the
// same methods, for tests.
//
// It decides nothing: it knows neither virtual routers nor nodes.
package kernel

import (
	"net"
	"net/netip"
)

// Link is a network interface.
type Link struct {
	Index    int
	Name     string
	MAC      net.HardwareAddr
	MTU      int
	Up       bool // it is switched on and has a carrier
	Prefixes []netip.Prefix
}
