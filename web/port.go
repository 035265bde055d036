package web

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"skein/internal/listen"
)

// port is one listening address.
type port struct {
	address string
	l       *listen.Listener
	table   atomic.Pointer[table]
	retired atomic.Bool
	tls     atomic.Pointer[tls.Config] // nil is plain text
	open    atomic.Int64
	era     atomic.Int64 // counts changes of what is asked of clients before their first request
	quic    *port3       // the same address over UDP, nil without HTTP/3; guarded by Web.mu

	mu      sync.Mutex // guards clients
	clients map[string]int
}

// accept takes connections until the listener is closed.
func (w *Web) accept(p *port) {
	pause := time.Duration(0)
	for {
		before := w.stats.Accepted.Load()
		err := p.l.Accept(func(fd int, nc net.Conn, client netip.AddrPort) { w.begin(p, fd, nc, client) })
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if w.stats.Accepted.Load() != before {
			pause = 0
		}
		// Out of descriptors or memory: those who wait in the backlog are better served a little later than never.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		w.stats.AcceptErrors.Add(1)
		w.log.Warn("connection was not accepted", "listen", p.address, "error", err, "pause", pause)
		time.Sleep(pause)
	}
}

// begin starts to serve a connection that was accepted.
func (w *Web) begin(p *port, fd int, nc net.Conn, client netip.AddrPort) {
	w.start(p, fd, nc, client, w.probes.at(client))
}

// start starts to serve a connection, which is a visitor's unless own says that it is our own: then no limit of visitors counts.
func (w *Web) start(p *port, fd int, nc net.Conn, client netip.AddrPort, own *probe) {
	c := &conn{w: w, port: p, since: w.timer.Now()}
	c.era.Store(p.era.Load())
	if nc != nil {
		c.sock = w.timer.Wrap(nc, c)
	} else {
		c.sock = w.timer.Take(fd, client, c)
	}
	c.guard.sock = c.sock
	c.local.find, c.who.local = c.sock.Local, &c.local
	c.who.is(client)
	c.who.probe = own
	if own == nil {
		c.proxied = within(p.table.Load().proxies, c.who.addr)
		// Whom a proxy speaks for is known once its header has come.
		if !c.proxied && !p.seat(&c.place, c.who.ip) {
			w.refuse(c)
			return
		}
		w.stats.Accepted.Add(1)
	}
	w.stats.Connections.Add(1)
	w.conns.Add(1)
	select {
	case w.hire <- c:
	default:
		go w.work(c)
	}
}

// refuse drops a connection that is one too many.
func (w *Web) refuse(c *conn) {
	w.stats.Refused.Add(1)
	c.sock.Reset()
	_ = c.sock.Close()
}

// maxIdleWorkers is how many goroutines wait for a next connection when theirs has ended.
const maxIdleWorkers = 128

// work serves one connection after the other. A goroutine's stack grows in its first request; where clients come and go,
// growing it again for each of them would be a tenth of the cost.
func (w *Web) work(c *conn) {
	for c != nil {
		switch met := c.meet(); {
		case met && c.who.secure:
			// A handshake with ML-KEM wants a stack of 32 KiB. It is good for the next handshake; kept by a visitor who stays, it
			// would be most of what one costs until the garbage collector comes by.
			go w.accompany(c)
		case met:
			w.accompany(c)
		default:
			w.left()
		}
		c = nil
		if w.idlers.Add(1) <= maxIdleWorkers {
			select {
			case c = <-w.hire:
			case <-w.ended:
			}
		}
		w.idlers.Add(-1)
	}
}

// accompany serves a connection that has begun well, until it ends.
func (w *Web) accompany(c *conn) {
	c.serve()
	w.left()
}

// left counts a connection that has ended.
func (w *Web) left() {
	w.stats.Connections.Add(-1)
	w.conns.Done()
}

// place is what a connection takes up of the limits of its port.
type place struct {
	taken   bool
	counted bool // among those of its client
	ip      string
}

// seat counts a connection, unless the port or the client has too many.
func (p *port) seat(at *place, ip string) bool {
	l := &p.table.Load().settings.Limits
	if l.Conns > 0 && p.open.Load() >= int64(l.Conns) {
		return false
	}
	if l.ConnsPerClient > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.clients[ip] >= l.ConnsPerClient {
			return false
		}
		p.clients[ip]++
		at.counted = true
	}
	p.open.Add(1)
	at.taken, at.ip = true, ip
	return true
}

// leave is called when a connection has ended, seated or not.
func (p *port) leave(at *place) {
	if !at.taken {
		return
	}
	p.open.Add(-1)
	if !at.counted {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[at.ip]--; p.clients[at.ip] <= 0 {
		delete(p.clients, at.ip)
	}
}
