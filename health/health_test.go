package health

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/pool"
)

// world is a network in memory, and the time since it began.
type world struct {
	began time.Time

	mu    sync.Mutex
	hosts map[string]func(net.Conn)
	dials map[string][]time.Duration
}

func newWorld() *world {
	return &world{began: time.Now(), hosts: map[string]func(net.Conn){}, dials: map[string][]time.Duration{}}
}

// serve puts a host at address; nil takes it away.
func (w *world) serve(address string, h func(net.Conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[address] = h
}

func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials[address] = append(w.dials[address], time.Since(w.began))
	h := w.hosts[address]
	if h == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		h(server)
	}()
	return client, nil
}

// dialed returns the times of the checks of address, and forgets them.
func (w *world) dialed(address string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fmt.Sprint(w.dials[address])
	delete(w.dials, address)
	return s
}

// answer is a host that answers every request with a.
func answer(a string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, a)
		}
	}
}

func ok() func(net.Conn) { return answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }

// hang is a host that never says anything.
func hang(c net.Conn) { io.Copy(io.Discard, c) }

// first is a policy that takes the first usable member.
type first struct{}

func (first) Build(usable []*pool.Member) pool.Picker { return picker(usable) }

type picker []*pool.Member

func (p picker) Pick(_ pool.Key, except pool.Mask) *pool.Member {
	for _, m := range p {
		if !except.Has(m) {
			return m
		}
	}
	return nil
}

// members describes n members of a pool: server s1 at 10.0.0.1:80 and so on.
func members(n int) []config.Member {
	ms := make([]config.Member, n)
	for i := range ms {
		ms[i] = config.Member{
			Server: &config.Server{Name: fmt.Sprintf("s%d", i+1), Host: fmt.Sprintf("10.0.%d.%d", (i+1)/256, (i+1)%256)},
			Port:   80, Weight: 1,
		}
	}
	return ms
}

func httpCheck() *config.Check {
	return &config.Check{
		Kind: "http", Path: "/up", Every: 2 * time.Second, FastEvery: 500 * time.Millisecond, Timeout: time.Second,
		Rise: 2, Fall: 3, StatusFrom: []config.StatusRange{{From: 200, To: 399}},
	}
}

func onePool(n int) *config.Pool {
	return &config.Pool{Name: "web", Members: members(n), Check: httpCheck()}
}

// bench is a Monitor with its surroundings.
type bench struct {
	*world
	*Monitor
	t    *testing.T
	set  *pool.Set
	logs bytes.Buffer // read it only after a synctest.Wait
	stop func()       // ends Run and waits for it
}

