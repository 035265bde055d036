package harness

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Named is an origin that says its name in each answer, in the field X-Origin and as the body's first word; the rest of the
// body is the request's target. It can be taken down and brought up again at the same address.
type Named struct {
	Name, Addr string

	Hits    atomic.Int64 // requests, checks of /up left out
	Active  atomic.Int64 // of these, being answered now
	Checks  atomic.Int64 // requests of /up
	Healthy atomic.Bool  // what /up answers: 200 or 503
	Status  atomic.Int64 // of all other answers; 0 is 200
	Delay   atomic.Int64 // nanoseconds before each of them

	t   testing.TB
	mu  sync.Mutex // guards srv
	srv *http.Server
}

// Name starts an origin that is up and healthy.
func Name(t testing.TB, name string) *Named {
	t.Helper()
	n := &Named{Name: name, Addr: FreeAddr(t), t: t}
	n.Healthy.Store(true)
	n.Up()
	t.Cleanup(n.Down)
	return n
}

// Names starts several.
func Names(t testing.TB, names ...string) []*Named {
	t.Helper()
	var all []*Named
	for _, s := range names {
		all = append(all, Name(t, s))
	}
	return all
}

// Up listens (again).
func (n *Named) Up() {
	n.t.Helper()
	// A program that another test starts may hold the old socket for a moment.
	var l net.Listener
	var err error
	if !Soon(Patience, func() bool {
		l, err = net.Listen("tcp", n.Addr)
		return err == nil
	}) {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.srv = &http.Server{Handler: n, ReadHeaderTimeout: time.Minute}
	go n.srv.Serve(l)
}

// Down stops listening and cuts all connections, as the death of a process does.
func (n *Named) Down() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.srv != nil {
		n.srv.Close()
	}
	n.srv = nil
}

// ServeHTTP implements [http.Handler].
func (n *Named) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/up" {
		n.Checks.Add(1)
		if !n.Healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	n.Hits.Add(1)
	n.Active.Add(1)
	defer n.Active.Add(-1)
	if d := n.Delay.Load(); d > 0 {
		select {
		case <-time.After(time.Duration(d)): // this is the work that the origin pretends to do
		case <-r.Context().Done():
		}
	}
	w.Header().Set("X-Origin", n.Name)
	if s := n.Status.Load(); s > 0 {
		w.WriteHeader(int(s))
	}
	fmt.Fprintf(w, "%s %s", n.Name, r.RequestURI)
}
