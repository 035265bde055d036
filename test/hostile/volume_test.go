package hostile

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// Ten thousand clients that have asked once and stay cost little, nobody else notices them, and all of them are served when
// they ask again.
func TestIdleClients(t *testing.T) {
	t.Parallel()
	n := harness.Count(1000, 10_000, 10_000)
	var files syscall.Rlimit // skein raises its own; Go has raised ours
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if room := int(files.Cur) - 1000; n > room {
		t.Logf("%d clients instead of %d: this process may have %d files open", room, n, files.Cur)
		n = room
	}
	s := start(t, hello(t), "", "")
	s.fine(t)
	before := s.Memory()
	clients := make([]net.Conn, n)
	each(t, n, func(i int) error {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return err
		}
		clients[i] = c
		return askOnce(c)
	})
	defer func() {
		for _, c := range clients {
			if t, ok := c.(*net.TCPConn); ok {
				t.SetLinger(0) // ten thousand sockets in TIME_WAIT would be no good neighbours
				t.Close()
			}
		}
	}()
	harness.Eventually(t, harness.Patience, "all are connected", func() bool {
		return s.Metric("skein_http_connections") >= float64(n)
	})
	bound := 40 << 10
	if harness.Raced() {
		bound = 100 << 10
	}
	cost := int((s.Memory() - before) / int64(n))
	t.Logf("%d idle clients cost %d bytes each", n, cost)
	if cost > bound {
		t.Errorf("an idle client costs %d bytes, want at most %d", cost, bound)
	}
	began := time.Now()
	for range 50 {
		s.fine(t)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("50 requests of others took %v", took)
	}
	each(t, n, func(i int) error { return askOnce(clients[i]) })
}

// askOnce sends a request and reads its answer.
func askOnce(c net.Conn) error {
	c.SetDeadline(time.Now().Add(harness.Patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return err
	}
	var got []byte
	b := make([]byte, 1000)
	for !strings.HasSuffix(string(got), "\r\n\r\nhello") {
		k, err := c.Read(b)
		if err != nil {
			return fmt.Errorf("got %q: %w", got, err)
		}
		got = append(got, b[:k]...)
	}
	return nil
}

// each calls f for 0 to n-1, some at a time, and fails the test with the first error.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, 16)
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					failed <- fmt.Errorf("%d of %d: %w", i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

// endless is a reader of n bytes that costs nothing.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	k := int(min(e.n, int64(len(p))))
	e.n -= int64(k)
	return k, nil
}

// A gibibyte each way, by length and in chunks, goes through bounded memory.
func TestGibibyte(t *testing.T) {
	t.Parallel()
	size := int64(harness.Count(32<<20, 1<<30, 4<<30)) // of each of the four
	if harness.Raced() {
		size /= 8 // every byte costs the test's own net/http eightfold
	}
	for _, path := range []struct {
		name string
		opts []harness.Option
	}{{"fast", nil}, {"plain", []harness.Option{harness.Plain()}}} {
		t.Run(path.name, func(t *testing.T) {
			var received atomic.Int64
			back := hello(t)
			sink := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				received.Add(n)
			}))
			s := start(t, back, "", "route \"/sink\" {\n pool = pool.sink\n }\n}\npool \"sink\" {\n servers = [\""+sink+"\"]", path.opts...)
			s.fine(t)
			before, most := s.Memory(), int64(0)
			done := make(chan struct{})
			var wg sync.WaitGroup
			for _, kind := range kinds {
				wg.Go(func() {
					c := harness.Raw(t, s.addr)
					c.Send("GET " + fmt.Sprintf(kind, size) + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
					if n, err := io.Copy(io.Discard, c.Reader(3*time.Minute)); n < size || err != nil {
						t.Errorf("%s: got %d bytes (%v)", kind, n, err)
					}
				})
			}
			for _, length := range []int64{size, -1} {
				wg.Go(func() {
					req, _ := http.NewRequest(http.MethodPost, "http://"+s.addr+"/sink", &endless{size})
					req.ContentLength = length
					tr := &http.Transport{DisableKeepAlives: true}
					resp, err := tr.RoundTrip(req)
					if err != nil || resp.StatusCode != 200 {
						t.Errorf("POST: %+v, %v", resp, err)
						return
					}
					resp.Body.Close()
				})
			}
			go func() { wg.Wait(); close(done) }()
			harness.Eventually(t, 4*time.Minute, "all has gone through", func() bool {
				most = max(most, s.Memory()-before)
				select {
				case <-done:
					return true
				default:
					return false
				}
			})
			if received.Load() != 2*size {
				t.Errorf("the origin received %d bytes, want %d", received.Load(), 2*size)
			}
			if most > 64<<20 {
				t.Errorf("memory grew by %d bytes", most)
			}
			s.fine(t)
		})
	}
}

// Clients that vanish in the middle of their bodies leave no trace: the origin sees that the request broke off, and the only
// slot of the member is free for the next.
func TestVanishInBody(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		origin := harness.Origin(t, func(p *harness.Peer) {
			for r := p.Next(); r != nil; r = p.Next() {
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
			}
		})
		s := start(t, origin.Addr, "max_conns = 1", "", opts...)
		n := harness.Count(5, 20, 1000)
		for i := range n {
			c := harness.Raw(t, s.addr)
			c.Send("POST /gone HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			c.Taken()
			if i%2 == 0 {
				c.Reset()
			} else {
				c.Close()
			}
			s.fine(t)
		}
		s.endedBy(t, "client_gone", float64(n))
		s.free(t)
		for _, r := range origin.Requests() {
			if r.URL.Path == "/gone" {
				t.Fatal("the origin took a broken request for a whole one")
			}
		}
	})
}

// A full disk costs lines of the access log, which are counted, and nothing else.
func TestFullDisk(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		addr := harness.FreeAddr(t)
		file := strings.Replace(config(addr, hello(t), "", ""), "access = \"json\"", "access_file = \"/dev/full\"", 1)
		s := &site{harness.Start(t, file, opts...), addr}
		const n = 300
		c := harness.Raw(t, addr)
		for range n {
			if a := c.Get("/"); a.Status != 200 {
				t.Fatalf("answer = %d", a.Status)
			}
		}
		harness.Eventually(t, harness.Patience, "the lost lines are counted", func() bool {
			return s.Metric("skein_http_log_dropped_total") >= n
		})
		if lines := strings.Count(s.Log(), "/dev/full"); lines == 0 || lines > 3 {
			t.Errorf("the log tells %d times of the full disk, want once", lines)
		}
	})
}
