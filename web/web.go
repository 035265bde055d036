// Package web is the HTTP load balancer: it receives requests, finds their route, gives them to a member of the route's pool
// and relays the answer.
//
// Start at [Web.Prepare] for the life of a configuration and at exchange for the life of a request: serve routes it, forward
// tries members, relay passes the answer on. The names of the files tell their part:
//
//	port, open                    a listening address; what comes before the first request: the PROXY header, TLS
//	conn, conn2, conn3            a client's connection in HTTP/1, 2 and 3; stream is what the last two share
//	answer1, answer2, answer3     how an exchange is answered in each
//	router, serve, head, fields   which route, and what changes in a message on its way
//	dial, upstream, wire          connections to members, and the protocols on them: wire1 is HTTP/1, wirefcgi FastCGI
//	member2                       members that speak HTTP/2: they share connections
//	upload, body1, script         bodies on their way to a member
//	file, files                   files of a directory, and which of them are scripts
//	compress                      answers on their way through an encoder
//	tunnel                        WebSockets
//	leaving                       addresses that move to another node
//	serving, probe, proof         whether this node serves: it asks itself
//
// The wire codecs are web/http1, http2, http3 and fastcgi; what makes connections cheap is internal/sock.
//
// It judges no member's health (it reports to package health), picks none (package policy does, through package pool) and has
// no certificates (package cert has). It promises that a reload disturbs nothing that has not changed, and that no request is
// sent twice unless nobody can notice.
package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skein/config"
	"skein/internal/listen"
	"skein/internal/sock"
	"skein/pool"
	"skein/web/http2"
	"skein/web/http3"
)

// Options are what web needs of others.
type Options struct {
	Sockets *listen.Set
	Health  Reporter
	Stdout  io.Writer // of the access log without a file
	Plain   bool      // every connection goes through net.Conn; for tests

	// TLS is what a listening address speaks, by the configuration that is in force; nil is plain text.
	TLS func(address string) *tls.Config
	// Challenge answers what a CA asks for over plain HTTP (RFC 8555 section 8.3).
	Challenge func(host, path string) (answer []byte, ok bool)
}

// Web is the HTTP service.
type Web struct {
	log     *slog.Logger
	sockets *listen.Set
	health  Reporter
	stdout  io.Writer
	tls     func(address string) *tls.Config
	prove   func(host, path string) ([]byte, bool)
	timer   *sock.Timer
	stats   Stats
	works   sync.Pool // *work
	streams sync.Pool // *stream2
	workers *http2.Workers
	bodies  sync.Pool // *[bodySize]byte
	tunnels *sync.Pool
	idles   sync.Map // *pool.Member -> *idle
	access  atomic.Pointer[accessLog]

	probes     probes
	compressor compressor
	quic       quicPorts
	streams3   sync.Pool // *stream3

	dialing context.Context // of connections to members that are being opened
	hangUp  context.CancelFunc

	hire   chan *conn    // to workers that have nothing to do
	ended  chan struct{} // closed when Run returns
	idlers atomic.Int64

	leaving  atomic.Pointer[leaving] // addresses that other nodes are about to have; nil is none
	draining atomic.Bool             // no keep-alive any more
	stopping atomic.Bool             // time is up

	mu      sync.Mutex // guards what follows
	ports   map[string]*port
	set     *pool.Set
	drain   time.Duration
	sites   map[string]*SiteStats
	dialers map[string]*dialer // by pool
	running bool

	accepting sync.WaitGroup // goroutines that may begin connections
	conns     sync.WaitGroup
	linked    sync.WaitGroup // readers of HTTP/2 connections to members
}

// New returns a Web that does nothing before Prepare and Run.
func New(log *slog.Logger, o Options) *Web {
	w := &Web{log: log, sockets: o.Sockets, health: o.Health, stdout: o.Stdout, tls: o.TLS, prove: o.Challenge, timer: sock.NewTimer(), ports: map[string]*port{}, sites: map[string]*SiteStats{}, tunnels: sock.NewTunnelBuffers()}
	w.timer.Plain = o.Plain
	w.probes.begin(o.Sockets)
	w.dialing, w.hangUp = context.WithCancel(context.Background())
	w.hire, w.ended = make(chan *conn), make(chan struct{})
	w.works.New = newWork
	w.streams.New = newStream2
	w.streams3.New = newStream3
	w.quic = quicPorts{buffers: http3.NewBuffers(), workers: http3.NewWorkers(maxIdleWorkers, w.ended), ports: map[string]*port3{}, conns: map[*conn3]struct{}{}}
	w.workers = http2.NewWorkers(maxIdleWorkers)
	w.bodies.New = func() any { return new([bodySize]byte) }
	off, _ := openAccessLog("off", "", io.Discard)
	w.access.Store(off)
	return w
}

