package listen

import (
	"context"
	"errors"
	"net"

	"github.com/quic-go/quic-go"
)

// Packet is one UDP socket, shared by everyone who opened its address. It is made for QUIC: its Conn goes into a
// [quic.Transport], and the Packet itself is the transport's ConnectionIDGenerator. Both are needed, as the connection IDs tell
// this process's packets from those of the one that it replaces; see ids.
//
// One Conn takes one Transport at a time, which must be closed before the Packet is released.
type Packet struct {
	Address string // as configured

	conn *packetConn
	set  *Set
	refs int // guarded by set.mu
}

// OpenPacket returns the socket of a UDP address, host:port, and opens it if nobody has. Each OpenPacket needs one
// [Packet.Release].
func (s *Set) OpenPacket(ctx context.Context, address string) (*Packet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.packets[address]; p != nil {
		p.refs++
		return p, nil
	}
	c, err := s.listenPacket(ctx, address)
	if err != nil {
		return nil, explain(address, err)
	}
	p := &Packet{Address: address, conn: newPacketConn(s, c), set: s, refs: 1}
	for _, r := range s.routes[address] {
		nc, err := net.FileConn(r.f)
		_ = r.f.Close()
		if err == nil {
			err = p.conn.addRoute(r.generation, nc.(*net.UnixConn))
		}
		if err != nil {
			p.conn.end()
			return nil, explain(address, err)
		}
	}
	delete(s.routes, address)
	s.packets[address] = p
	return p, nil
}

// listenPacket opens a socket, or takes the elder's. mu is held.
func (s *Set) listenPacket(ctx context.Context, address string) (*net.UDPConn, error) {
	f := s.take(udpKind + " " + address)
	if f == nil {
		lc := net.ListenConfig{Control: s.held(controlPacket, udpKind)}
		c, err := lc.ListenPacket(ctx, "udp", address)
		if err != nil {
			return nil, err
		}
		return c.(*net.UDPConn), nil
	}
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		_ = c.Close()
		return nil, errors.New("the socket that was handed over is not of UDP")
	}
	raw, err := u.SyscallConn()
	if err == nil {
		err = s.filter(raw, address, ipOf(u.LocalAddr()), udpKind) // the elder may still hold visitors
	}
	if err != nil {
		_ = u.Close()
		return nil, err
	}
	return u, nil
}

// Conn is what packets are read from and written to. It has all that quic-go's fast path asks for: batches, segmentation
// offload, ECN. Its Close does nothing, as the socket may be shared; see [Packet.Release].
func (p *Packet) Conn() net.PacketConn { return p.conn }

// Addr is the socket's address, with the real port where 0 was asked for.
func (p *Packet) Addr() net.Addr { return p.conn.LocalAddr() }

// GenerateConnectionID implements [quic.ConnectionIDGenerator].
func (p *Packet) GenerateConnectionID() (quic.ConnectionID, error) {
	return quic.ConnectionIDFromBytes(p.set.ids.next()), nil
}

// ConnectionIDLen implements [quic.ConnectionIDGenerator].
func (p *Packet) ConnectionIDLen() int { return ConnectionIDLength }

// Release gives the socket back; the last one closes it.
func (p *Packet) Release() {
	p.set.mu.Lock()
	defer p.set.mu.Unlock()
	if p.refs--; p.refs > 0 {
		return
	}
	delete(p.set.packets, p.Address)
	p.conn.end()
}
