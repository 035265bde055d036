package listen

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
)

// route is the way to an elder: a process of this chain of upgrades that finishes its connections. Its packets go there in
// parcels, through a pair of SOCK_SEQPACKET sockets, which keep the bounds of a parcel as datagrams do and, unlike datagrams,
// say when the other end is closed:
//
//	length (1 byte) | the client's address | length (1 byte) | control messages | the packet
//
// The control messages are the kernel's, with our own address that the client has sent to, and the ECN bits.
type route struct {
	conn *net.UnixConn
	raw  syscall.RawConn
}

// maxPacket is the largest packet that is passed on. quic-go announces 1452 bytes to clients (RFC 9000 section 18.2,
// max_udp_payload_size) and reads no more.
const maxPacket = 2048

// errParcel is a parcel that cannot be read. Only another process of ours could have sent it.
var errParcel = errors.New("listen: malformed parcel")

// pass sends a packet on. If the elder does not read as fast as packets come they are lost, as in any queue of the network: to
// wait would let one process hold up another.
func (r *route) pass(m *ipv4.Message) {
	from, ok := m.Addr.(*net.UDPAddr)
	if !ok || m.N > maxPacket || m.NN > 255 {
		return
	}
	b := make([]byte, 1, 64+m.NN+m.N)
	b, err := from.AddrPort().AppendBinary(b)
	if err != nil || len(b) > 256 {
		return
	}
	b[0] = byte(len(b) - 1)
	b = append(b, byte(m.NN))
	b = append(b, m.OOB[:m.NN]...)
	b = append(b, m.Buffers[0][:m.N]...)
	_ = r.raw.Control(func(fd uintptr) { _ = send(int(fd), b) })
}

// readPassed reads one parcel into m.
func readPassed(c *net.UnixConn, m *ipv4.Message) error {
	b := make([]byte, 512+maxPacket)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	address, b, ok1 := field(b[:n])
	control, b, ok2 := field(b)
	var from netip.AddrPort
	if !ok1 || !ok2 || from.UnmarshalBinary(address) != nil {
		return errParcel
	}
	m.NN = copy(m.OOB, control)
	if m.NN < len(control) {
		m.NN = 0 // a part of it would be malformed; without, the kernel chooses our address
	}
	m.N, m.Flags, m.Addr = copy(m.Buffers[0], b), 0, net.UDPAddrFromAddrPort(from)
	return nil
}

// field cuts off what a byte says the length of.
func field(b []byte) (f, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+b[0]], b[1+b[0]:], true
}

// addRoute passes the packets of a generation on to c, until its other end is closed.
func (c *packetConn) addRoute(generation byte, to *net.UnixConn) error {
	raw, err := to.SyscallConn()
	if err != nil {
		return err
	}
	r := &route{to, raw}
	c.changeRoutes(func(m map[byte]*route) { m[generation] = r })
	go func() {
		// Nothing ever comes from there: this ends when either side closes.
		_, _ = to.Read(make([]byte, 1))
		c.changeRoutes(func(m map[byte]*route) {
			if m[generation] == r {
				delete(m, generation)
			}
		})
		_ = to.Close()
	}()
	return nil
}

// forget gives up all routes: the successor has them.
func (c *packetConn) forget() {
	c.changeRoutes(func(m map[byte]*route) {
		for _, r := range m {
			_ = r.conn.Close()
		}
		clear(m)
	})
}

// changeRoutes replaces the map. Without routes it is nil, so that reading packets costs nothing.
func (c *packetConn) changeRoutes(change func(map[byte]*route)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[byte]*route{}
	if m := c.routes.Load(); m != nil {
		maps.Copy(next, *m)
	}
	change(next)
	if len(next) == 0 {
		c.routes.Store(nil)
		return
	}
	c.routes.Store(&next)
}

// living are the routes that there are.
func (c *packetConn) living() map[byte]*route {
	if m := c.routes.Load(); m != nil {
		return *m
	}
	return nil
}
