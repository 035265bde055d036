package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/config"
	"skein/health"
	"skein/internal/listen"
	"skein/policy"
	"skein/pool"
)

// reports counts what members are blamed for.
type reports struct {
	success, failure, gateway atomic.Int64

	mistakes atomic.Int64 // so many reports of success panic
}

func (r *reports) Success(*pool.Pool, *pool.Member) {
	if r.mistakes.Add(-1) >= 0 {
		panic("a mistake")
	}
	r.success.Add(1)
}
func (r *reports) Failure(*pool.Pool, *pool.Member, health.Kind) { r.failure.Add(1) }
func (r *reports) Gateway(*pool.Pool, *pool.Member)              { r.gateway.Add(1) }

// service is a Web that runs in a test.
type service struct {
	*Web
	t       testing.TB
	set     *pool.Set
	reports reports
	log     bytes.Buffer // read it after the end only
	stop    context.CancelFunc
	ended   chan struct{}
}

// serveFile runs a Web with a configuration until the test ends.
func serveFile(t testing.TB, plain bool, hcl string) *service {
	t.Helper()
	s := &service{t: t, set: pool.NewSet(), ended: make(chan struct{})}
	s.Web = New(slog.New(slog.NewTextHandler(&s.log, nil)), Options{Sockets: listen.NewSet(), Health: &s.reports, Stdout: io.Discard, Plain: plain})
	if err := s.reload(hcl); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.ended)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { stop(); <-s.ended })
	return s
}

// reload does what the engine does.
func (s *service) reload(hcl string) error {
	return s.reloadWhole(hcl + "\nlog {\n access = \"off\"\n}\n")
}

// reloadWhole is reload of a file that says itself what is logged.
func (s *service) reloadWhole(hcl string) error {
	c, err := config.Parse("t.hcl", []byte(hcl), config.Options{Policies: []string{"round_robin", "hash", "ip_hash"}})
	if err != nil {
		return err
	}
	set, err := s.set.Next(c, pool.Options{Policy: policy.New, Now: time.Now()})
	if err != nil {
		return err
	}
	commit, _, err := s.Prepare(context.Background(), c, set)
	if err != nil {
		return err
	}
	set.Commit(time.Now())
	commit()
	s.set = set
	return nil
}

// addr is where the listener of that configured address really is.
func (s *service) addr(configured string) string {
	for _, l := range s.Status().Listeners {
		if l.Address == configured {
			return l.Bound
		}
	}
	s.t.Fatalf("nobody listens on %s", configured)
	return ""
}

// balanced waits until nothing is held any more: what a request takes it gives back.
func (s *service) balanced() {
	s.t.Helper()
	var last string
	for range 400 {
		var bad []string
		for _, p := range s.set.Pools() {
			for _, m := range p.Members() {
				if n := m.Active(); n != 0 {
					bad = append(bad, fmt.Sprintf("%s: %d active", m.ID, n))
				}
			}
		}
		if n := s.stats.InFlight.Load(); n != 0 {
			bad = append(bad, fmt.Sprintf("%d in flight", n))
		}
		if last = strings.Join(bad, "; "); last == "" {
			return
		}
		pause()
	}
	s.t.Errorf("not given back: %s", last)
}

// pause lets sockets and goroutines make progress: real ones cannot be waited for otherwise.
func pause() { time.Sleep(5 * time.Millisecond) }

