package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// OpenVRRP is like [Net.OpenVRRP].
func (f *Fake) OpenVRRP(o VRRPOptions) (VRRPSocket, error) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k, err := f.ready("OpenVRRP", o.Link)
	if other := f.linkWith(o.Source, ""); err == nil && !o.Multicast && !o.Source.IsLinkLocalUnicast() && other != nil {
		k, o.Link = other, other.Name
	}
	if err == nil && !slices.ContainsFunc(k.Prefixes, func(p netip.Prefix) bool { return p.Addr() == o.Source }) {
		err = syscall.EADDRNOTAVAIL
	}
	if err != nil {
		return nil, fmt.Errorf("open VRRP socket on %s for %s: %w", o.Link, o.Source, err)
	}
	s := &fakeVRRP{host: f, options: o, segment: k.segment, queue: newFakeQueue[FakePacket]()}
	f.vrrp = append(f.vrrp, s)
	return s, nil
}

type fakeVRRP struct {
	host    *Fake
	options VRRPOptions
	segment string
	queue   fakeQueue[FakePacket]
	keep    VRRPKeep // the LAN's mutex guards it
}

func (s *fakeVRRP) hears(p FakePacket) bool {
	if s.segment != p.Link || s.options.Source.Is4() != p.Dst.Is4() || !s.keep.keeps(p.Src, p.TTL, p.Payload) {
		return false
	}
	if s.options.Multicast {
		return p.Dst == Group(s.options.Source)
	}
	return p.Dst == s.options.Source
}

func (s *fakeVRRP) Send(dst netip.Addr, payload []byte) error {
	l := s.host.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	err := s.host.failures["Send"]
	k := s.host.link(s.options.Link)
	switch {
	case s.queue.isClosed():
		err = net.ErrClosed
	case err != nil:
	case k == nil:
		err = errNoLink
	case !k.Up:
		err = syscall.ENETDOWN
	}
	if err != nil {
		return fmt.Errorf("send to %s: %w", dst, err)
	}
	l.record(s.host, FakeSent, s.options.Link, dst, payload)
	l.spread(FakePacket{
		Kind: FakeVRRP, From: s.host.name, Link: s.segment, Src: s.options.Source, Dst: dst, TTL: 255, Payload: payload,
	})
	return nil
}

func (s *fakeVRRP) Receive(b []byte) (n int, src, dst netip.Addr, ttl int, err error) {
	p, err := s.queue.get()
	return copy(b, p.Payload), p.Src, p.Dst, p.TTL, err
}

// Keep is like that of [Net].
func (s *fakeVRRP) Keep(k VRRPKeep) error {
	s.host.lan.mu.Lock()
	defer s.host.lan.mu.Unlock()
	s.keep = k
	return nil
}

func (s *fakeVRRP) Close() error {
	l := s.host.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	s.host.vrrp = slices.DeleteFunc(s.host.vrrp, func(o *fakeVRRP) bool { return o == s })
	s.queue.close()
	return nil
}

// OpenEcho is like [Net.OpenEcho].
func (f *Fake) OpenEcho(v6 bool) (EchoSocket, error) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	if err := f.failures["OpenEcho"]; err != nil {
		return nil, fmt.Errorf("open echo socket: %w", err)
	}
	s := &fakeEcho{host: f, v6: v6, queue: newFakeQueue[fakeReply]()}
	f.echo = append(f.echo, s)
	return s, nil
}

type fakeEcho struct {
	host  *Fake
	v6    bool
	queue fakeQueue[fakeReply]
}

type fakeReply struct {
	src     netip.Addr
	id, seq uint16
}

// Send is answered by every other host that has the address on a segment that both are on. The own addresses answer, too.
func (s *fakeEcho) Send(dst netip.Addr, id, seq uint16) error {
	l := s.host.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.queue.isClosed() {
		return fmt.Errorf("ping %s: %w", dst, net.ErrClosed)
	}
	if dst.Is6() != s.v6 {
		return fmt.Errorf("ping %s: %w", dst, syscall.EAFNOSUPPORT)
	}
	if s.host.linkWith(dst, "") != nil {
		s.host.reply(fakeReply{dst, id, seq})
		return nil
	}
	for _, f := range l.hosts {
		for _, k := range s.host.links {
			if f == s.host || !k.Up || f.linkWith(dst, k.segment) == nil {
				continue
			}
			request := FakePacket{Kind: FakeEchoRequest, From: s.host.name, To: f.name, Link: k.segment, Dst: dst, TTL: 64}
			l.carry(request, func() {
				if f.linkWith(dst, k.segment) == nil {
					return
				}
				reply := FakePacket{Kind: FakeEchoReply, From: f.name, To: s.host.name, Link: k.segment, Src: dst, TTL: 64}
				l.carry(reply, func() {
					if k.Up {
						s.host.reply(fakeReply{dst, id, seq})
					}
				})
			})
			break
		}
	}
	return nil
}

// reply reaches all sockets of the family, as raw sockets do.
func (f *Fake) reply(r fakeReply) {
	for _, s := range f.echo {
		if s.v6 == r.src.Is6() {
			s.queue.put(r)
		}
	}
}

func (s *fakeEcho) Receive() (src netip.Addr, id, seq uint16, err error) {
	r, err := s.queue.get()
	return r.src, r.id, r.seq, err
}

func (s *fakeEcho) Close() error {
	l := s.host.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	s.host.echo = slices.DeleteFunc(s.host.echo, func(o *fakeEcho) bool { return o == s })
	s.queue.close()
	return nil
}

// fakeQueue is the receive buffer of a socket. The LAN's mutex guards putting and closing.
type fakeQueue[T any] struct {
	packets chan T
	closed  chan struct{}
}

func newFakeQueue[T any]() fakeQueue[T] {
	return fakeQueue[T]{make(chan T, 256), make(chan struct{})}
}

func (q fakeQueue[T]) put(p T) {
	select {
	case q.packets <- p:
	default: // the buffer is full: the kernel drops, too
	}
}

func (q fakeQueue[T]) get() (p T, err error) {
	if q.isClosed() {
		return p, net.ErrClosed
	}
	select {
	case p = <-q.packets:
		return p, nil
	case <-q.closed:
		return p, net.ErrClosed
	}
}

func (q fakeQueue[T]) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

func (q fakeQueue[T]) close() {
	if !q.isClosed() {
		close(q.closed)
	}
}
