package kernel

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Links are all interfaces with their addresses, in the order of their indexes.
func (n *Net) Links() ([]Link, error) {
	list, err := dump(unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), unix.RTM_NEWLINK)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addresses, err := addressesOf(0, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	links := make([]Link, 0, len(list))
	for _, m := range list {
		l, err := parseLink(m)
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		for _, a := range addresses {
			if a.link == l.Index && a.usable() {
				l.Prefixes = append(l.Prefixes, a.prefix)
			}
		}
		slices.SortStableFunc(l.Prefixes, func(a, b netip.Prefix) int { return a.Addr().BitLen() - b.Addr().BitLen() })
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	return links, nil
}

// parseLink reads a message RTM_NEWLINK.
func parseLink(m []byte) (Link, error) {
	if len(m) < unix.SizeofIfInfomsg {
		return Link{}, fmt.Errorf("a message of %d bytes is too short", len(m))
	}
	header := nl.DeserializeIfInfomsg(m)
	attributes, err := nl.ParseRouteAttr(m[unix.SizeofIfInfomsg:])
	if err != nil {
		return Link{}, err
	}
	// RUNNING is the operational state of RFC 2863, which a link loses that 802.1X has not let in; but it comes up to a
	// second late when the carrier is lost. LOWER_UP is the carrier.
	const up = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	l := Link{Index: int(header.Index), Up: header.Flags&up == up}
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_ADDRESS:
			l.MAC = net.HardwareAddr(slices.Clone(a.Value))
		case unix.IFLA_MTU:
			if len(a.Value) >= 4 {
				l.MTU = int(nl.NativeEndian().Uint32(a.Value))
			}
		}
	}
	return l, nil
}

// indexOf is the index of a link.
func indexOf(name string) (int, error) {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, unix.ENODEV // the name is empty or too long: no link can have it
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, err
	}
	return int(int32(r.Uint32())), nil
}
