package health

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/pool"
)

func ejecting(n int) *config.Pool {
	return &config.Pool{Name: "web", Members: members(n), Eject: config.Eject{
		Errors: 3, Gateway: 5, Time: 10 * time.Second, MaxTime: time.Minute, MaxShare: 0.5,
	}}
}

// fail reports n failures of member i.
func (b *bench) fail(i, n int) {
	for range n {
		b.Failure(b.pool(), b.member(i), TimedOut)
	}
}

func TestEjectAndReadmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newWorld(), ejecting(3))
		b.after(time.Second)
		b.fail(1, 2)
		b.reasons(1, 0)
		b.fail(1, 1)
		b.reasons(1, pool.Ejected)
		b.fail(1, 10) // of work that was under way
		b.logged(`level=WARN msg="member was ejected" pool=web server=s1 address=10.0.0.1:80 ` +
			`reason="3 failures in a row, the last one a time-out" after=1s for=10s`)
		if st := b.Status(b.member(1)); !st.Ejected || !st.Until.Equal(b.began.Add(11*time.Second)) || !st.Up {
			t.Errorf("Status(s1) = %+v, want ejected until 11s", st)
		}
		b.after(10900 * time.Millisecond)
		b.reasons(1, pool.Ejected)
		b.after(11 * time.Second)
		b.reasons(1, 0)
		b.logged(`level=INFO msg="member was readmitted" pool=web server=s1 address=10.0.0.1:80 ` +
			`reason="its ejection is over" after=10s`)
		b.fail(1, 2)
		b.reasons(1, 0)
		b.fail(1, 1) // one more series, twice as long
		b.reasons(1, pool.Ejected)
		b.after(30900 * time.Millisecond)
		b.reasons(1, pool.Ejected)
		b.after(31 * time.Second)
		b.reasons(1, 0)
		if n := b.member(1).Stats.Ejections.Load(); n != 2 {
			t.Errorf("counted %d ejections, want 2", n)
		}
	})
}

func TestRuns(t *testing.T) {
	// f is a failure, g a gateway answer, s a success; the limits are 3 failures and 5 gateway answers.
	for _, c := range []struct {
		work string
		off  string // which limit is off
		want pool.Reason
	}{
		{"ff", "", 0},
		{"fff", "", pool.Ejected},
		{"ffsff", "", 0},
		{"ffgff", "", 0}, // an answer, if a bad one, ends the run of failures
		{"gggg", "", 0},
		{"ggggg", "", pool.Ejected},
		{"ggsggg", "", 0},
		{"ggfggg", "", pool.Ejected}, // a failure does not end a run of gateway answers
		{"ffffffff", "f", 0},
		{"gggggggg", "g", 0},
		{"ffgff", "g", 0}, // then it counts as a success
		{"fggggg", "f", pool.Ejected},
	} {
		t.Run(c.work+c.off, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := ejecting(3)
				switch c.off {
				case "f":
					cfg.Eject.Errors = 0
				case "g":
					cfg.Eject.Gateway = 0
				}
				b := start(t, newWorld(), cfg)
				for _, w := range c.work {
					switch p, m := b.pool(), b.member(1); w {
					case 'f':
						b.Failure(p, m, Broken)
					case 'g':
						b.Gateway(p, m)
					case 's':
						b.Success(p, m)
					}
				}
				b.reasons(1, c.want)
			})
		})
	}
}

func TestEjectLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		members int
		share   float64
		prepare func(*bench)
		fail    []int
		want    int // ejected
	}{
		{"a single member stays", 1, 1, nil, []int{1}, 0},
		{"one of two, whatever the share", 2, 0, nil, []int{1, 2}, 1},
		{"half of four", 4, 0.5, nil, []int{1, 2, 3, 4}, 2},
		{"a tenth of five is one", 5, 0.1, nil, []int{1, 2, 3, 4, 5}, 1},
		{"all but the last", 4, 1, nil, []int{1, 2, 3, 4}, 3},
		{"the others are down", 3, 1, func(b *bench) {
			b.pool().Set(b.member(2), pool.Unhealthy, true, time.Now())
			b.pool().Set(b.member(3), pool.Unhealthy, true, time.Now())
		}, []int{1}, 0},
		{"the other is drained", 2, 1, func(b *bench) {
			b.pool().Set(b.member(2), pool.Drained, true, time.Now())
		}, []int{1}, 0},
		{"drained members are no part of the share", 4, 0.5, func(b *bench) {
			b.pool().Set(b.member(4), pool.Drained, true, time.Now())
		}, []int{1, 2}, 1},
		{"one that is down is not ejected too", 3, 1, func(b *bench) {
			b.pool().Set(b.member(1), pool.Unhealthy, true, time.Now())
		}, []int{1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := ejecting(c.members)
				cfg.Eject.MaxShare = c.share
				b := start(t, newWorld(), cfg)
				if c.prepare != nil {
					c.prepare(b)
				}
				n := 0
				for _, i := range c.fail {
					b.fail(i, 3)
					if b.member(i).Reasons()&pool.Ejected != 0 {
						n++
					}
				}
				if n != c.want {
					t.Errorf("%d members were ejected, want %d", n, c.want)
				}
				if len(b.pool().Usable()) == 0 {
					t.Error("no member is usable")
				}
			})
		})
	}
}

