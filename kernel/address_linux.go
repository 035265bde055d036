package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addressProtocol marks the addresses that we have added (IFA_PROTO, Linux 5.18; older kernels ignore it): `ip addr` shows
// "proto 0x70". It is the protocol number of VRRP; the kernel itself uses 1 - 3.
const addressProtocol = protocolVRRP

// ifaPROTO is missing in x/sys (include/uapi/linux/if_addr.h).
const ifaPROTO = 11

// forever is the life of an address that does not expire.
const forever = 0xffffffff

// AddAddress gives the link an address; it is no error if it has exactly this one. The link need not have a carrier.
//
// IPv4: as `ip addr add` and keepalived do it, of global scope, without a broadcast address (the kernel knows the subnet's
// without). The kernel adds the route to the subnet if it is the first address of it, so that a subnet in which the node has
// no other address can be reached; as the second one it becomes "secondary", and is not chosen as source of new connections.
//
// IPv6: without duplicate address detection, which would keep it unusable for a second while the old owner may still have it;
// and deprecated (preferred lifetime 0), which RFC 6724 section 5 rule 3 avoids as source of new connections whatever its
// length. It serves visitors all the same (RFC 4862 section 5.5.4).
func (n *Net) AddAddress(link string, p netip.Prefix) error {
	index, err := indexOf(link)
	if err == nil {
		err = addAddress(index, p)
	}
	if err != nil {
		if p.Addr().Is6() && errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w (IPv6 is switched off: sysctl net.ipv6.conf.%s.disable_ipv6=0)", err, link)
		}
		return fmt.Errorf("add %s to %s: %w", p, link, explain(err))
	}
	return nil
}

func addAddress(index int, p netip.Prefix) error {
	r := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, index, p)
	if p.Addr().Is6() {
		r.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(unix.IFA_F_NODAD)))
		life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Prefered: 0, Valid: forever}}
		r.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
	}
	r.AddData(nl.NewRtAttr(ifaPROTO, []byte{addressProtocol}))
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	// IPv6 has an address once on a link, whatever its length: it might be the node's own.
	all, err := addressesOf(index, family(p.Addr()))
	if err != nil {
		return err
	}
	var other netip.Prefix
	for _, a := range all {
		if a.prefix == p {
			return nil
		}
		if a.prefix.Addr() == p.Addr() {
			other = a.prefix
		}
	}
	if other.IsValid() {
		return fmt.Errorf("the link has it as %s: remove that one, or write the same length", other)
	}
	return nil // somebody has removed it between our two questions: as if it had been after them
}

// RemoveAddress takes the address from the link, and only this one; it is no error if the link does not have it, or does not
// exist.
//
// The trap: when the first IPv4 address of a subnet goes, Linux removes the others of that subnet (the secondary ones), too,
// unless the link's promote_secondaries is on. It is off by default, and a virtual address is first if it came before the
// node's own, say, of DHCP. Then it is switched on for that moment.
func (n *Net) RemoveAddress(link string, p netip.Prefix) error {
	index, err := indexOf(link)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err == nil {
		n.promotion.Lock()
		err = removeAddress(index, link, p)
		n.promotion.Unlock()
	}
	if err != nil {
		return fmt.Errorf("remove %s from %s: %w", p, link, explain(err))
	}
	return nil
}

func removeAddress(index int, link string, p netip.Prefix) error {
	all, err := addressesOf(index, family(p.Addr()))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(a address) bool { return a.prefix == p && !a.peer })
	if i < 0 {
		return nil
	}
	if p.Addr().Is4() && all[i].flags&unix.IFA_F_SECONDARY == 0 {
		orphans := slices.ContainsFunc(all, func(a address) bool {
			return a.flags&unix.IFA_F_SECONDARY != 0 && a.prefix.Bits() == p.Bits() && a.prefix.Masked() == p.Masked()
		})
		if orphans {
			restore, err := promoteSecondaries(index, link)
			if err != nil {
				return fmt.Errorf("keep the other addresses of %s: %w", p.Masked(), err)
			}
			defer restore()
		}
	}
	_, err = addressRequest(unix.RTM_DELADDR, unix.NLM_F_ACK, index, p).Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// promoteSecondaries switches the link's promote_secondaries on, and tells how to undo it.
func promoteSecondaries(index int, link string) (restore func(), err error) {
	old, err := devconf(link, "promote_secondaries")
	if err == nil && old != 0 {
		return func() {}, nil
	}
	if err := setDevconf(index, map[int]uint32{devconfPromoteSecondaries: 1}); err != nil {
		return nil, err
	}
	if err != nil { // /proc is hidden: on is what does no harm
		return func() {}, nil
	}
	return func() { _ = setDevconf(index, map[int]uint32{devconfPromoteSecondaries: 0}) }, nil
}

func addressRequest(kind, flags int, index int, p netip.Prefix) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	m := nl.NewIfAddrmsg(family(p.Addr()))
	m.Index, m.Prefixlen = uint32(index), uint8(p.Bits())
	if p.Addr().IsLoopback() {
		m.Scope = unix.RT_SCOPE_HOST
	}
	r.AddData(m)
	raw := p.Addr().WithZone("").AsSlice()
	r.AddData(nl.NewRtAttr(unix.IFA_LOCAL, raw))
	r.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, raw))
	return r
}

// address is one address of a link.
type address struct {
	link   int
	prefix netip.Prefix
	flags  uint32
	peer   bool // of a point-to-point link: the prefix is the own address alone
}

// usable tells whether it may be a source: it is not waiting for the proof that it is unique, and nobody else has it. An
// optimistic one (RFC 4429) need not wait.
func (a address) usable() bool {
	if a.flags&unix.IFA_F_DADFAILED != 0 {
		return false
	}
	return a.flags&unix.IFA_F_TENTATIVE == 0 || a.flags&unix.IFA_F_OPTIMISTIC != 0
}

// addressesOf are the addresses of a link (0: of all links) and a family.
func addressesOf(index, family int) ([]address, error) {
	list, err := dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(family), unix.RTM_NEWADDR)
	if err != nil {
		return nil, err
	}
	var all []address
	for _, m := range list {
		a, err := parseAddress(m)
		if err != nil {
			return nil, err
		}
		if a.prefix.IsValid() && (index == 0 || a.link == index) {
			all = append(all, a)
		}
	}
	return all, nil
}

// parseAddress reads a message RTM_NEWADDR. IPv4 sends the own address as LOCAL, and as ADDRESS the peer's or the same; IPv6
// sends LOCAL only if there is a peer.
func parseAddress(m []byte) (address, error) {
	if len(m) < unix.SizeofIfAddrmsg {
		return address{}, fmt.Errorf("a message of %d bytes is too short", len(m))
	}
	header := nl.DeserializeIfAddrmsg(m)
	attributes, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
	if err != nil {
		return address{}, err
	}
	a := address{link: int(header.Index), flags: uint32(header.Flags)}
	var local, other netip.Addr
	for _, t := range attributes {
		switch t.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(t.Value)
		case unix.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(t.Value)
		case unix.IFA_FLAGS:
			if len(t.Value) >= 4 {
				a.flags = nl.NativeEndian().Uint32(t.Value)
			}
		}
	}
	bits := int(header.Prefixlen)
	switch {
	case !local.IsValid():
		local = other
	case local != other:
		a.peer, bits = true, local.BitLen()
	}
	if local.IsValid() {
		a.prefix = netip.PrefixFrom(local, bits)
	}
	return a, nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
