package engine

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"skein/config"
	"skein/internal/listen"
	"skein/pool"
)

// standin serves http blocks by the standard library until package web takes over.
type standin struct {
	set     *listen.Set
	servers map[string]*http.Server
	open    map[string]*listen.Listener
	blocks  map[string]*config.HTTP
	pools   *pool.Set
	mu      sync.Mutex // guards all
}

func (s *standin) Prepare(ctx context.Context, c *config.Config, p *pool.Set) (commit, discard func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]*listen.Listener{}
	blocks := map[string]*config.HTTP{}
	discard = func() {
		for _, l := range next {
			l.Release()
		}
	}
	for _, h := range c.HTTP {
		for _, a := range h.Listen {
			blocks[a] = h
			if next[a] != nil {
				continue
			}
			l, err := s.set.Open(ctx, a)
			if err != nil {
				discard()
				return nil, nil, err
			}
			next[a] = l
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		old := s.open
		s.open, s.blocks, s.pools = next, blocks, p
		for a, l := range next {
			if s.servers[a] == nil {
				srv := &http.Server{Handler: s.handler(a)}
				s.servers[a] = srv
				go func() { _ = srv.Serve(net.Listener(l)) }()
			}
		}
		for a, l := range old {
			if next[a] == nil {
				_ = s.servers[a].Shutdown(context.Background())
				delete(s.servers, a)
			}
			l.Release()
		}
	}, discard, nil
}

func (s *standin) handler(a string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h, set := s.blocks[a], s.pools
		s.mu.Unlock()
		if h == nil || h.Default.Pool == nil {
			http.Error(w, "no route", http.StatusNotFound)
			return
		}
		p := set.Pool(h.Default.Pool.Name)
		var tried pool.Mask
		for range 3 {
			m, err := p.Acquire(pool.Hash(r.RemoteAddr), nil, &tried, r.Context().Done())
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			tried.Add(m)
			m.Stats.Picked.Add(1)
			failed := false
			rp := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: m.Address})
			rp.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { failed = true; m.Stats.Errors.Add(1) }
			rp.ServeHTTP(w, r)
			p.Release(m)
			if !failed {
				return
			}
		}
		http.Error(w, "no member answered", http.StatusBadGateway)
	})
}

func (s *standin) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	servers := s.servers
	s.mu.Unlock()
	for _, srv := range servers {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_ = srv.Shutdown(grace)
		cancel()
	}
	return nil
}

func (s *standin) Reopen() error { return nil }
