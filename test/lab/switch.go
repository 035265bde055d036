package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Switch is an Ethernet switch: a bridge of the kernel. It floods multicast like a switch without snooping, and has no
// spanning tree, so that a port forwards at once.
type Switch struct {
	Name string

	lab    *Lab
	bridge *netlink.Bridge
	other  *netlink.Bridge // where split ports are; nil until then
}

// Switch makes one. The name is an interface's: at most 13 bytes.
func (l *Lab) Switch(name string) *Switch {
	l.t.Helper()
	s := &Switch{Name: name, lab: l}
	s.bridge = l.newBridge(name)
	l.switches = append(l.switches, s)
	return s
}

// newBridge makes a bridge that is up.
func (l *Lab) newBridge(name string) *netlink.Bridge {
	l.t.Helper()
	if len(name) >= unix.IFNAMSIZ {
		l.t.Fatalf("switch name %q is longer than %d bytes", name, unix.IFNAMSIZ-1)
	}
	off := false
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &off}
	b.Name, b.Flags = name, net.FlagUp
	b.Index = l.index()
	b.HardwareAddr = net.HardwareAddr{0x02, 0, 0, 0xff, byte(b.Index >> 8), byte(b.Index)} // else it follows its ports
	if err := l.cables.route.LinkAdd(b); err != nil {
		l.t.Fatalf("make switch %s: %v", name, err)
	}
	return b
}

// index gives interfaces of the switches' namespace their numbers. They begin where those of no host arrive, because of a trap:
// the kernel tells of a lost carrier at once only if the interface's own index differs from that of its peer, namespaces
// notwithstanding (linkwatch_urgent_event), and otherwise up to a second later.
func (l *Lab) index() int {
	l.links++
	return 1000 + l.links
}

// Port describes a host's connection to the switch with its own addresses ("10.0.0.11/24", "fd00::11/64"). Give it to
// [Lab.Host].
func (s *Switch) Port(prefixes ...string) *Port {
	s.lab.t.Helper()
	p := &Port{lab: s.lab, sw: s}
	for _, text := range prefixes {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			s.lab.t.Fatalf("port of switch %s: %v", s.Name, err)
		}
		p.Prefixes = append(p.Prefixes, prefix)
	}
	return p
}

// Split parts the network: the given ports reach each other and nobody else, and the rest the same. A second call begins anew.
func (s *Switch) Split(ports ...*Port) {
	s.lab.t.Helper()
	if s.other == nil {
		s.other = s.lab.newBridge(s.Name + "'2")
	}
	for _, h := range s.lab.hosts {
		for _, p := range h.ports {
			if p.sw != s {
				continue
			}
			p.split = false
			for _, q := range ports {
				p.split = p.split || p == q
			}
			p.attach()
		}
	}
}

// Heal ends a split.
func (s *Switch) Heal() {
	s.lab.t.Helper()
	s.Split()
}

// String implements [fmt.Stringer].
func (s *Switch) String() string { return fmt.Sprintf("switch %s", s.Name) }
