package main

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network is two hosts with a cable between them, as network namespaces without a name: what is in them is gone with the
// processes. The calling thread stays in the first.
//
//	near 10.9.0.1 ---- 10.9.0.2 far
type network struct {
	near, far, home netns.NsHandle
	cable           int // index of near's end
}

// Their addresses, and those that are shared.
const (
	nearAddress     = "10.9.0.1"
	farAddress      = "10.9.0.2"
	skeinVirtual    = "10.9.0.100/24"
	skeinRouter     = 100
	daemonVirtual   = "10.9.0.200/24"
	daemonRouter    = 200
	goroutineTarget = farAddress + ":9112" // nobody is there
	goroutinePort   = 9112
	cableName       = "eth0"
)

// newNetwork makes it. It needs root.
func newNetwork() (*network, error) {
	n := &network{near: netns.None(), far: netns.None(), home: netns.None()}
	if err := n.make(); err != nil {
		n.close()
		return nil, fmt.Errorf("make a network to measure in: %w\nhint: run as root", err)
	}
	return n, nil
}

func (n *network) make() (err error) {
	if n.home, err = netns.Get(); err != nil {
		return err
	}
	if n.far, err = netns.New(); err != nil {
		return err
	}
	if n.near, err = netns.New(); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = cableName
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: cableName, PeerNamespace: netlink.NsFd(n.far)}); err != nil {
		return fmt.Errorf("add a cable: %w", err)
	}
	if n.cable, err = setUp(nearAddress); err != nil {
		return err
	}
	return n.at(far, func() error {
		_, err := setUp(farAddress)
		return err
	})
}

// setUp gives the host its address and returns the index of its end of the cable.
func setUp(address string) (int, error) {
	for _, name := range []string{"lo", cableName} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return 0, fmt.Errorf("find %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return 0, fmt.Errorf("set %s up: %w", name, err)
		}
		if name != cableName {
			continue
		}
		a, err := netlink.ParseAddr(address + "/24")
		if err != nil {
			return 0, err
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return 0, fmt.Errorf("add %s: %w", address, err)
		}
		return link.Attrs().Index, nil
	}
	return 0, unix.ENODEV
}

// side is one of the hosts, by what the balancer on it is.
type side int

const (
	master side = iota
	far
)

// at calls f in one of the hosts.
func (n *network) at(s side, f func() error) error {
	if s == master {
		return f()
	}
	if err := netns.Set(n.far); err != nil {
		return err
	}
	err := f()
	if back := netns.Set(n.near); back != nil {
		return back
	}
	return err
}

// close leaves the network, which ends it.
func (n *network) close() {
	if n.home.IsOpen() {
		_ = netns.Set(n.home)
	}
	for _, ns := range []*netns.NsHandle{&n.near, &n.far, &n.home} {
		if ns.IsOpen() {
			_ = ns.Close()
		}
	}
}