// start runs a Monitor over pools in a bubble. Without a call of stop it runs until the test ends.
func start(t *testing.T, w *world, pools ...*config.Pool) *bench {
	b := &bench{world: w, t: t, set: pool.NewSet()}
	log := slog.New(slog.NewTextHandler(&b.logs, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	b.Monitor = New(log, w.dial)
	b.apply(pools...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	t.Cleanup(b.stop)
	synctest.Wait()
	return b
}

// apply makes pools the live configuration, as the engine does.
func (b *bench) apply(pools ...*config.Pool) {
	b.t.Helper()
	next, err := b.set.Next(&config.Config{Pools: pools}, pool.Options{
		Policy: func(config.Policy) (pool.Policy, error) { return first{}, nil }, Now: time.Now(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	next.Commit(time.Now())
	b.set = next
	b.Apply(next)
}

// pool returns the pool web, and member its member number i from 1.
func (b *bench) pool() *pool.Pool          { return b.set.Pool("web") }
func (b *bench) member(i int) *pool.Member { return b.pool().Members()[i-1] }

// after lets time pass until d after the beginning of the world.
func (b *bench) after(d time.Duration) {
	time.Sleep(d - time.Since(b.began))
	synctest.Wait()
}

// reasons wants the reasons of member i.
func (b *bench) reasons(i int, want pool.Reason) {
	b.t.Helper()
	if r := b.member(i).Reasons(); r != want {
		b.t.Errorf("after %v: s%d has reasons %q, want %q", time.Since(b.began), i, r, want)
	}
}

// dialedAt wants the times of the checks of the member 10.0.0.n since the last look.
func (b *bench) dialedAt(n int, want string) {
	b.t.Helper()
	if got := b.dialed(fmt.Sprintf("10.0.0.%d:80", n)); got != want {
		b.t.Errorf("s%d was checked at %s, want %s", n, got, want)
	}
}

// logged wants exactly these lines since the last look.
func (b *bench) logged(want ...string) {
	b.t.Helper()
	got := strings.TrimSuffix(b.logs.String(), "\n")
	b.logs.Reset()
	if w := strings.Join(want, "\n"); got != w {
		b.t.Errorf("log:\n%s\nwant:\n%s", got, w)
	}
}

func TestFirstResultDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.serve("10.0.0.1:80", ok())
		b := start(t, w, onePool(2))
		b.reasons(1, 0)
		b.reasons(2, pool.Unhealthy)
		b.logged(`level=WARN msg="member went down" pool=web server=s2 address=10.0.0.2:80 ` +
			`reason="connect: connection refused" after=0s`)
		if st := b.Status(b.member(1)); !st.Checked || !st.Up || !st.Last.OK || st.Last.Text != "status 200" {
			t.Errorf("Status(s1) = %+v, want up after status 200", st)
		}
		if st := b.Status(b.member(2)); st.Up || st.Last.OK || st.Last.Text != "connect: connection refused" {
			t.Errorf("Status(s2) = %+v, want down after a refused connection", st)
		}
	})
}

func TestFallAndRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.serve("10.0.0.1:80", ok())
		b := start(t, w, onePool(1))
		b.after(3 * time.Second)
		b.dialedAt(1, "[0s 2s]")

		w.serve("10.0.0.1:80", answer("HTTP/1.1 500 Oops\r\n\r\n"))
		b.after(4900 * time.Millisecond)
		b.reasons(1, 0)
		if st := b.Status(b.member(1)); st.Turning != 2 || !st.Up {
			t.Errorf("Status(s1) = %+v, want up and turning for 2 results", st)
		}
		b.after(7 * time.Second)
		b.reasons(1, pool.Unhealthy)
		b.dialedAt(1, "[4s 4.5s 5s 7s]") // fast until it is down
		b.logged(`level=WARN msg="member went down" pool=web server=s1 address=10.0.0.1:80 reason="status 500, want 200-399" after=5s`)

		w.serve("10.0.0.1:80", ok())
		b.after(9400 * time.Millisecond)
		b.reasons(1, pool.Unhealthy)
		b.after(12 * time.Second)
		b.reasons(1, 0)
		b.dialedAt(1, "[9s 9.5s 11.5s]")
		b.logged(`level=INFO msg="member came up" pool=web server=s1 address=10.0.0.1:80 reason="status 200" after=4.5s`)
		if n, f := b.member(1).Stats.Checks.Load(), b.member(1).Stats.ChecksFailed.Load(); n != 9 || f != 4 {
			t.Errorf("counted %d checks and %d failed, want 9 and 4", n, f)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.serve("10.0.0.1:80", hang)
		b := start(t, w, onePool(1))
		b.after(900 * time.Millisecond)
		b.reasons(1, 0)
		b.after(time.Second)
		b.reasons(1, pool.Unhealthy)
		if r := b.Status(b.member(1)).Last; r.Duration != time.Second || r.Text != "answer: nothing within 1s" {
			t.Errorf("last result = %+v, want a time-out after 1s", r)
		}
		b.after(5 * time.Second)
		b.dialedAt(1, "[0s 2s 4s]")
	})
}

func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.serve("10.0.0.1:80", ok())
		b := start(t, w, onePool(3))
		b.after(1500 * time.Millisecond)
		old2 := b.member(2)
		b.dialedAt(1, "[0s]")
		b.dialedAt(2, "[0s]")
		b.dialedAt(3, "[0s]")

		// s2 goes, the others are unchanged.
		c := onePool(3)
		c.Members = []config.Member{c.Members[0], c.Members[2]}
		b.apply(c)
		b.after(5 * time.Second)
		b.dialedAt(1, "[2s 4s]")
		b.dialedAt(2, "[]")
		b.dialedAt(3, "[2s 4s]")
		if st := b.Status(old2); st.Checked || !st.Up {
			t.Errorf("Status of a removed member = %+v, want nothing known", st)
		}

		// Other settings: a new schedule, the same verdicts.
		c = onePool(2)
		c.Members = members(3)[:1]
		c.Members = append(c.Members, members(3)[2])
		c.Check.Every = 3 * time.Second
		b.apply(c)
		b.reasons(1, 0)
		b.reasons(2, pool.Unhealthy)
		b.after(9 * time.Second)
		b.dialedAt(1, "[5s 8s]")
		b.dialedAt(3, "[5s 8s]")

		// A member that comes back is a new one: used until its first result.
		b.logs.Reset()
		w.serve("10.0.0.2:80", hang)
		c2 := *c
		c2.Members = members(3)
		b.apply(&c2)
		b.after(9900 * time.Millisecond)
		b.reasons(2, 0)
		b.after(10 * time.Second)
		b.reasons(2, pool.Unhealthy)
		b.dialedAt(2, "[9s]")

		// Without a check nothing is known against anybody.
		b.logs.Reset()
		c3 := c2
		c3.Check = nil
		b.apply(&c3)
		b.reasons(2, 0)
		b.reasons(3, 0)
		b.after(20 * time.Second)
		b.dialedAt(1, "[]")
		b.logged(
			`level=INFO msg="member came up" pool=web server=s2 address=10.0.0.2:80 reason="it is no longer checked" after=0s`,
			`level=INFO msg="member came up" pool=web server=s3 address=10.0.0.3:80 reason="it is no longer checked" after=10s`)
	})
}

