package web

import (
	"net/netip"
	"time"

	"skein/internal/sock"
)

// Before a virtual address moves to another node on purpose, those who have come by it are sent away without losing anything:
//
//	SetLeaving   HTTP/1: the next answer says Connection: close      HTTP/2, HTTP/3: GOAWAY, graceful
//	CloseIdle    HTTP/1: who has nothing to ask is closed            HTTP/2, HTTP/3: GOAWAY, if it has not been said
//	Abandon      what is left is dropped, once the address is gone
//
// A WebSocket lives on, as ever, and new connections are still accepted; who begins one gets one answer.

// leaving is a set of addresses.
type leaving map[netip.Addr]struct{}

func newLeaving(addresses []netip.Addr) leaving {
	l := make(leaving, len(addresses))
	for _, a := range addresses {
		l[a.Unmap().WithZone("")] = struct{}{}
	}
	return l
}

func (l leaving) has(a netip.Addr) bool {
	_, yes := l[a.WithZone("")]
	return yes
}

// SetLeaving makes every answer the last of its connection, on connections that have come by one of the addresses. Connections
// with nothing to do live until their next request, or [Web.CloseIdle]: a request that is on its way already would be lost with
// them. Those of HTTP/2 and HTTP/3 are told at once, as both know how to leave without losing any (RFC 9113 section 6.8, RFC 9114
// section 5.2). Without addresses the leaving is over; a connection that was told goes all the same.
func (w *Web) SetLeaving(addresses []netip.Addr) {
	if len(addresses) == 0 {
		w.leaving.Store(nil)
		return
	}
	l := newLeaving(addresses)
	w.leaving.Store(&l) // first: who comes while we look through the others sees it itself
	w.eachBy(l, func(_ *sock.Conn, c *conn) {
		if h := c.streams.Load(); h != nil {
			h.Shutdown()
		}
	})
}

// newcomer is how long we wait for the first request of a connection before we believe that there is none: it comes
// right behind the connection, or behind its handshake.
const newcomer = time.Second

// CloseIdle ends connections that have come by one of the addresses and have nothing to do, and those that run as soon as they
// have nothing to do, WebSockets excepted.
func (w *Web) CloseIdle(addresses []netip.Addr) {
	w.eachBy(newLeaving(addresses), func(s *sock.Conn, c *conn) {
		if h := c.streams.Load(); h != nil {
			h.Shutdown()
			return
		}
		if !c.served.Load() && w.timer.Now()-c.since < newcomer {
			return
		}
		c.unwanted.Store(true)
		if !c.active.Load() {
			s.Nudge() // c.sock may not be set yet
		}
	})
}

// Abandon drops all connections that have come by one of the addresses. It is called when another node has them: nothing comes
// or goes any more, and the end of a WebSocket that nobody will ever hear of would be waited for at the next stop.
func (w *Web) Abandon(addresses []netip.Addr) {
	l := newLeaving(addresses)
	w.timer.Each(func(s *sock.Conn, owner any) {
		if c, ok := owner.(*conn); ok && l.has(s.Local().Addr()) {
			s.Drop()
			c.guard.left()
		}
	})
	w.each3(func(c *conn3) {
		if l.has(c.who.local.address()) {
			go c.h.Abort() // which waits for the connection's own goroutine
		}
	})
}

// eachBy calls f with the connections over TCP that have come by these addresses, and lets those over QUIC leave.
func (w *Web) eachBy(l leaving, f func(*sock.Conn, *conn)) {
	w.timer.Each(func(s *sock.Conn, owner any) {
		// One system call for each connection, but only now; c.local is its own goroutine's.
		if c, ok := owner.(*conn); ok && l.has(s.Local().Addr()) {
			f(s, c)
		}
	})
	w.shutDown3(func(c *conn3) bool { return l.has(c.who.local.address()) })
}

// parting reports whether who came by here should ask elsewhere from now on. As long as nothing leaves that costs the look at a
// pointer.
func (w *Web) parting(by *local) bool {
	l := w.leaving.Load()
	return l != nil && l.has(by.address())
}
