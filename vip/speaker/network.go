package speaker

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"skein/kernel"
)

// Network is what the speaker needs of [kernel.Net], which says what the methods promise.
type Network interface {
	Links() ([]kernel.Link, error)
	Watch(ctx context.Context, changed func()) error
	AddAddress(link string, p netip.Prefix) error
	RemoveAddress(link string, p netip.Prefix) error
	Announce(link string, a netip.Addr) error
	OpenVRRP(o kernel.VRRPOptions) (kernel.VRRPSocket, error)
	OpenEcho(v6 bool) (kernel.EchoSocket, error)
	AddVirtualMAC(link, name string, routerID uint8, v6 bool) error
	RemoveLink(name string) error
	Now() time.Duration
}

// Process is the parent as the kernel sees it.
type Process interface {
	Look() (kernel.ProcessState, error)
	Close() error
}

// isGone tells whether the other end of the channel is, after an error of sending. A message that was too long is lost alone.
func isGone(err error) bool { return !errors.Is(err, syscall.EMSGSIZE) }

// isLinkError tells that a packet could not leave because of the interface, so that looking at it says more.
func isLinkError(err error) bool {
	for _, e := range []error{syscall.ENETDOWN, syscall.ENODEV, syscall.ENXIO, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
