package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// limited is a pool of n members with room for one each and a queue.
func limited(t *testing.T, n, queue int) *Pool {
	c := conf(n)
	c.MaxConns, c.Queue, c.QueueTimeout = 1, queue, 5*time.Second
	p, _ := newPool(t, c)
	return p
}

// outcome is what a waiter got, as "web1" or the error.
func outcome(m *Member, err error) string {
	if err != nil {
		return err.Error()
	}
	return m.Server
}

func TestAcquireUntilFull(t *testing.T) {
	p := limited(t, 20, 0)
	seen := map[*Member]bool{}
	for range 20 {
		m := acquire(t, p)
		if seen[m] {
			t.Fatalf("%s has two", m.ID)
		}
		seen[m] = true
	}
	if _, err := p.Acquire(0, nil, &Mask{}, nil); !errors.Is(err, ErrQueueFull) {
		t.Errorf("Acquire in a full pool without a queue: %v", err)
	}
	for m := range seen {
		p.Release(m)
		if got := acquire(t, p); got != m {
			t.Fatalf("got %s, which has no room, want %s", got.ID, m.ID)
		}
	}
	if got := p.total.Load(); got != 20 {
		t.Errorf("%d at work in the pool, want 20", got)
	}
}

func TestAcquireExcept(t *testing.T) {
	p, _ := newPool(t, conf(3))
	var tried Mask
	for range 3 {
		m, err := p.Acquire(0, nil, &tried, nil)
		if err != nil || tried.Has(m) {
			t.Fatalf("Acquire = %v, %v", m, err)
		}
		tried.Add(m)
	}
	if _, err := p.Acquire(0, nil, &tried, nil); !errors.Is(err, ErrNone) {
		t.Errorf("with all tried: %v", err)
	}
}

func TestAcquirePrefer(t *testing.T) {
	p := limited(t, 3, 0)
	m := p.Members()[2]
	get := func(prefer *Member, tried *Mask) *Member {
		got, err := p.Acquire(0, prefer, tried, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := get(m, &Mask{})
	if got != m {
		t.Errorf("got %s, want the preferred one", got.ID)
	}
	if o := get(m, &Mask{}); o == m { // full
		t.Error("got the preferred one, which is full")
	} else {
		p.Release(o)
	}
	p.Release(m)
	var tried Mask
	tried.Add(m)
	if o := get(m, &tried); o == m {
		t.Error("got the preferred one, which was tried")
	} else {
		p.Release(o)
	}
	p.Set(m, Drained, true, noon)
	if o := get(m, &Mask{}); o == m {
		t.Error("got the preferred one, which is drained")
	}
}

func TestQueueIsFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited(t, 1, 10)
		m := acquire(t, p)
		var order []int
		for i := range 5 {
			go func() {
				got, err := p.Acquire(0, nil, &Mask{}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i) // one at a time: there is room for one
				p.Release(got)
			}()
			synctest.Wait()
		}
		if p.Queued() != 5 {
			t.Errorf("%d queued, want 5", p.Queued())
		}
		p.Release(m)
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, order); diff != "" {
			t.Error(diff)
		}
		if p.Queued() != 0 || m.Active() != 0 {
			t.Errorf("%d queued, %d active at the end", p.Queued(), m.Active())
		}
	})
}

// Between the end of work and its hand-over, a newcomer does not slip in before those who wait.
func TestNewcomersQueueUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited(t, 1, 10)
		m := acquire(t, p)
		var got [2]string
		for i := range got {
			go func() { got[i] = outcome(p.Acquire(0, nil, &Mask{}, nil)) }()
			synctest.Wait()
			if i == 0 {
				m.leave()
			}
		}
		p.handOver(m)
		synctest.Wait()
		if got != [2]string{"web1", ""} {
			t.Errorf("got %q, want the first served and the second waiting", got)
		}
		p.Release(m)
	})
}

