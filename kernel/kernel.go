// Package kernel wraps what needs privileges: network interfaces and their addresses, ARP and neighbor discovery, VRRP sockets,
// echo requests, the list of TCP connections.
//
// Start at [Net]. Every method works in the network namespace of the calling thread, which is that of the process unless
// somebody locked the thread and changed it (tests do); a socket stays in the namespace where it was opened. [Fake] is a
// network in memory with the same methods, for tests.
//
// It decides nothing: it knows neither virtual routers nor nodes. On systems other than Linux everything that needs the
// kernel fails with [errors.ErrUnsupported], so that programs which do not use it build everywhere.
package kernel

import (
	"net"
	"net/netip"
	"time"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	MAC   net.HardwareAddr
	MTU   int
	Up    bool // it is switched on and has a carrier
	// Prefixes are its addresses with their lengths, IPv4 before IPv6, in the kernel's order. An IPv6 address that is not
	// known to be unique yet (tentative) or that another machine has (duplicate) is missing: it can be no source. Watch
	// tells when that changes.
	Prefixes []netip.Prefix
}

// VRRPOptions say what a [VRRPSocket] hears and how it speaks. The family is that of Source.
type VRRPOptions struct {
	// Link is where everything comes and goes. Unicast from an address that another link has comes and goes there.
	Link   string
	Source netip.Addr // address of the link that packets leave from; IPv6 over multicast: a link-local one
	// Multicast hears the group of VRRP (224.0.0.18, ff02::12), otherwise what is sent to Source. Never both, as a
	// router that is set up for one must not obey the other.
	Multicast bool
	// MAC is where multicast comes from on Ethernet, if not from the link's own: that of the virtual router. Only the sender
	// of such frames has a MAC of its own, so nothing but advertisements tells switches where it is.
	MAC net.HardwareAddr
}

// VRRPSocket sends and receives messages of IP protocol 112. One goroutine may receive while others send and close.
type VRRPSocket interface {
	// Send sends one message, with TTL 255.
	Send(dst netip.Addr, payload []byte) error
	// Receive blocks for the next message, without its IP header; what does not fit in b is cut off. After Close the error is
	// [net.ErrClosed]; after any other error it may be called again.
	Receive(b []byte) (n int, src, dst netip.Addr, ttl int, err error)
	// Keep makes the kernel drop messages of others than k says, instead of what it was told before.
	Keep(k VRRPKeep) error
	Close() error
}

// EchoSocket sends echo requests and receives replies, to anybody's requests of this machine: the caller knows its own by their
// id. One goroutine may receive while others send and close.
type EchoSocket interface {
	Send(dst netip.Addr, id, seq uint16) error
	// Receive blocks for the next reply. After Close the error is [net.ErrClosed].
	Receive() (src netip.Addr, id, seq uint16, err error)
	Close() error
}

// ProcessState is how another process is.
type ProcessState struct {
	// Stopped tells whether a signal has stopped it (SIGSTOP, SIGTSTP). One that is traced is not: strace would stop it with
	// every system call.
	Stopped bool
	Worked  time.Duration // processor time of all its threads, in steps of 10 ms
}
