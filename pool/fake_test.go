package pool

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"skein/config"
)

// turns is the simplest policy: one after the other. It counts its builds.
type turns struct{ builds atomic.Int64 }

func (t *turns) Build(usable []*Member) Picker {
	t.builds.Add(1)
	return &turn{usable: usable}
}

type turn struct {
	usable []*Member
	next   atomic.Uint64
}

func (t *turn) Pick(_ Key, except Mask) *Member {
	n := t.next.Add(1)
	for i := range t.usable {
		if m := t.usable[(n+uint64(i))%uint64(len(t.usable))]; !except.Has(m) {
			return m
		}
	}
	return nil
}

func server(i int) *config.Server {
	return &config.Server{Name: fmt.Sprintf("web%d", i), Host: fmt.Sprintf("10.0.%d.%d", i>>8, i&255)}
}

// conf is a pool "web" of web1 to webN on port 80.
func conf(n int) *config.Pool {
	c := &config.Pool{Name: "web", QueueTimeout: time.Second}
	for i := range n {
		c.Members = append(c.Members, config.Member{Server: server(i + 1), Port: 80, Weight: 1})
	}
	return c
}

// newPool returns the live pool of c and its policy.
func newPool(t testing.TB, c *config.Pool) (*Pool, *turns) {
	t.Helper()
	pol := &turns{}
	s := next(t, NewSet(), pol, c)
	s.Commit(time.Time{})
	return s.Pool(c.Name), pol
}

func next(t testing.TB, s *Set, pol Policy, cs ...*config.Pool) *Set {
	t.Helper()
	n, err := s.Next(&config.Config{Pools: cs}, Options{Policy: func(config.Policy) (Policy, error) { return pol, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// acquire gets a member without waiting.
func acquire(t testing.TB, p *Pool) *Member {
	t.Helper()
	m, err := p.Acquire(0, nil, &Mask{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func names(ms []*Member) string {
	s := ""
	for _, m := range ms {
		s += " " + m.Server
	}
	return s
}
