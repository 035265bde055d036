package web

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	quichttp "github.com/quic-go/quic-go/http3"

	"skein/config"
	"skein/internal/listen"
	"skein/web/http3"
)

// Bounds of handshakes that are under way, for each address. From retryFrom on a client must first show that it receives what
// is sent to its address (RFC 9000 section 8.1.2), which costs us no memory; beyond maxHalfOpen there is no more room for
// those who have shown it either.
const (
	retryFrom   = 64
	maxHalfOpen = 2048
)

// quicIdle is how long a peer may be silent although we ask for a sign of life every half of it: it has gone. How long it may
// have nothing to say to us is the idle time-out's business.
const quicIdle = 30 * time.Second

// Flow control: what a client may send before we have read it. It bounds the memory of a connection, and with the round trip
// the rate of an upload.
const (
	quicStreamWindow    = 256 << 10
	quicMaxStreamWindow = 1 << 20
	quicConnWindow      = 512 << 10
	quicMaxConnWindow   = 2 << 20
	quicOtherStreams    = 8 // control, QPACK's two, and what clients grease with
)

// quicPorts are the UDP sides of listening addresses and their connections.
type quicPorts struct {
	buffers *http3.Buffers
	workers *http3.Workers

	mu    sync.Mutex // guards what follows, and the fields of port3 that say so
	ports map[string]*port3
	conns map[*conn3]struct{}
}

// port3 is one UDP socket and the QUIC that is spoken over it. It outlives its [port] until its last connection has ended, as
// they need its socket; a port that comes back meanwhile gets it back.
type port3 struct {
	w       *Web
	address string
	packet  *listen.Packet
	tr      *quic.Transport
	half    atomic.Int64 // handshakes under way
	port    atomic.Pointer[port]

	l    *quic.Listener // nil unless it takes connections; guarded by quicPorts.mu
	uses int            // its port, or a Prepare on the way to that, and its connections; guarded by quicPorts.mu
}

// speaks3 reports whether the block's listeners also speak HTTP/3.
func speaks3(h *config.HTTP) bool {
	for _, p := range h.Protocols {
		if p == "h3" {
			return h.TLS != nil
		}
	}
	return false
}

// speaks3 reports whether the address also speaks HTTP/3; blocks that share it agree about that.
func (t *table) speaks3() bool { return speaks3(t.settings) }

// open3 opens the UDP side of an address for a Prepare, which must give it back by leave3, or to its port.
func (w *Web) open3(ctx context.Context, address string, tcp net.Addr) (*port3, error) {
	w.quic.mu.Lock()
	defer w.quic.mu.Unlock()
	if host, p, err := net.SplitHostPort(address); err == nil && p == "0" { // both have the one port that clients are told
		address = net.JoinHostPort(host, portOf(tcp))
	}
	if p := w.quic.ports[address]; p != nil {
		p.uses++
		return p, nil
	}
	packet, err := w.sockets.OpenPacket(ctx, address)
	if err != nil {
		return nil, err
	}
	p := &port3{w: w, address: address, packet: packet, uses: 1}
	reset := quic.StatelessResetKey(w.sockets.Secret("QUIC stateless resets"))
	token := quic.TokenGeneratorKey(w.sockets.Secret("QUIC tokens"))
	p.tr = &quic.Transport{
		Conn: packet.Conn(), ConnectionIDGenerator: packet, StatelessResetKey: &reset, TokenGeneratorKey: &token,
		VerifySourceAddress: p.mustProve, ConnContext: p.begin,
	}
	w.quic.ports[address] = p
	return p, nil
}

