package demo

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// site is one of the three servers. It dies as a real one does: its socket and its connections are gone at once.
type site struct {
	name    string
	number  int
	address string
	handler http.Handler

	mu     sync.Mutex // guards what follows
	server *http.Server
	conns  map[net.Conn]bool
}

func newSite(name string, number int, d *demo) (*site, error) {
	s := &site{name: name, number: number, address: "127.0.0.1:0"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /up", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, name)
	})
	mux.HandleFunc("GET /{$}", d.page)
	s.handler = mux
	return s, s.start()
}

// start listens, on the same port as before if it was killed.
func (s *site) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	s.address = l.Addr().String()
	s.conns = map[net.Conn]bool{}
	s.server = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ConnState: s.track}
	go func(server *http.Server) { _ = server.Serve(l) }(s.server)
	return nil
}

// kill ends the server at once.
func (s *site) kill() {
	s.mu.Lock()
	server := s.server
	s.server = nil
	for c := range s.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // closing is a reset, as from a machine that has restarted
		}
	}
	s.mu.Unlock()
	if server != nil {
		_ = server.Close() // it waits for track of a connection that has just come
	}
}

// track keeps the list of open connections.
func (s *site) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = true
	case http.StateClosed:
		delete(s.conns, c)
	}
}

func (s *site) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server != nil
}
