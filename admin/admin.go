// Package admin is how people and programs look at a running Skein and steer it: an HTTP API on a unix socket, and the same
// API, for reading only, on a loopback address.
//
// Start at [Admin], which is a service like the others, and [Client], which the command line uses. status.go has the words of
// the answers, drain.go the steering, guard.go what keeps a browser's pages away from the loopback listener, metrics.go what
// Prometheus reads.
//
// Whoever may open the socket may steer: its file mode is the access control. There is no remote access yet, as that needs
// TLS and tokens. It decides nothing by itself: all that it needs of others stands in [Sources].
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"skein/cluster"
	"skein/config"
	"skein/health"
	"skein/pool"
)

// Sources are what admin needs of the rest of the program. The engine fills them in; all functions may be called from any
// goroutine.
type Sources struct {
	Version string
	// Listen opens listeners; those of "unix" remove their path when they are closed. Nil is the net package's.
	Listen     func(ctx context.Context, network, address string) (net.Listener, error)
	Started    time.Time
	Live       func() (*config.Config, *pool.Set) // what is in force
	Serving    func() error                       // nil if this node takes visitors
	Reload     func(context.Context) error
	LastReload func() Reload
	Health     func(*pool.Member) health.Status
	Drains     *cluster.Store
	Traffic    func() (Traffic, []Listener)

	Certificates func() []Certificate
	VIPs         func() VIPs // nil is none
}

// Limits of the API. Its callers are people, scripts and Prometheus on the same machine; whoever needs more is not one.
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
	maxConns  = 256
)

// Admin serves the API.
type Admin struct {
	log     *slog.Logger
	sources Sources
	socket  *http.Server // may steer
	reader  *http.Server // reads only
	pprof   atomic.Bool

	draining sync.Mutex // one drain at a time

	mu      sync.Mutex // guards what follows
	opened  opened
	serve   func(s *http.Server, l net.Listener) // starts serving; nil unless Run runs
	waiting []func()
}

// opened is what the live configuration listens on.
type opened struct {
	socketPath, address string
	socket, loopback    net.Listener
}

// New returns an Admin that listens nowhere yet.
func New(log *slog.Logger, s Sources) *Admin {
	if s.Listen == nil {
		s.Listen = new(net.ListenConfig).Listen
	}
	if s.VIPs == nil {
		s.VIPs = func() VIPs { return VIPs{} }
	}
	a := &Admin{log: log, sources: s}
	server := func(h http.Handler) *http.Server {
		return &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			// A profile takes half a minute by default, a reload at most as long.
			WriteTimeout:   2 * time.Minute,
			IdleTimeout:    time.Minute,
			MaxHeaderBytes: maxHeader,
			ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
	}
	a.socket, a.reader = server(a.handler(true)), server(guard(a.handler(false)))
	return a
}

// Prepare opens what the next configuration listens on and the running one does not.
func (a *Admin) Prepare(ctx context.Context, c *config.Config, _ *pool.Set) (commit, discard func(), err error) {
	a.mu.Lock()
	old := a.opened
	a.mu.Unlock()
	next := old
	next.socketPath, next.address = c.Admin.Socket, c.Admin.Listen
	var fresh []net.Listener
	discard = func() {
		for _, l := range fresh {
			_ = l.Close()
		}
	}
	if next.socketPath != old.socketPath {
		l, err := listenSocket(ctx, a.sources.Listen, next.socketPath)
		if err != nil {
			return nil, nil, err
		}
		next.socket = l
		fresh = append(fresh, l)
	}
	if next.address != old.address {
		next.loopback = nil
		if next.address != "" {
			l, err := a.sources.Listen(ctx, "tcp", next.address)
			if err != nil {
				discard()
				return nil, nil, fmt.Errorf("listen %s: %w", next.address, cause(err))
			}
			next.loopback = l
			fresh = append(fresh, l)
		}
	}
	return func() { a.commit(next, c.Admin.Pprof) }, discard, nil
}

// commit makes next what is listened on, and closes what no longer is.
func (a *Admin) commit(next opened, pprof bool) {
	a.pprof.Store(pprof)
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.opened
	a.opened = next
	swap := func(s *http.Server, from, to net.Listener) {
		if from == to {
			return
		}
		if from != nil {
			_ = from.Close() // its connections, this very reload's among them, live on
		}
		if to == nil {
			return
		}
		to = netutil.LimitListener(to, maxConns) // further ones wait in the backlog
		if a.serve != nil {
			a.serve(s, to)
			return
		}
		a.waiting = append(a.waiting, func() { a.serve(s, to) })
	}
	swap(a.socket, old.socket, next.socket)
	swap(a.reader, old.loopback, next.loopback)
}

// LetGo leaves callers to another process, which takes the listeners over: idle connections end, and all others with their next
// answer.
func (a *Admin) LetGo() {
	a.socket.SetKeepAlivesEnabled(false)
	a.reader.SetKeepAlivesEnabled(false)
}

// Run serves until ctx ends.
func (a *Admin) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	a.mu.Lock()
	a.serve = func(s *http.Server, l net.Listener) {
		serving.Go(func() {
			if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				a.log.Error("admin listener ended", "address", l.Addr().String(), "error", err)
			}
		})
	}
	for _, start := range a.waiting {
		start()
	}
	a.waiting = nil
	a.mu.Unlock()

	<-ctx.Done()
	a.mu.Lock()
	a.serve = func(_ *http.Server, l net.Listener) { _ = l.Close() }
	a.mu.Unlock()
	// Nobody waits long for the end of a status page.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, s := range []*http.Server{a.socket, a.reader} {
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	}
	serving.Wait()
	return nil
}
