package policy

import (
	"fmt"
	"testing"
	"time"

	"skein/config"
	"skein/pool"
)

// newPool returns a pool of n members whose weights are those given, over and over; without any, all are 1.
func newPool(t testing.TB, c config.Policy, n int, weights ...int) *pool.Pool {
	t.Helper()
	return poolOf(t, &config.Pool{Name: "p", Policy: c, Members: members(n, weights...)})
}

func members(n int, weights ...int) []config.Member {
	if len(weights) == 0 {
		weights = []int{1}
	}
	var ms []config.Member
	for i := range n {
		s := &config.Server{Name: fmt.Sprintf("web%d", i+1), Host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)}
		ms = append(ms, config.Member{Server: s, Port: 8080, Weight: weights[i%len(weights)]})
	}
	return ms
}

func poolOf(t testing.TB, c *config.Pool) *pool.Pool {
	t.Helper()
	s, err := pool.NewSet().Next(&config.Config{Pools: []*config.Pool{c}}, pool.Options{Policy: New})
	if err != nil {
		t.Fatal(err)
	}
	s.Commit(time.Time{})
	return s.Pool(c.Name)
}

// picker builds policy c's picker for members of a pool.
func picker(t testing.TB, c config.Policy, usable []*pool.Member) pool.Picker {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Build(usable)
}

func key(i int) pool.Key { return pool.Key(pool.Mix(1, uint64(i))) }

// hold gives one piece of work to the pool and does not end it.
func hold(t testing.TB, p *pool.Pool, k pool.Key) *pool.Member {
	t.Helper()
	var none pool.Mask
	m, err := p.Acquire(k, nil, &none, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// all runs f for every policy, and once more for hash with a load bound.
func all(t *testing.T, f func(t *testing.T, i Info, c config.Policy)) {
	for _, i := range List() {
		t.Run(i.Name, func(t *testing.T) { f(t, i, config.Policy{Name: i.Name}) })
		if i.Bounded {
			t.Run(i.Name+"/bounded", func(t *testing.T) { f(t, i, config.Policy{Name: i.Name, Bounded: 1.25}) })
		}
	}
}
