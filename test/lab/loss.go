package lab

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Direction is seen from the host.
type Direction bool

// The directions.
const (
	In  Direction = false // what comes to the host
	Out Direction = true  // what it sends
)

// Protocol says which frames are meant: 1 - 255 are protocols of IPv4 and IPv6, from 0x600 on Ethernet's types.
type Protocol uint16

// Protocols that tests care for. Any other number may be used.
const (
	ICMP   Protocol = unix.IPPROTO_ICMP
	TCP    Protocol = unix.IPPROTO_TCP
	UDP    Protocol = unix.IPPROTO_UDP
	ICMPv6 Protocol = unix.IPPROTO_ICMPV6
	VRRP   Protocol = 112
	ARP    Protocol = unix.ETH_P_ARP
	IPv4   Protocol = unix.ETH_P_IP
	IPv6   Protocol = unix.ETH_P_IPV6
)

// loss is a share of frames that a cable loses in one direction.
type loss struct {
	direction Direction
	protocol  Protocol // 0 is all
	share     float64
}

// Lose makes the cable lose a share (0 - 1, at random) of the frames of one direction: those of the protocols, or all without
// any. It replaces what was said before for the same direction and protocol; 0 ends it. The frames are lost in the switch, so
// that captures in the sending host show them.
func (p *Port) Lose(direction Direction, share float64, protocols ...Protocol) {
	p.lab.t.Helper()
	if len(protocols) == 0 {
		protocols = []Protocol{0}
	}
	for _, protocol := range protocols {
		p.losses = slices.DeleteFunc(p.losses, func(l loss) bool { return l.direction == direction && l.protocol == protocol })
		if share > 0 {
			p.losses = append(p.losses, loss{direction, protocol, share})
		}
	}
	p.must("lose frames", p.lab.filter())
}

// filter writes all losses into the switches' nftables, in one transaction.
func (l *Lab) filter() error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(l.cables.net)))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	// An old table is there or not: adding it first makes its removal succeed.
	table := &nftables.Table{Name: "lab", Family: nftables.TableFamilyBridge}
	conn.AddTable(table)
	conn.DelTable(table)
	conn.AddTable(table)
	chain := conn.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	for _, h := range l.hosts {
		for _, p := range h.ports {
			for _, loss := range p.losses {
				conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: loss.rule(p.cable.Name)})
			}
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables: %w", err)
	}
	return nil
}

// rule is the loss of one cable: "iifname CABLE meta l4proto 112 numgen random mod 1000000 < SHARE drop".
func (l loss) rule(cable string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, cable)
	key := expr.MetaKeyOIFNAME
	if l.direction == Out {
		key = expr.MetaKeyIIFNAME
	}
	rule := []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name}}
	switch {
	case l.protocol >= 0x600:
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, uint16(l.protocol))})
	case l.protocol > 0:
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(l.protocol)}})
	}
	if l.share < 1 {
		const all = 1_000_000
		// Comparisons look at bytes from the left, so that a number in the host's order must be turned.
		rule = append(rule, &expr.Numgen{Register: 1, Modulus: all, Type: unix.NFT_NG_RANDOM},
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, uint32(l.share*all))})
	}
	return append(rule, &expr.Verdict{Kind: expr.VerdictDrop})
}