func portOf(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// listen3 takes connections for port from now on, if it does not yet. Called with Web.mu held.
func (w *Web) listen3(p *port) {
	front := p.tls.Load()
	if p.quic == nil || front == nil {
		return
	}
	q := p.quic
	q.port.Store(p)
	w.quic.mu.Lock()
	defer w.quic.mu.Unlock()
	if q.l != nil {
		return
	}
	// No 0-RTT: whoever has seen a request of it can send it again, and only the application knows what that would do (RFC 8470
	// section 3). A resumed handshake is one round trip anyway.
	l, err := q.tr.Listen(quichttp.ConfigureTLSConfig(front), &quic.Config{GetConfigForClient: q.config, MaxIncomingStreams: -1})
	if err != nil {
		w.log.Error("HTTP/3 is not served", "listen", q.address, "error", err)
		return
	}
	q.l = l
	w.accepting.Go(func() { q.accept(l) })
}

// retire3 ends what listen3 began: no new connections, and those that are open end when they have nothing to do. Called with
// Web.mu held.
func (w *Web) retire3(p *port) {
	q := p.quic
	if q == nil {
		return
	}
	p.quic = nil
	w.quic.mu.Lock()
	l := q.l
	q.l = nil
	w.quic.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	w.shutDown3(p.owns3)
	w.leave3(q)
}

// owns3 reports whether a connection came by this port.
func (p *port) owns3(c *conn3) bool { return c.port == p }

// shutDown3 lets connections finish what they have begun, and no more.
func (w *Web) shutDown3(which func(*conn3) bool) {
	var open []*conn3
	w.each3(func(c *conn3) {
		if which(c) {
			open = append(open, c)
		}
	})
	for _, c := range open {
		c.h.Shutdown()
	}
}

// leave3 gives back one use of a port; the last one closes its socket.
func (w *Web) leave3(p *port3) {
	w.quic.mu.Lock()
	defer w.quic.mu.Unlock()
	if p.uses--; p.uses > 0 {
		return
	}
	delete(w.quic.ports, p.address)
	_ = p.tr.Close() // before the socket may be opened again
	p.packet.Release()
}

// config is for one new connection.
func (p *port3) config(*quic.ClientInfo) (*quic.Config, error) {
	s := p.port.Load().table.Load().settings
	return &quic.Config{
		HandshakeIdleTimeout:           s.Timeouts.TLS / 2, // the whole handshake may take twice that
		MaxIdleTimeout:                 quicIdle,
		KeepAlivePeriod:                quicIdle / 2,
		InitialStreamReceiveWindow:     quicStreamWindow,
		MaxStreamReceiveWindow:         quicMaxStreamWindow,
		InitialConnectionReceiveWindow: quicConnWindow,
		MaxConnectionReceiveWindow:     quicMaxConnWindow,
		MaxIncomingStreams:             int64(s.Limits.Streams),
		MaxIncomingUniStreams:          quicOtherStreams,
		RequireStreamCreditRelease:     true,
	}, nil
}

// halfOpen is a handshake.
type halfOpen struct {
	p    *port3
	over atomic.Bool
}

type halfOpenKey struct{}

func (h *halfOpen) end() {
	if !h.over.Swap(true) {
		h.p.half.Add(-1)
	}
}

var errCrowded = errors.New("too many handshakes are under way")

// begin counts a handshake. Its address may be anybody's still.
func (p *port3) begin(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if p.half.Load() >= maxHalfOpen {
		p.w.stats.QUICRefused.Add(1)
		return nil, errCrowded
	}
	p.half.Add(1)
	h := &halfOpen{p: p}
	context.AfterFunc(ctx, func() {
		if !h.over.Load() {
			p.w.stats.QUICHandshakeErrors.Add(1)
		}
		h.end()
	})
	return context.WithValue(ctx, halfOpenKey{}, h), nil
}

// mustProve says whether a client must show first that its address is its own.
func (p *port3) mustProve(net.Addr) bool {
	if p.half.Load() < retryFrom {
		return false
	}
	p.w.stats.QUICRetries.Add(1)
	return true
}

// accept takes connections whose handshake is complete until the listener is closed.
func (p *port3) accept(l *quic.Listener) {
	for {
		q, err := l.Accept(context.Background())
		if err != nil {
			return
		}
		if h, ok := q.Context().Value(halfOpenKey{}).(*halfOpen); ok {
			h.end()
		}
		p.take(q)
	}
}

// take begins to serve a connection, unless its port or its client has too many.
func (p *port3) take(q *quic.Conn) {
	w := p.w
	c := &conn3{w: w, quic: p, port: p.port.Load(), q: q}
	a, ok := q.RemoteAddr().(*net.UDPAddr)
	if !ok {
		_ = q.CloseWithError(quic.ApplicationErrorCode(http3.CodeInternal), "")
		return
	}
	ap := a.AddrPort()
	c.who.is(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	if !c.port.seat(&c.place, c.who.ip) {
		w.stats.Refused.Add(1)
		_ = q.CloseWithError(quic.ApplicationErrorCode(http3.CodeExcessiveLoad), "too many connections")
		return
	}
	c.prepare()
	w.quic.mu.Lock()
	p.uses++
	w.quic.conns[c] = struct{}{}
	w.quic.mu.Unlock()
	w.stats.Accepted.Add(1)
	w.stats.Connections.Add(1)
	w.stats.QUICConnections.Add(1)
	w.conns.Add(1)
	go c.serve()
}

// each3 calls f for every open connection.
func (w *Web) each3(f func(*conn3)) {
	w.quic.mu.Lock()
	defer w.quic.mu.Unlock()
	for c := range w.quic.conns {
		f(c)
	}
}

// announce adds the Alt-Svc field (RFC 7838) where the port was not known before the socket was open.
func (s *site) announce(port string) {
	say := func(r *route) { r.response.also("Alt-Svc", altSvc(port)) }
	s.always.also("Alt-Svc", altSvc(port))
	if s.other != nil {
		say(s.other)
	}
	for _, m := range []map[string][]*route{s.exact, s.prefix} {
		for _, rs := range m {
			for _, r := range rs {
				say(r)
			}
		}
	}
}

// altSvc is the field's value: HTTP/3 is there for a day, at the same host.
func altSvc(port string) string { return `h3=":` + port + `"; ma=86400` }

// announce3 tells the tables which port those blocks have that left the choice to the kernel.
func announce3(tables map[string]*table, bound func(address string) net.Addr) {
	done := map[*site]bool{}
	for _, t := range tables {
		for _, s := range t.sites {
			if done[s] || s.plain || !speaks3(s.cfg) || !strings.HasSuffix(s.cfg.Listen[0], ":0") {
				continue
			}
			done[s] = true
			if a := bound(s.cfg.Listen[0]); a != nil {
				s.announce(portOf(a))
			}
		}
	}
}
