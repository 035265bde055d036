package kernel

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// FakeLAN is a network in memory for tests: hosts on a switch, which takes no time unless told to. Links of the same name are
// on one segment: the eth0 of all hosts hear each other, and so do the eth1, but no eth0 hears an eth1.
//
// It blocks only on channels and timers, so it works in a bubble of testing/synctest; make it inside of the bubble.
type FakeLAN struct {
	born time.Time

	mu     sync.Mutex // guards what follows, and the fields of all hosts and sockets
	hosts  []*Fake
	lose   func(FakePacket) bool
	delay  func(FakePacket) time.Duration
	events []FakeEvent
}

// NewFakeLAN makes a network without hosts.
func NewFakeLAN() *FakeLAN { return &FakeLAN{born: time.Now()} }

// Host adds a host with the link eth0, which is up and has these addresses. If one is IPv6, the link has a link-local address
// too, as every such link has: fe80::1 for the first host, fe80::2 for the second.
func (l *FakeLAN) Host(name string, prefixes ...netip.Prefix) *Fake {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &Fake{lan: l, name: name, number: len(l.hosts) + 1}
	l.hosts = append(l.hosts, f)
	f.addLink("eth0", prefixes)
	return f
}

// FakePacket is a packet on its way from one host to another, or to one of the hosts that hear it.
type FakePacket struct {
	Kind     FakeKind
	From, To string // names of hosts
	Link     string // segment
	Src, Dst netip.Addr
	TTL      int
	Payload  []byte // of VRRP
}

// FakeKind is what a [FakePacket] carries.
type FakeKind string

// The kinds of packets.
const (
	FakeVRRP        FakeKind = "vrrp"
	FakeEchoRequest FakeKind = "echo request"
	FakeEchoReply   FakeKind = "echo reply"
)

// Lose makes the network lose the packets for which lose says true; nil ends it. It is asked once for each host that would
// receive the packet, so that a network can be deaf in one direction. lose must not call the network.
func (l *FakeLAN) Lose(lose func(FakePacket) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = lose
}

// Partition lets only those talk whose hosts are in the same side; hosts on no side are a side of their own. Without sides it
// heals. It takes the place of what Lose was told.
func (l *FakeLAN) Partition(sides ...[]*Fake) {
	at := make(map[string]int)
	for i, side := range sides {
		for _, f := range side {
			at[f.name] = i + 1
		}
	}
	l.Lose(func(p FakePacket) bool { return at[p.From] != at[p.To] })
}

// Delay makes packets take as long as delay says, each for itself, so that they can overtake each other; nil ends it. delay
// must not call the network.
func (l *FakeLAN) Delay(delay func(FakePacket) time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// Inject puts a VRRP packet on a segment as if somebody else there had sent it: any source, any TTL, any payload.
func (l *FakeLAN) Inject(p FakePacket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Kind = FakeVRRP
	l.spread(p)
}

// FakeEvent is something that a host did to the network.
type FakeEvent struct {
	At   time.Time
	Host string
	What FakeWhat
	Link string
	Addr netip.Addr
	// Payload is what was sent, for FakeSent.
	Payload []byte
}

// FakeWhat is the kind of a [FakeEvent].
type FakeWhat string

// The kinds of events.
const (
	FakeAdded     FakeWhat = "added"     // an address, to a link
	FakeRemoved   FakeWhat = "removed"   // an address, from a link
	FakeAnnounced FakeWhat = "announced" // an address, by gratuitous ARP or unsolicited NA
	FakeSent      FakeWhat = "sent"      // a VRRP message, to Addr, whether or not anybody heard it
)

// Events are all events until now, the oldest first.
func (l *FakeLAN) Events() []FakeEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// Holders are the names of the hosts that have the address on a link that is up, in the order in which the hosts were made.
func (l *FakeLAN) Holders(a netip.Addr) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, f := range l.hosts {
		if f.linkWith(a, "") != nil {
			names = append(names, f.name)
		}
	}
	return names
}

// Announcer is the name of the host that announced the address last, which is who the neighbors send to; empty if nobody did.
func (l *FakeLAN) Announcer(a netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range slices.Backward(l.events) {
		if e.What == FakeAnnounced && e.Addr == a {
			return e.Host
		}
	}
	return ""
}

func (l *FakeLAN) record(f *Fake, what FakeWhat, link string, a netip.Addr, payload []byte) {
	l.events = append(l.events, FakeEvent{
		At: time.Now(), Host: f.name, What: what, Link: link, Addr: a, Payload: slices.Clone(payload),
	})
}

// spread delivers a VRRP packet to all sockets of the segment that hear it.
func (l *FakeLAN) spread(p FakePacket) {
	p.Payload = slices.Clone(p.Payload)
	for _, f := range l.hosts {
		if f.name == p.From { // IP_MULTICAST_LOOP is off
			continue
		}
		for _, s := range f.vrrp {
			if !s.hears(p) {
				continue
			}
			to := p
			to.To = f.name
			l.carry(to, func() {
				if k := f.link(s.options.Link); k != nil && k.Up {
					s.queue.put(to)
				}
			})
		}
	}
}

// carry lets the network lose or delay a packet that is on its way; arrive is called with the lock held.
func (l *FakeLAN) carry(p FakePacket, arrive func()) {
	if l.lose != nil && l.lose(p) {
		return
	}
	var d time.Duration
	if l.delay != nil {
		d = l.delay(p)
	}
	if d <= 0 {
		arrive()
		return
	}
	time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		arrive()
	})
}

// fakeMAC is a MAC that is administered locally, of the link with this number.
func fakeMAC(host, link int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0, 0, byte(host >> 8), byte(host), byte(link)}
}