// Prepare makes the routing tables of c and opens the sockets that they need.
func (w *Web) Prepare(ctx context.Context, c *config.Config, set *pool.Set) (commit, discard func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh := map[string]*SiteStats{}
	dialers := map[string]*dialer{}
	for _, p := range c.Pools {
		d, err := newDialer(w.dialers[p.Name], p)
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", p.Pos.File, p.Pos.Line, err)
		}
		dialers[p.Name] = d
	}
	tables := newTables(c, set, dialers, func(name string) *SiteStats {
		s := w.sites[name]
		if s == nil {
			s = &SiteStats{}
		}
		fresh[name] = s
		return s
	})
	opened := map[string]*port{}
	quics := map[string]*port3{} // by address, of those that speak HTTP/3 and did not yet
	var log *accessLog
	discard = func() {
		for _, p := range opened {
			p.l.Release()
		}
		for _, q := range quics {
			w.leave3(q)
		}
		if log != nil {
			log.close()
		}
	}
	for _, h := range c.HTTP {
		for _, address := range slices.Concat(h.Listen, h.Redirect) {
			if w.ports[address] != nil || opened[address] != nil {
				continue
			}
			l, err := w.sockets.Open(ctx, address)
			if err != nil {
				discard()
				return nil, nil, fmt.Errorf("%s:%d: http %q: %w", h.Pos.File, h.Pos.Line, h.Name, err)
			}
			opened[address] = &port{address: address, l: l, clients: map[string]int{}}
		}
	}
	bound := func(address string) net.Addr {
		if p := opened[address]; p != nil {
			return p.l.Addr()
		}
		return w.ports[address].l.Addr()
	}
	for _, h := range c.HTTP {
		if !speaks3(h) {
			continue
		}
		for _, address := range h.Listen {
			if p := w.ports[address]; p != nil && p.quic != nil || quics[address] != nil {
				continue
			}
			q, err := w.open3(ctx, address, bound(address))
			if err != nil {
				discard()
				return nil, nil, fmt.Errorf("%s:%d: http %q: HTTP/3: %w", h.Pos.File, h.Pos.Line, h.Name, err)
			}
			quics[address] = q
		}
	}
	announce3(tables, bound)
	if a := w.access.Load(); a.format != c.Log.Access || a.path != c.Log.AccessFile {
		if log, err = openAccessLog(c.Log.Access, c.Log.AccessFile, w.stdout); err != nil {
			log = nil
			discard()
			return nil, nil, fmt.Errorf("%s:%d: log: %w", c.Log.Pos.File, c.Log.Pos.Line, err)
		}
	}
	commit = func() { w.dialers = dialers; w.commit(c, set, tables, opened, quics, log, fresh) }
	return commit, discard, nil
}

func (w *Web) commit(c *config.Config, set *pool.Set, tables map[string]*table, opened map[string]*port, quics map[string]*port3, log *accessLog, sites map[string]*SiteStats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining.Load() { // the stop came between Prepare and now
		for _, p := range opened {
			p.l.Release()
		}
		for _, q := range quics {
			w.leave3(q)
		}
		if log != nil {
			log.close()
		}
		return
	}
	w.set, w.sites = set, sites
	w.drain = 0
	for _, h := range c.HTTP {
		w.drain = max(w.drain, h.Timeouts.Drain)
	}
	for address, t := range tables {
		if p := w.ports[address]; p != nil {
			w.serveBy(p, t)
		}
	}
	for address, p := range opened {
		w.serveBy(p, tables[address])
		w.ports[address] = p
		if w.running {
			w.accepting.Go(func() { w.accept(p) })
		}
	}
	for address, p := range w.ports {
		if tables[address] == nil {
			delete(w.ports, address)
			w.retire(p)
			continue
		}
		if q := quics[address]; q != nil {
			p.quic = q
		} else if p.quic != nil && !tables[address].speaks3() {
			w.retire3(p)
		}
		if w.running {
			w.listen3(p)
		}
	}
	if log != nil {
		log.before = w.access.Load() // exchanges that end right now may still add to it
		w.access.Store(log)
	}
}