// origin is a server of the site: it calls f for each connection.
func origin(t testing.TB, f func(c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting) // only then all can be waited for
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			all.Go(func() {
				f(c, bufio.NewReader(c))
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-accepting
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// head reads one request's head.
func head(r *bufio.Reader) (string, textproto.MIMEHeader, error) {
	tp := textproto.NewReader(r)
	line, err := tp.ReadLine()
	if err != nil {
		return "", nil, err
	}
	h, err := tp.ReadMIMEHeader()
	return line, h, err
}

// always answers each request with the same bytes and keeps the connection.
func always(answer string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		b := []byte(strings.ReplaceAll(answer, "\n", "\r\n"))
		var end [4]byte
		for {
			if n, err := readHead(r, end[:]); err != nil || n == 0 {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

// readHead reads to the empty line without allocating.
func readHead(r *bufio.Reader, _ []byte) (n int, err error) {
	for state := 0; state < 4; n++ {
		b, err := r.ReadByte()
		if err != nil {
			return n, err
		}
		if b == "\r\n\r\n"[state] {
			state++
		} else {
			state = 0
		}
	}
	return n, nil
}

const hello = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 5\n\nhello"

// dial connects to s.
func (s *service) dial(configured string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr(configured))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

// ask sends a request and reads its answer; the body is read.
func ask(t testing.TB, c net.Conn, r *bufio.Reader, method, raw string) (*http.Response, string, error) {
	t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(raw, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a, string(b), err
}

// both runs a test on the fast and on the plain path.
func both(t *testing.T, f func(t *testing.T, plain bool)) {
	for name, plain := range map[string]bool{"fast": false, "plain": true} {
		t.Run(name, func(t *testing.T) { f(t, plain) })
	}
}

func site1(addr, more string) string {
	return fmt.Sprintf("http \"site\" {\n listen = \"127.0.0.1:0\"\n servers = [%q]\n%s\n}\n", addr, more)
}

const here = "127.0.0.1:0"

func TestExchange(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, always(hello)), ""))
		c, r := s.dial(here)
		for range 3 {
			a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n")
			if err != nil || a.StatusCode != 200 || body != "hello" {
				t.Fatalf("answer = %v, %q, %v", a, body, err)
			}
		}
		s.balanced()
		if n := s.set.Pools()[0].Members()[0].Stats.Connects.Load(); n != 1 {
			t.Errorf("%d connections to the member, want one for all", n)
		}
	})
}

// A client that leaves while the member works must not make anybody think ill of the member.
func TestLeavingClientIsNotTheMembersFault(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	addr := origin(t, func(c net.Conn, r *bufio.Reader) {
		if _, _, err := head(r); err != nil {
			return
		}
		close(arrived)
		_, _ = r.ReadByte() // until skein gives up
		close(gone)
	})
	s := serveFile(t, false, site1(addr, ""))
	c, _ := s.dial(here)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-arrived
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
	<-gone
	s.balanced()
	if n := s.reports.failure.Load(); n != 0 {
		t.Errorf("%d failures reported", n)
	}
	if n := s.stats.Causes[causeClientGone].Load(); n != 1 {
		t.Errorf("client_gone = %d, want 1", n)
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, always(hello)), ""))
		s.reports.mistakes.Store(1)
		before := openFiles(t)
		c, r := s.dial(here)
		_, _, _ = ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n")
		if _, err := r.ReadByte(); err == nil {
			t.Error("the connection stayed open")
		}
		c.Close()
		s.balanced()
		if n := s.stats.Causes[causePanic].Load(); n != 1 {
			t.Errorf("panic = %d, want 1", n)
		}
		for range 200 {
			if openFiles(t) <= before {
				break
			}
			pause()
		}
		c, r = s.dial(here)
		if a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nConnection: close\n\n"); err != nil || a.StatusCode != 200 || body != "hello" {
			t.Fatalf("answer after it = %v, %q, %v", a, body, err)
		}
		s.stop()
		<-s.ended
		if !strings.Contains(s.log.String(), "a mistake") || !strings.Contains(s.log.String(), "relay.go") {
			t.Errorf("the log has no stack: %s", s.log.String())
		}
	})
}

func openFiles(t testing.TB) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	return len(d)
}

func TestPrepareIsAllOrNothing(t *testing.T) {
	addr := origin(t, always(hello))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := serveFile(t, false, site1(addr, ""))
	c, r := s.dial(here)
	ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n")
	before := openFiles(t)
	err = s.reload(fmt.Sprintf("http \"site\" {\n listen = [\"127.0.0.1:0\", \"127.0.0.2:0\", %q]\n servers = [%q]\n}\n", taken.Addr(), addr))
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "t.hcl:1") {
		t.Errorf("reload = %v", err)
	}
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors after a reload that failed, %d before", n, before)
	}
	if a, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 200 {
		t.Errorf("answer after it = %v, %v", a, err)
	}
}

