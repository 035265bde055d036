package speaker

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// ears are a socket that hears and sends advertisements, for all instances that could share one: the kernel hands a copy of
// each packet to each socket, and a hundred instances would read a hundred times as much.
type ears struct {
	key     earsKey
	users   []*instance
	socket  kernel.VRRPSocket
	index   int // of the interface that it was opened on; one that is made anew is another one
	opening bool
	retry   bool   // it will be tried again
	failed  string // why it could not be opened
	flooded bool   // the kernel keeps strangers away
	free    chan *packet
	routers atomic.Int32 // how many users there are
}

// earsKey is what instances must agree in.
type earsKey struct {
	link      string
	source    netip.Addr
	multicast bool
	mac       string
}

// packet is an advertisement that was received. There are earsPackets for each socket, which bounds what waits in this process;
// the rest waits in the kernel's buffer.
type packet struct {
	ears     *ears
	bytes    [maxPacket]byte
	n        int
	src, dst netip.Addr
	ttl      int
}

const (
	earsPackets = 64
	// maxPacket is one byte more than the longest valid advertisement, so that one that was cut off is never taken for one.
	maxPacket = 8 + 16*vrrp.MaxAddresses + 8 + 1
	// earsRetry is when a socket that could not be opened is tried again, if the links do not change before.
	earsRetry = 5 * time.Second
)

// useEars gives the instance what it hears and speaks with.
func (s *Speaker) useEars(i *instance) {
	k := earsKey{i.conf.Interface, i.conf.Router.Source, len(i.conf.Router.Peers) == 0, string(i.conf.mac())}
	n := slices.IndexFunc(s.ears, func(e *ears) bool { return e.key == k })
	if n < 0 {
		n = len(s.ears)
		s.ears = append(s.ears, &ears{key: k})
	}
	i.ears = s.ears[n]
	i.ears.users = append(i.ears.users, i)
	i.ears.routers.Add(1)
	i.faults[faultSocket] = i.ears.fault()
	s.makeInterface(i)
	s.open(i.ears)
}

// makeInterface makes the interface of a virtual MAC, which has the addresses.
func (s *Speaker) makeInterface(i *instance) {
	if !i.conf.VirtualMAC || i.ears == nil {
		return
	}
	c := i.conf
	s.hands.do(func() func() {
		err := s.net.AddVirtualMAC(c.Interface, c.where(), c.Router.RouterID, c.Router.Source.Is6())
		return func() {
			if err != nil {
				s.fail(i, faultAddress, err.Error())
				s.log(slog.LevelError, "an interface could not be made", "vip", i.key.vip, "interface", c.where(), "error", err)
			}
		}
	})
}

// leaveEars is the opposite of useEars, after the addresses.
func (s *Speaker) leaveEars(i *instance) {
	s.leaveEarsStanding(i)
	if name := i.where(); i.conf.VirtualMAC {
		s.hands.do(func() func() {
			err := s.net.RemoveLink(name)
			return func() {
				if err != nil {
					s.log(slog.LevelError, "an interface could not be removed", "vip", i.key.vip, "interface", name, "error", err)
				}
			}
		})
	}
}

// leaveEarsStanding leaves the interface.
func (s *Speaker) leaveEarsStanding(i *instance) {
	e := i.ears
	if e == nil {
		return
	}
	i.ears = nil
	e.users = slices.DeleteFunc(e.users, func(u *instance) bool { return u == i })
	e.routers.Add(-1)
	if len(e.users) == 0 {
		s.ears = slices.DeleteFunc(s.ears, func(o *ears) bool { return o == e })
		s.close(e)
	}
}

// open opens the socket, if the interface is there and it is not open.
func (s *Speaker) open(e *ears) {
	link, ok := s.sourceLink(e.key.link, e.key.source, e.key.multicast)
	if _, there := s.look.links[e.key.link]; e.socket != nil || e.opening || !ok || !there {
		return
	}
	e.opening = true
	s.hands.do(func() func() {
		socket, err := s.net.OpenVRRP(kernel.VRRPOptions{
			Link: e.key.link, Source: e.key.source, Multicast: e.key.multicast, MAC: []byte(e.key.mac),
		})
		return func() { s.opened(e, link.Index, socket, err) }
	})
}