// The two judges do not listen to each other.
func TestEjectionAndCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for _, a := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
			w.serve(a, ok())
		}
		c := ejecting(2)
		c.Check = httpCheck()
		b := start(t, w, c)
		b.fail(1, 3)
		b.after(9 * time.Second)
		b.reasons(1, pool.Ejected) // although the check sees it healthy
		w.serve("10.0.0.1:80", nil)
		b.after(9100 * time.Millisecond)
		b.after(11500 * time.Millisecond)
		b.reasons(1, pool.Unhealthy) // the ejection is over, the check is not satisfied
		w.serve("10.0.0.1:80", ok())
		b.after(15 * time.Second)
		b.reasons(1, 0)
	})
}

func TestReloadKeepsEjections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newWorld(), ejecting(3))
		b.fail(1, 3)
		b.fail(2, 2)
		b.after(5 * time.Second)
		c := ejecting(4)
		c.Eject.MaxShare = 1
		b.apply(c)
		b.reasons(1, pool.Ejected)
		b.fail(2, 1) // the run goes on too
		b.reasons(2, pool.Ejected)
		b.after(10 * time.Second)
		b.reasons(1, 0)
		b.reasons(2, pool.Ejected)
		c = ejecting(4)
		c.Eject = config.Eject{}
		b.apply(c)
		b.reasons(2, 0) // nobody ejects any more
		b.fail(2, 10)
		b.reasons(2, 0)
	})
}

func TestEjectionLength(t *testing.T) {
	// Each number is how long after the end of one ejection, in seconds, the next one begins.
	e := config.Eject{Time: 10 * time.Second, MaxTime: 60 * time.Second}
	for _, c := range []struct {
		name  string
		eject config.Eject
		good  []int
		want  []int
	}{
		{"in a row", e, []int{0, 0, 0, 0, 0, 0}, []int{10, 20, 40, 60, 60, 60}},
		{"forgotten at once", e, []int{0, 10, 10, 10}, []int{10, 10, 10, 10}},
		{"not quite", e, []int{0, 9, 19}, []int{10, 20, 40}},
		{"one doubling", e, []int{0, 0, 0, 40}, []int{10, 20, 40, 40}},
		{"two doublings", e, []int{0, 0, 0, 60}, []int{10, 20, 40, 20}},
		{"all", e, []int{0, 0, 0, 0, 0, 60 + 40 + 20 + 10}, []int{10, 20, 40, 60, 60, 10}},
		{"the longest is remembered once", e, []int{0, 0, 0, 0, 0, 0, 60, 100}, []int{10, 20, 40, 60, 60, 60, 60, 40}},
		{"first above the longest", config.Eject{Time: time.Minute, MaxTime: 30 * time.Second}, []int{0, 0, 0}, []int{30, 30, 30}},
	} {
		var j ejection
		now := time.Unix(1e9, 0)
		for i, good := range c.good {
			now = now.Add(time.Duration(good) * time.Second)
			d := j.next(c.eject, now)
			if want := time.Duration(c.want[i]) * time.Second; d != want {
				t.Errorf("%s: ejection %d = %v, want %v", c.name, i+1, d, want)
			}
			now = now.Add(d)
			j.back = now
		}
	}
	huge := config.Eject{Time: time.Hour, MaxTime: 1<<63 - 1}
	if d := doubled(huge, 1000); d != huge.MaxTime {
		t.Errorf("doubled(1000) = %v, want the longest", d)
	}
}

func TestMaxEjected(t *testing.T) {
	for _, c := range []struct {
		live  int
		share float64
		want  int
	}{{0, 1, 0}, {1, 1, 0}, {2, 0, 1}, {2, 0.5, 1}, {3, 0.5, 1}, {10, 0.3, 3}, {100, 0.29, 29}, {10, 1, 10}} {
		if got := maxEjected(c.live, c.share); got != c.want {
			t.Errorf("maxEjected(%d, %v) = %d, want %d", c.live, c.share, got, c.want)
		}
	}
}

// However reports, reloads and removals meet, counting is the number of runs that are not zero: if it were too small, Success
// would not reset a run, and healthy members would be ejected.
func TestCountingIsExact(t *testing.T) {
	w := newWorld()
	b := &bench{world: w, t: t, set: pool.NewSet(), Monitor: New(slog.New(slog.DiscardHandler), w.dial)}
	c := ejecting(8)
	c.Eject.Errors = 50
	b.apply(c)
	p, all := b.pool(), b.pool().Members()
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 20000 {
				m := all[rand.IntN(len(all))]
				switch rand.IntN(4) {
				case 0:
					b.Failure(p, m, ConnectFailed)
				case 1:
					b.Gateway(p, m)
				default:
					b.Success(p, m)
				}
			}
		})
	}
	for i := range 200 {
		fewer := *c
		fewer.Members = c.Members[:4+i%5]
		b.apply(&fewer)
	}
	work.Wait()
	runs := int64(0)
	for _, s := range *b.states.Load() {
		if s.run.Load() != 0 {
			runs++
		}
	}
	if n := b.counting.Load(); n != runs {
		t.Errorf("counting = %d, want %d", n, runs)
	}
}

func BenchmarkSuccess(b *testing.B) {
	for _, c := range []struct {
		name  string
		count int
	}{{"quiet", 0}, {"one-member-fails", 1}} {
		b.Run(c.name, func(b *testing.B) {
			m := New(slog.New(slog.DiscardHandler), nil)
			cfg := ejecting(100)
			set, err := pool.NewSet().Next(&config.Config{Pools: []*config.Pool{cfg}}, pool.Options{
				Policy: func(config.Policy) (pool.Policy, error) { return first{}, nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			m.Apply(set)
			p := set.Pool("web")
			all := p.Members()
			for range c.count {
				m.Failure(p, all[1], TimedOut)
			}
			b.ReportAllocs()
			for b.Loop() {
				m.Success(p, all[0])
			}
		})
	}
}