// Room that opens between the look for a member and the queueing is found: nobody else would wake the waiter. wait is called
// as Acquire would after such a look.
func TestNoLostWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited(t, 2, 10)
		m, err := p.wait(0, nil, &Mask{}, nil)
		if err != nil {
			t.Fatalf("the first to wait: %v", err)
		}
		var tried Mask
		for _, o := range p.Members() {
			if o != m {
				tried.Add(o)
			}
		}
		go p.wait(0, nil, &tried, nil) // for m, which is full
		synctest.Wait()
		if _, err := p.wait(0, nil, &Mask{}, nil); err != nil {
			t.Errorf("behind one that waits for another member: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestQueueFullTimeoutAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited(t, 1, 3)
		m := acquire(t, p)
		var got [3]string
		cancel := make(chan struct{})
		began := time.Now()
		var ended [3]time.Duration
		for i, c := range []chan struct{}{nil, cancel, nil} {
			go func() {
				got[i] = outcome(p.Acquire(0, nil, &Mask{}, c))
				ended[i] = time.Since(began)
			}()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if _, err := p.Acquire(0, nil, &Mask{}, nil); !errors.Is(err, ErrQueueFull) {
			t.Errorf("the fourth: %v, want ErrQueueFull", err)
		}
		close(cancel)
		synctest.Wait()
		time.Sleep(3 * time.Second) // the first has waited for 6 s, the third for 4 s
		p.Release(m)
		synctest.Wait()
		want := [3]string{ErrQueueTimeout.Error(), ErrCanceled.Error(), "web1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([3]time.Duration{5 * time.Second, 3 * time.Second, 6 * time.Second}, ended); diff != "" {
			t.Error(diff)
		}
		if p.Queued() != 0 || m.Active() != 1 {
			t.Errorf("%d queued, %d active; want 0, 1", p.Queued(), m.Active())
		}
	})
}

// A waiter that may use only another member does not hold up those behind it, and gets the other one.
func TestQueuePassesOverMasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited(t, 2, 10)
		a, b := acquire(t, p), acquire(t, p)
		var got [2]string
		go func() {
			var tried Mask
			tried.Add(a)
			got[0] = outcome(p.Acquire(0, nil, &tried, nil))
		}()
		synctest.Wait()
		go func() { got[1] = outcome(p.Acquire(0, nil, &Mask{}, nil)) }()
		synctest.Wait()
		p.Release(a)
		synctest.Wait()
		if got != [2]string{"", a.Server} {
			t.Errorf("after %s was released: %q", a.Server, got)
		}
		// With room for nobody who waits, a newcomer that can use it need not wait.
		p.Release(a)
		if m := acquire(t, p); m != a {
			t.Errorf("got %s, want %s", m.ID, a.ID)
		}
		p.Release(b)
		synctest.Wait()
		if got != [2]string{b.Server, a.Server} {
			t.Errorf("at the end: %q", got)
		}
	})
}

// Waiting ends when a member recovers, when a reload makes room, and when nobody is left.
func TestQueueWakes(t *testing.T) {
	for name, f := range map[string]func(*Pool){
		"web2": func(p *Pool) { p.Set(p.Members()[1], Unhealthy, false, noon) },
		"web1": func(p *Pool) {
			c := *p.Config()
			c.MaxConns = 2
			p.cfg.Store(&c)
			p.mu.Lock()
			p.touch(noon)
			p.mu.Unlock()
			p.rebuild()
		},
		ErrNone.Error(): func(p *Pool) { p.Set(p.Members()[0], Drained, true, noon) },
	} {
		synctest.Test(t, func(t *testing.T) {
			p := limited(t, 2, 10)
			p.Set(p.Members()[1], Unhealthy, true, noon)
			acquire(t, p)
			var got string
			go func() { got = outcome(p.Acquire(0, nil, &Mask{}, nil)) }()
			synctest.Wait()
			f(p)
			synctest.Wait()
			if got != name {
				t.Errorf("got %q, want %q", got, name)
			}
		})
	}
}

