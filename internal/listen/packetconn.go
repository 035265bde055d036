package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
)

// packetConn is a UDP socket that processes may share after an upgrade.
//
//	            +-- its own, and what nobody knows --> quic-go
//	socket --> newest
//	            +-- an elder's --> route (unix socket) --> that process --> quic-go
//
// All write to the socket themselves. Without an elder that lives, a read costs one atomic load more than the socket's own; an
// elder's packet costs two system calls and two copies more, and comes alone where the socket gives batches of eight.
type packetConn struct {
	set    *Set
	udp    *net.UDPConn
	batch  *ipv4.PacketConn // the same socket, for both IP versions, read in batches
	routes atomic.Pointer[map[byte]*route]
	left   atomic.Bool   // a successor reads the socket
	closed chan struct{} // nobody wants the socket any more

	mu       sync.Mutex // guards what follows
	deadline time.Time
	changed  chan struct{} // closed when deadline changes
	away     *net.UnixConn // what our successor passes on; nil while we read the socket
	inside   int           // readers of the socket
	none     sync.Cond     // inside is 0
}

func newPacketConn(s *Set, c *net.UDPConn) *packetConn {
	p := &packetConn{set: s, udp: c, batch: ipv4.NewPacketConn(c), closed: make(chan struct{}), changed: make(chan struct{})}
	p.none.L = &p.mu
	return p
}

// ReadBatch reads at least one packet, into the first buffer of each message. quic-go uses it instead of the other ways to
// read.
func (c *packetConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		away, err := c.source()
		if err != nil {
			return 0, err
		}
		if away != nil {
			switch err := readPassed(away, &ms[0]); {
			case err == nil:
				return 1, nil
			case errors.Is(err, errParcel):
			case errors.Is(err, io.EOF):
				c.comeBack(away)
			default:
				return 0, err
			}
			continue
		}
		n, err := c.batch.ReadBatch(ms, flags)
		c.done()
		if err != nil {
			if c.hasLeft() {
				continue // that is what woke us
			}
			return 0, err
		}
		if n = c.sort(ms[:n]); n > 0 {
			return n, nil
		}
	}
}

// source waits until this process may read, and returns what it reads from: nil is the socket. done is called after that.
func (c *packetConn) source() (*net.UnixConn, error) {
	for {
		c.mu.Lock()
		away, deadline, changed := c.away, c.deadline, c.changed
		begun := false
		select {
		case <-c.set.begun:
			begun = true
			if away == nil {
				c.inside++
			}
		default:
		}
		c.mu.Unlock()
		if begun {
			return away, nil
		}
		if err := c.await(deadline, changed); err != nil {
			return nil, err
		}
	}
}

// done ends the reading of the socket.
func (c *packetConn) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside--; c.inside == 0 {
		c.none.Broadcast()
	}
}

// await waits for the set to begin, or for another deadline.
func (c *packetConn) await(deadline time.Time, changed chan struct{}) error {
	var late <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-c.set.begun:
	case <-changed:
	case <-c.closed:
		return net.ErrClosed
	case <-late:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// sort passes on what belongs to elders, and returns how many packets stay, which are the first then. The bytes are copied to
// the front, as quic-go knows which of its buffers it has put where.
func (c *packetConn) sort(ms []ipv4.Message) int {
	routes, left := c.routes.Load(), c.left.Load()
	if routes == nil && !left {
		return len(ms)
	}
	kept := 0
	for i := range ms {
		m := &ms[i]
		owner, ours := c.set.ids.owner(destination(m.Buffers[0][:m.N]))
		if ours && owner != c.set.ids.generation {
			if left {
				continue // the socket was our successor's already; the peer will send it again
			}
			if r := (*routes)[owner]; r != nil {
				r.pass(m)
				continue
			}
		}
		if kept != i {
			k := &ms[kept]
			k.N, k.NN = copy(k.Buffers[0], m.Buffers[0][:m.N]), copy(k.OOB, m.OOB[:m.NN])
			k.Addr, k.Flags = m.Addr, m.Flags
		}
		kept++
	}
	return kept
}

// leave lets the successor read the socket, and reads from away instead, until its other end is closed. When it returns nobody
// reads the socket here any more: one who was just about to could otherwise take a packet that is the successor's.
func (c *packetConn) leave(away *net.UnixConn) {
	c.left.Store(true)
	c.mu.Lock()
	select {
	case <-c.closed:
		_ = away.Close()
	default:
		c.away = away
		_ = away.SetReadDeadline(c.deadline)
		_ = c.udp.SetReadDeadline(time.Unix(1, 0)) // wakes who reads
		for c.inside > 0 {
			c.none.Wait()
		}
	}
	c.mu.Unlock()
	c.forget()
}

// comeBack reads the socket again after the successor has died: our connections can still end well.
func (c *packetConn) comeBack(away *net.UnixConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away != away {
		return
	}
	_ = away.Close()
	c.away = nil
	_ = c.udp.SetReadDeadline(c.deadline)
}

func (c *packetConn) hasLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away != nil
}

// end closes everything.
func (c *packetConn) end() {
	c.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.closed)
	if c.away != nil {
		_ = c.away.Close() // this tells the successor that nobody is here any more
	}
	_ = c.udp.Close()
}

// SetReadDeadline implements [net.PacketConn].
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	if c.away != nil {
		return c.away.SetReadDeadline(t)
	}
	return c.udp.SetReadDeadline(t)
}

// SetDeadline implements [net.PacketConn].
func (c *packetConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// ReadMsgUDP reads one packet as [net.UDPConn.ReadMsgUDP] does.
func (c *packetConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	ms := []ipv4.Message{{Buffers: [][]byte{b}, OOB: oob}}
	if _, err = c.ReadBatch(ms, 0); err != nil {
		return 0, 0, 0, nil, err
	}
	return ms[0].N, ms[0].NN, ms[0].Flags, ms[0].Addr.(*net.UDPAddr), nil
}

// ReadFrom implements [net.PacketConn].
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, _, addr, err := c.ReadMsgUDP(b, nil)
	if err != nil {
		return 0, nil, err
	}
	return n, addr, nil
}

// WriteTo implements [net.PacketConn].
func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) { return c.udp.WriteTo(b, to) }

// WriteMsgUDP writes one packet, or several of one size, as [net.UDPConn.WriteMsgUDP] does.
func (c *packetConn) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	return c.udp.WriteMsgUDP(b, oob, to)
}

// LocalAddr implements [net.PacketConn].
func (c *packetConn) LocalAddr() net.Addr { return c.udp.LocalAddr() }

// SetWriteDeadline implements [net.PacketConn].
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.udp.SetWriteDeadline(t) }

// SyscallConn gives access to the socket, for its options.
func (c *packetConn) SyscallConn() (syscall.RawConn, error) { return c.udp.SyscallConn() }

// SetReadBuffer sets the kernel's buffer of what has come, in bytes.
func (c *packetConn) SetReadBuffer(n int) error { return c.udp.SetReadBuffer(n) }

// SetWriteBuffer sets the kernel's buffer of what goes out, in bytes.
func (c *packetConn) SetWriteBuffer(n int) error { return c.udp.SetWriteBuffer(n) }

// Close implements [net.PacketConn] and does nothing; see [Packet.Release].
func (c *packetConn) Close() error { return nil }
