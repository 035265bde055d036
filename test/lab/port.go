package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Port is a host's interface and its cable to a switch. Faults add up: a port that is both unplugged and down needs Plug and Up.
type Port struct {
	Name     string           // of the interface in the host
	MAC      net.HardwareAddr // 02:00:00:00:HOST:PORT
	Prefixes []netip.Prefix   // the host's own addresses

	lab  *Lab
	host *Host
	sw   *Switch

	link     *netlink.Device // in the host
	cable    *netlink.Veth   // its other end, among the switches
	unplug   bool
	split    bool // on the other half of its switch
	isolated bool
	wire     *Wire // that the cable leads to; nil is the switch
	losses   []loss
}

// Addr is the first address of the port.
func (p *Port) Addr() netip.Addr { return p.Prefixes[0].Addr() }

// String implements [fmt.Stringer].
func (p *Port) String() string { return p.host.Name + " " + p.Name }

// connect makes the cable.
func (p *Port) connect(h *Host, n int) error {
	p.host, p.Name = h, fmt.Sprintf("eth%d", n)
	p.MAC = net.HardwareAddr{0x02, 0, 0, 0, byte(h.number), byte(n)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags, attrs.Index = fmt.Sprintf("%s.%d", h.Name, n), net.FlagUp, p.lab.index()
	attrs.HardwareAddr = net.HardwareAddr{0x02, 0, 0, 0xfe, byte(h.number), byte(n)}
	attrs.MasterIndex = p.sw.bridge.Index
	p.cable = &netlink.Veth{LinkAttrs: attrs, PeerName: p.Name, PeerHardwareAddr: p.MAC, PeerNamespace: netlink.NsFd(h.space.net)}
	if err := p.lab.cables.route.LinkAdd(p.cable); err != nil {
		return fmt.Errorf("make the cable: %w", err)
	}
	link, err := h.space.route.LinkByName(p.Name)
	if err != nil {
		return err
	}
	p.link = &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: p.Name, Index: link.Attrs().Index}}
	if err := h.space.route.LinkSetUp(p.link); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return p.address()
}

// address gives the interface its own addresses.
func (p *Port) address() error {
	for _, prefix := range p.Prefixes {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}}
		if err := p.host.space.route.AddrReplace(p.link, a); err != nil {
			return fmt.Errorf("add address %s: %w", prefix, err)
		}
	}
	return nil
}

// Down pulls the cable out at the host: it has no carrier, and notices that at once.
func (p *Port) Down() {
	p.lab.t.Helper()
	p.must("take the carrier away", p.lab.cables.route.LinkSetDown(p.cable))
}

// Up ends [Port.Down].
func (p *Port) Up() {
	p.lab.t.Helper()
	p.must("give the carrier back", p.lab.cables.route.LinkSetUp(p.cable))
}

// Disable switches the interface off in the host, as `ip link set eth0 down` does. The kernel removes its IPv6 addresses.
func (p *Port) Disable() {
	p.lab.t.Helper()
	p.must("switch it off", p.host.space.route.LinkSetDown(p.link))
}

// Enable ends [Port.Disable] and gives the host its own IPv6 addresses again.
func (p *Port) Enable() {
	p.lab.t.Helper()
	p.must("switch it on", p.host.space.route.LinkSetUp(p.link))
	p.must("give it its addresses", p.address())
}

// Unplug pulls the cable out in the middle: the host still has a carrier, but nobody is there.
func (p *Port) Unplug() {
	p.lab.t.Helper()
	p.unplug = true
	p.attach()
}

// Plug ends [Port.Unplug].
func (p *Port) Plug() {
	p.lab.t.Helper()
	p.unplug = false
	p.attach()
}

// Isolate makes it one of the isolated ports of its switch, which reach all ports but each other. Isolate both balancers, and
// they do not hear each other while visitors reach both.
func (p *Port) Isolate(on bool) {
	p.lab.t.Helper()
	p.isolated = on
	p.attach()
}

// attach puts the cable where it belongs now, and the other end of the port's wire.
func (p *Port) attach() {
	p.lab.t.Helper()
	to := p.sw.bridge
	if p.split {
		to = p.sw.other
	}
	if p.wire != nil {
		if far := p.wire.far(); far != nil {
			p.plug(far, to, p.isolated)
		}
		p.plug(p.cable, p.wire.bridge(p), false)
		return
	}
	p.plug(p.cable, to, p.isolated)
}

func (p *Port) plug(end netlink.Link, to *netlink.Bridge, isolated bool) {
	p.lab.t.Helper()
	route := p.lab.cables.route
	if p.unplug {
		p.must("unplug it", route.LinkSetNoMaster(end))
		return
	}
	p.must("plug it in", route.LinkSetMaster(end, to))
	p.must("isolate it", route.LinkSetIsolated(end, isolated))
}

func (p *Port) must(what string, err error) {
	p.lab.t.Helper()
	if err != nil {
		p.lab.t.Fatalf("port %s: %s: %v", p, what, err)
	}
}