// serveBy makes t what p does from the next connection, and on open ones from the next request, on.
func (w *Web) serveBy(p *port, t *table) {
	before := termsOf(p)
	if w.tls != nil {
		p.tls.Store(w.tls(p.address))
	}
	first := p.table.Swap(t) == nil
	if first || before == termsOf(p) {
		return
	}
	// Who has come in plain text, or without a certificate, must not go on so where that is no longer enough.
	p.era.Add(1)
	w.nudgeIdle(func(c *conn) bool { return c.port == p && c.leaving() })
	w.shutDown3(p.owns3)
}

// terms are what a listener asks of clients before it knows their request.
type terms struct {
	secure          bool
	min             uint16
	authority, auth string
}

func termsOf(p *port) terms {
	t := p.table.Load()
	if t == nil || p.tls.Load() == nil || t.settings.TLS == nil {
		return terms{}
	}
	f := t.settings.TLS
	return terms{true, f.MinVersion, string(f.ClientCA), f.ClientAuth}
}

// retire closes a port that is no longer configured. Its idle connections end, its running requests finish, its tunnels live
// on.
func (w *Web) retire(p *port) {
	p.retired.Store(true)
	p.l.Release()
	w.retire3(p)
	w.nudgeIdle(func(c *conn) bool { return c.port == p })
}

// nudgeIdle wakes connections that wait for a request, so that they end.
func (w *Web) nudgeIdle(which func(*conn) bool) {
	w.timer.Each(func(s *sock.Conn, owner any) {
		c, ok := owner.(*conn)
		if !ok || !which(c) {
			return
		}
		if h := c.streams.Load(); h != nil {
			h.Shutdown() // it knows how to say that it leaves
		} else if !c.active.Load() {
			s.Nudge() // c.sock may not be set yet
		}
	})
}

// Run serves until ctx ends, and then until the running requests have ended or their time is up.
func (w *Web) Run(ctx context.Context) error {
	timing, stop := context.WithCancel(context.Background())
	defer stop()
	var own sync.WaitGroup
	own.Go(func() { w.timer.Run(timing) })
	own.Go(func() { w.keepHouse(timing) })
	own.Go(func() { w.writeLog(timing) })
	w.mu.Lock()
	w.running = true
	for _, p := range w.ports {
		w.listen3(p)
		w.accepting.Go(func() { w.accept(p) })
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.shutDown()
	w.linked.Wait()
	stop()
	own.Wait()
	close(w.ended)
	w.workers.Close()
	w.access.Load().close()
	return nil
}

// shutDown ends in the order that costs visitors least: no new connections, idle ones end, running requests get their time.
func (w *Web) shutDown() {
	w.mu.Lock()
	w.draining.Store(true)
	w.running = false
	drain := w.drain
	for a, p := range w.ports {
		p.l.Release()
		w.retire3(p)
		delete(w.ports, a)
	}
	w.mu.Unlock()
	w.nudgeIdle(func(*conn) bool { return true })
	done := make(chan struct{})
	go func() {
		w.accepting.Wait() // none is begun after that: only then conns can be waited for
		w.conns.Wait()
		close(done)
	}()
	late := time.NewTimer(drain)
	defer late.Stop()
	again := time.NewTicker(sock.Tick)
	defer again.Stop()
	for {
		select {
		case <-done:
			w.closeIdle(nil)
			return
		case <-again.C:
			w.nudgeIdle(func(*conn) bool { return true })
		case <-late.C:
			w.log.Warn("requests were cut off at the end of the drain time", "connections", w.stats.Connections.Load(), "after", drain)
			w.cutOff()
			<-done
			w.closeIdle(nil)
			return
		}
	}
}

// cutOff aborts every connection, to clients and to members, and all waiting for one. Whoever opens a connection after that
// sees that it is too late.
func (w *Web) cutOff() {
	w.stopping.Store(true)
	w.hangUp()
	w.timer.Each(func(_ *sock.Conn, owner any) { // first, so that no member is blamed for what we do to its connection
		if c, ok := owner.(*conn); ok {
			c.guard.left()
		}
	})
	w.timer.AbortAll()
	w.each3(func(c *conn3) { go c.h.Abort() }) // which waits for the connection's own goroutine
}

// writeLog writes the access log once a second, or when much has gathered.
func (w *Web) writeLog(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		l := w.access.Load()
		select {
		case <-ctx.Done():
			l.flush(w.log)
			return
		case <-t.C:
		case <-l.wake:
		}
		l.flush(w.log)
	}
}

// Reopen opens the access log's file anew, after it was moved away.
func (w *Web) Reopen() error { return w.access.Load().reopen() }
