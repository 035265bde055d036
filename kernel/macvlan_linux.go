package kernel

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddVirtualMAC gives a link a second one (a macvlan) with the MAC of a virtual router, which is switched on. The virtual
// addresses belong on it; nothing is sent from it by itself, so that switches learn the MAC's place only from the owner: it has
// no link-local address, whose proof of uniqueness and group reports would be sent. Make it when the node becomes the owner,
// and remove it afterwards: addresses on it report their groups.
//
// Its mode is bridge: in private mode the kernel takes a multicast frame from this MAC for the link's own and keeps it from the
// link below (macvlan_handle_frame), although it is another node's advertisement; two masters would never hear each other.
//
// It is no error if it is there already. One of that name which is no macvlan of that link with that MAC is one.
//
// What is set, beside what keepalived 2.2.7 sets:
//   - the new link: arp_ignore 1 (it answers for its own addresses only), rp_filter 2 (the way back to a visitor is by the
//     other link, which the strict test refuses; the kernel takes the larger of this and conf.all, and 2 is the loose one);
//   - the link below: arp_ignore 1, or it would answer for the virtual addresses with its own MAC; and, which keepalived does
//     not do, arp_announce 2, or a question "who has the visitor" would carry a virtual address with the wrong MAC, which
//     neighbors remember. RemoveLink puts back what they were.
func (n *Net) AddVirtualMAC(link, name string, routerID uint8, v6 bool) error {
	if err := n.addVirtualMAC(link, name, routerID, v6); err != nil {
		return fmt.Errorf("add virtual MAC %s to %s: %w", name, link, explain(err))
	}
	return nil
}

func (n *Net) addVirtualMAC(link, name string, routerID uint8, v6 bool) error {
	below, err := indexOf(link)
	if err != nil {
		return err
	}
	mac := VirtualMAC(routerID, v6)
	r := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	r.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	r.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	r.AddData(nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(below))))
	r.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("macvlan"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_MACVLAN_MODE, nl.Uint32Attr(nl.MACVLAN_MODE_BRIDGE))
	r.AddData(info)
	_, err = r.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EEXIST) {
		err = sameVirtualMAC(name, below, mac.String())
	}
	if err != nil {
		return err
	}
	index, err := indexOf(name)
	if err != nil {
		return err
	}
	if err := n.prepareVirtualMAC(link, name, below, index); err != nil {
		_ = n.RemoveLink(name) // half of it would answer ARP wrongly
		return err
	}
	return nil
}

// prepareVirtualMAC sets up a link which is down as yet, or one that is there already.
func (n *Net) prepareVirtualMAC(link, name string, below, index int) error {
	if err := noLinkLocal(index); err != nil {
		return fmt.Errorf("switch off its link-local address: %w", err)
	}
	if err := setDevconf(index, map[int]uint32{devconfARPIgnore: 1, devconfRPFilter: 2, devconfPromoteSecondaries: 1}); err != nil {
		return fmt.Errorf("set its arp_ignore: %w", err)
	}
	if err := n.quieten(link, name, below); err != nil {
		return fmt.Errorf("set arp_ignore of %s: %w", link, err)
	}
	if err := switchOn(index); err != nil {
		return fmt.Errorf("switch it on: %w", err)
	}
	return nil
}

// sameVirtualMAC refuses a link that has the name by accident.
func sameVirtualMAC(name string, below int, mac string) error {
	list, err := dump(unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), unix.RTM_NEWLINK)
	if err != nil {
		return err
	}
	for _, m := range list {
		l, err := parseLink(m)
		if err != nil {
			return err
		}
		if l.Name != name {
			continue
		}
		attributes, err := nl.ParseRouteAttr(m[unix.SizeofIfInfomsg:])
		if err != nil {
			return err
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.IFLA_LINK && len(a.Value) >= 4 &&
				int(nl.NativeEndian().Uint32(a.Value)) == below && l.MAC.String() == mac {
				return nil
			}
		}
	}
	return fmt.Errorf("there is another link of this name: %w (ip link delete %s)", unix.EEXIST, name)
}

// noLinkLocal keeps the kernel from giving a link an IPv6 address by itself. A kernel without IPv6 need not be told.
func noLinkLocal(index int) error {
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	spec.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{inet6AddrGenModeNone})
	err := setLink(index, spec)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// quiet is what a link's settings were before it had a virtual MAC above it.
type quiet struct {
	below            string
	ignore, announce int
}

// quieten sets up the link below, and remembers what was set.
func (n *Net) quieten(link, name string, below int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.quiet[name]; ok {
		return nil
	}
	ignore, err := devconf(link, "arp_ignore")
	if err != nil {
		return err
	}
	announce, err := devconf(link, "arp_announce")
	if err != nil {
		return err
	}
	was := quiet{link, ignore, announce}
	for _, q := range n.quiet { // another one above it knows what it was
		if q.below == link {
			was = q
		}
	}
	set := map[int]uint32{devconfARPIgnore: uint32(max(ignore, 1)), devconfARPAnnounce: 2}
	if err := setDevconf(below, set); err != nil {
		return err
	}
	if n.quiet == nil {
		n.quiet = make(map[string]quiet)
	}
	n.quiet[name] = was
	return nil
}

// restore puts back what quieten changed, with the last virtual MAC of a link.
func (n *Net) restore(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, ok := n.quiet[name]
	if !ok {
		return nil
	}
	delete(n.quiet, name)
	for _, q := range n.quiet {
		if q.below == was.below {
			return nil
		}
	}
	below, err := indexOf(was.below)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	return setDevconf(below, map[int]uint32{devconfARPIgnore: uint32(was.ignore), devconfARPAnnounce: uint32(was.announce)})
}

// RemoveLink removes a link that AddVirtualMAC has made, by this process or another one, and its addresses; it is no error if
// there is none. A link of another kind is not removed.
func (n *Net) RemoveLink(name string) error {
	err := removeMacvlan(name)
	if err == nil {
		err = n.restore(name)
	}
	if err != nil {
		return fmt.Errorf("remove link %s: %w", name, explain(err))
	}
	return nil
}

func removeMacvlan(name string) error {
	index, err := indexOf(name)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	r := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	r.AddData(m)
	// The kernel takes no notice of the kind when it deletes: a wrong name must not cost an operator a link.
	if kind, err := kindOf(index); err != nil || kind != "macvlan" {
		return errors.Join(err, fmt.Errorf("it is no macvlan but %q, and so none of ours", kind))
	}
	_, err = r.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// kindOf is the kind of a link ("macvlan", "veth"); empty for hardware.
func kindOf(index int) (string, error) {
	r := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	r.AddData(m)
	list, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil || len(list) == 0 {
		return "", err
	}
	attributes, err := nl.ParseRouteAttr(list[0][unix.SizeofIfInfomsg:])
	if err != nil {
		return "", err
	}
	for _, a := range attributes {
		if a.Attr.Type != unix.IFLA_LINKINFO {
			continue
		}
		info, err := nl.ParseRouteAttr(a.Value)
		if err != nil {
			return "", err
		}
		for _, i := range info {
			if i.Attr.Type == nl.IFLA_INFO_KIND {
				return unix.ByteSliceToString(i.Value), nil
			}
		}
	}
	return "", nil
}