// Those who wait when their pool is taken out of the file are served by what still runs.
func TestQueueOfRemovedPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pol := &turns{}
		c := conf(1)
		c.MaxConns, c.Queue = 1, 1
		s := next(t, NewSet(), pol, c)
		s.Commit(noon)
		p := s.Pool("web")
		m := acquire(t, p)
		var got string
		go func() { got = outcome(p.Acquire(0, nil, &Mask{}, nil)) }()
		synctest.Wait()
		next(t, s, pol).Commit(noon)
		p.Release(m)
		synctest.Wait()
		if got != "web1" {
			t.Errorf("got %q", got)
		}
	})
}

// Many goroutines, little room, health that flaps, work given up: limits hold at all times, and everybody gets an answer. A
// lost wake-up shows as a queue time-out, which is far beyond the length of the test.
func TestStress(t *testing.T) {
	for _, n := range []int{1, 3, AtOnce + 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := conf(n)
			c.MaxConns, c.Queue, c.QueueTimeout = 2, 1000, time.Minute
			p, _ := newPool(t, c)
			var wg sync.WaitGroup
			var done atomic.Bool
			var served, canceled atomic.Int64
			inside := make(map[*Member]*atomic.Int64)
			for _, m := range p.Members() {
				inside[m] = new(atomic.Int64)
			}
			for g := range 4*n + 8 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(g)))
					for i := range 3000 / n {
						var tried Mask
						if rnd.IntN(4) == 0 && n > 1 {
							tried.Add(p.Members()[rnd.IntN(n)])
						}
						var cancel chan struct{}
						if rnd.IntN(8) == 0 {
							cancel = make(chan struct{})
							time.AfterFunc(time.Duration(rnd.IntN(50))*time.Microsecond, func() { close(cancel) })
						}
						m, err := p.Acquire(Key(i), nil, &tried, cancel)
						switch {
						case errors.Is(err, ErrCanceled):
							canceled.Add(1)
							continue
						case errors.Is(err, ErrNone) && n <= 3:
							continue // all were unhealthy or tried for a moment
						case err != nil:
							t.Error(err)
							return
						}
						if a := inside[m].Add(1); a > 2 {
							t.Errorf("%s: %d at once, limit 2", m.ID, a)
						}
						if tried.Has(m) {
							t.Errorf("%s was tried", m.ID)
						}
						if rnd.IntN(16) == 0 {
							time.Sleep(time.Microsecond)
						}
						inside[m].Add(-1)
						p.Release(m)
						served.Add(1)
					}
				})
			}
			var flaps sync.WaitGroup
			flaps.Go(func() {
				rnd := rand.New(rand.NewPCG(2, 2))
				for !done.Load() {
					p.Set(p.Members()[rnd.IntN(n)], Ejected, rnd.IntN(3) == 0, noon)
					time.Sleep(100 * time.Microsecond)
				}
			})
			wg.Wait()
			done.Store(true)
			flaps.Wait()
			for _, m := range p.Members() {
				if m.Active() != 0 {
					t.Errorf("%s: %d active at the end", m.ID, m.Active())
				}
			}
			if p.Queued() != 0 || p.queue.masked.Load() != 0 || p.total.Load() != 0 {
				t.Errorf("at the end: %d queued, %d masked, %d in all", p.Queued(), p.queue.masked.Load(), p.total.Load())
			}
			t.Logf("%d served, %d canceled", served.Load(), canceled.Load())
		})
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	for _, limit := range []int{0, 1000} {
		b.Run(fmt.Sprintf("limit=%d", limit), func(b *testing.B) {
			c := conf(10)
			c.MaxConns = limit
			p, _ := newPool(b, c)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					var none Mask
					m, err := p.Acquire(1, nil, &none, nil)
					if err != nil {
						b.Error(err)
						return
					}
					p.Release(m)
				}
			})
		})
	}
}

// BenchmarkAcquireFull is an overload: ten thousand members, none with room, and no queue.
func BenchmarkAcquireFull(b *testing.B) {
	c := conf(10000)
	c.MaxConns = 1
	p, _ := newPool(b, c)
	for range c.Members {
		acquire(b, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		var none Mask
		if _, err := p.Acquire(1, nil, &none, nil); err != ErrQueueFull {
			b.Fatal(err)
		}
	}
}