// A reload that removes a listener ends the connections that wait on it, also those that have never had to wait before.
func TestRetiredPortLosesItsIdleConnections(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		addr := origin(t, always(hello))
		s := serveFile(t, plain, fmt.Sprintf("http \"site\" {\n listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n servers = [%q]\n}\n", addr))
		stays, rs := s.dial(here)
		goes, rg := s.dial("127.0.0.2:0")
		for range 2 {
			ask(t, stays, rs, "GET", "GET / HTTP/1.1\nHost: h\n\n")
			ask(t, goes, rg, "GET", "GET / HTTP/1.1\nHost: h\n\n")
		}
		if err := s.reload(site1(addr, "")); err != nil {
			t.Fatal(err)
		}
		if _, err := rg.ReadByte(); err != io.EOF {
			t.Errorf("connection of the removed listener: %v", err)
		}
		if a, _, err := ask(t, stays, rs, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil || a.StatusCode != 200 || a.Close {
			t.Errorf("connection of the listener that stays: %v, %v", a, err)
		}
	})
}

// A stop takes no longer than its ceiling, whatever members and clients do.
func TestStopIsBounded(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		arrived := make(chan struct{}, 9)
		silent := func(_ net.Conn, r *bufio.Reader) {
			if _, _, err := head(r); err == nil {
				arrived <- struct{}{}
				_, _ = io.Copy(io.Discard, r)
			}
		}
		s := serveFile(t, plain, fmt.Sprintf(`
pool "p" {
  servers   = [%q, %q]
  max_conns = 1
  queue_timeout = "1m"
}
http "site" {
  listen = "127.0.0.1:0"
  pool = pool.p
  timeouts {
    drain = "100ms"
  }
}`, origin(t, silent), origin(t, silent)))
		for range 3 { // one more than there is room for: it waits in the queue
			c, _ := s.dial(here)
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		}
		<-arrived
		<-arrived
		for s.set.Pools()[0].Queued() == 0 {
			pause()
		}
		began := time.Now()
		s.stop()
		<-s.ended
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if n := s.stats.Causes[causeShutdown].Load(); n != 3 {
			t.Errorf("shutdown = %d, want 3", n)
		}
		if n := s.reports.failure.Load(); n != 0 {
			t.Errorf("members were blamed %d times", n)
		}
		s.balanced()
	})
}

func TestLimitsStayBalanced(t *testing.T) {
	s := serveFile(t, false, site1(origin(t, always(hello)), " limits {\n conns = 3\n conns_per_client = 2\n }"))
	for range 5 {
		var open []net.Conn
		for range 2 {
			c, r := s.dial(here)
			if _, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
		c, r := s.dial(here)
		if _, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\n\n"); err == nil {
			t.Error("a third connection of one client was served")
		}
		for _, c := range append(open, c) {
			c.Close()
		}
		for s.stats.Connections.Load() != 0 {
			pause()
		}
	}
	for _, p := range s.ports {
		p.mu.Lock()
		if n := p.open.Load(); n != 0 || len(p.clients) != 0 {
			t.Errorf("open = %d, clients = %v", n, p.clients)
		}
		p.mu.Unlock()
	}
}

// keepAlive returns a function that makes one exchange over a connection that is there already.
func keepAlive(t testing.TB, s *service) func() {
	c, _ := s.dial(here)
	request := []byte("GET /catalogue/item/17?page=3 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\nAccept: text/html\r\nCookie: session=0123456789abcdef\r\n\r\n")
	buf := make([]byte, 4096)
	return func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		n := 0
		for !bytes.HasSuffix(buf[:n], []byte("hello")) {
			k, err := c.Read(buf[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
}

func TestKeepAliveExchangeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what pools hold")
	}
	s := serveFile(t, false, site1(origin(t, always(hello)), ""))
	once := keepAlive(t, s)
	for range 100 {
		once()
	}
	if n := testing.AllocsPerRun(2000, once); n >= 1 {
		t.Errorf("%v allocations per exchange", n)
	}
}

func BenchmarkExchange(b *testing.B) {
	s := serveFile(b, false, site1(origin(b, always(hello)), ""))
	once := keepAlive(b, s)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