// there tells whether the interface that the socket is on is still the right one. That it lost the address is no matter: the socket
// is as good as before when it comes back.
func (s *Speaker) there(e *ears) bool {
	if k, ok := s.sourceLink(e.key.link, e.key.source, e.key.multicast); ok {
		return k.Index == e.index
	}
	for _, k := range s.look.links {
		if k.Index == e.index {
			return true
		}
	}
	return false
}

func (s *Speaker) opened(e *ears, index int, socket kernel.VRRPSocket, err error) {
	e.opening = false
	switch {
	case err != nil:
		if e.failed == "" {
			s.log(slog.LevelWarn, "advertisements cannot be heard", "interface", e.key.link, "error", err)
		}
		if e.failed = err.Error(); e.retry {
			break // each look at the interfaces tries it, too, and on a host of containers there are many
		}
		e.retry = true
		s.after(earsRetry, func() {
			e.retry = false
			if len(e.users) > 0 {
				s.open(e)
			}
		})
	case len(e.users) == 0 || s.ended: // nobody wants it any more
		_ = socket.Close()
	default:
		e.socket, e.index, e.failed, e.flooded = socket, index, "", false
		if e.free == nil {
			e.free = make(chan *packet, earsPackets)
			for range earsPackets {
				e.free <- &packet{ears: e}
			}
		}
		s.work.Go(func() { s.listen(e, socket) })
	}
	s.earsChanged(e)
}

// close closes the socket. It may be opened again.
func (s *Speaker) close(e *ears) {
	if socket := e.socket; socket != nil {
		e.socket = nil
		s.hands.do(func() func() { _ = socket.Close(); return nil }) // leaving a group takes the kernel's lock
	}
	s.earsChanged(e)
}

func (s *Speaker) earsChanged(e *ears) {
	for _, i := range e.users {
		i.faults[faultSocket] = e.fault()
	}
}

func (e *ears) fault() string {
	switch {
	case e.socket != nil:
		return ""
	case e.failed != "":
		return e.failed
	}
	return "the interface is being opened"
}

// listen receives until the socket is closed.
func (s *Speaker) listen(e *ears, socket kernel.VRRPSocket) {
	var rate governor
	for {
		var p *packet
		select {
		case p = <-e.free:
		case <-s.over:
			return
		}
		var err error
		p.n, p.src, p.dst, p.ttl, err = socket.Receive(p.bytes[:])
		switch {
		case err == nil:
			s.post(event{packet: p})
			d, flood := rate.read(time.Now(), limitOf(int(e.routers.Load())))
			if flood {
				s.post(event{do: func() { s.flood(e, socket) }})
			}
			if d > 0 && !s.pause(d) {
				return
			}
			continue
		case isClosed(err):
			e.free <- p
			return
		}
		e.free <- p
		if !s.pause(10 * time.Millisecond) { // an error that stays must not keep a processor busy
			return
		}
	}
}

// hear hands a packet to the instances that it is for. Those of other routers on the link are nothing to us.
func (s *Speaker) hear(p *packet) {
	now := s.net.Now()
	for _, i := range p.ears.users {
		if p.n >= 2 && p.bytes[1] != i.conf.Router.RouterID {
			continue // first, as a link can have hundreds of routers
		}
		g := s.groupOf(i)
		if g == nil || !g.begun {
			continue
		}
		s.act(g, g.vrrp.Receive(now, i.machine, vrrp.Received{Payload: p.bytes[:p.n], Src: p.src, Dst: p.dst, TTL: p.ttl}), 0)
	}
	p.ears.free <- p
}

func (s *Speaker) groupOf(i *instance) *group {
	for _, g := range s.groups {
		if slices.Contains(g.instances, i) {
			return g
		}
	}
	return nil
}

// closeSockets is the end of all receivers.
func (s *Speaker) closeSockets() {
	for _, e := range s.ears {
		if e.socket != nil {
			_ = e.socket.Close()
		}
	}
	_ = s.fence.close()
	if s.parent.process != nil {
		_ = s.parent.process.Close()
	}
}