// A check that is under way when its member is removed, or its settings change, has no say any more.
func TestApplyDuringCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.serve("10.0.0.1:80", hang)
		w.serve("10.0.0.2:80", hang)
		b := start(t, w, onePool(2))
		gone := b.member(2)
		b.after(500 * time.Millisecond)
		w.serve("10.0.0.1:80", ok())
		c := onePool(1)
		c.Check.Path = "/health"
		b.apply(c)
		b.after(10 * time.Second)
		b.reasons(1, 0)
		b.dialedAt(2, "[0s]")
		b.logged("")
		if n := gone.Stats.Checks.Load(); n != 0 || gone.Reasons() != 0 {
			t.Errorf("a removed member had %d checks and %q, want none", n, gone.Reasons())
		}
	})
}

func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.serve("10.0.0.1:80", hang)
		b := start(t, w, onePool(3))
		b.after(300 * time.Millisecond)
		b.stop() // the bubble fails the test if anything goes on
		if d := time.Since(b.began); d != 300*time.Millisecond {
			t.Errorf("Run ended after %v, want at once", d)
		}
		b.dialed("10.0.0.2:80")
		b.apply(onePool(4))
		b.after(time.Minute)
		b.dialedAt(2, "[]")
		b.dialedAt(4, "[]")
	})
}

func TestThousandChecksAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		big, small := onePool(1000), onePool(2)
		small.Name = "small"
		small.Check.Port = 8080
		b := start(t, w, big, small)
		b.after(1999 * time.Millisecond)
		in := map[time.Duration]int{}
		total := 0
		w.mu.Lock()
		defer w.mu.Unlock()
		for address, at := range w.dials {
			total += len(at)
			if strings.HasSuffix(address, ":8080") && at[0] != 0 {
				t.Errorf("%s, of the small pool, was checked first after %v, want 0s", address, at[0])
			}
			for _, d := range at {
				in[d.Truncate(time.Millisecond)]++
			}
		}
		if total != 1002 {
			t.Errorf("%d checks, want 1002", total)
		}
		for at, n := range in {
			if n > burst+4 {
				t.Errorf("%d checks began in the millisecond %v, want at most %d", n, at, burst+4)
			}
		}
	})
}

func TestSlowStartGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := onePool(1)
		c.SlowStart = 10 * time.Second
		b := start(t, w, c)
		w.serve("10.0.0.1:80", ok())
		weight := func() int { return b.pool().States()[0].Effective }
		for _, want := range []struct {
			at     time.Duration
			weight int
		}{
			{2600 * time.Millisecond, 1}, // it came up at 2.5 s
			{5100 * time.Millisecond, 25},
			{10100 * time.Millisecond, 75},
			{13100 * time.Millisecond, 100},
		} {
			b.after(want.at)
			if got := weight(); got != want.weight {
				t.Errorf("effective weight after %v = %d, want %d", want.at, got, want.weight)
			}
		}
	})
}
