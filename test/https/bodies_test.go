package https

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/test/harness"
)

// Requests in records of any size, several in one and one in several, get their answers in order; idle in between or not.
func TestRequestsInOddRecords(t *testing.T) {
	t.Parallel()
	for _, path := range []struct {
		name string
		opts []harness.Option
	}{{"fast", nil}, {"plain", []harness.Option{harness.Plain()}}} {
		t.Run(path.name, func(t *testing.T) {
			t.Parallel()
			origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s %d", r.URL.Path, len(b))
			}))
			s := start(t, origin, "", "", path.opts...)
			var all strings.Builder
			var want []string
			for i := range 60 {
				switch i % 4 {
				case 0:
					fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
					want = append(want, fmt.Sprintf("/%d 0", i))
				case 1:
					fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", i, i*50, strings.Repeat("x", i*50))
					want = append(want, fmt.Sprintf("/%d %d", i, i*50))
				case 2:
					fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", i, i*50, strings.Repeat("x", i*50))
					want = append(want, fmt.Sprintf("/%d %d", i, i*50))
				default:
					fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: h\r\nX-Long: %s\r\n\r\n", i, strings.Repeat("y", i*100))
					want = append(want, fmt.Sprintf("/%d 0", i))
				}
			}
			for _, size := range []int{1, 2, 7, 100, 1000, 1 << 14, 1 << 20} {
				for _, version := range versions() {
					config := s.client()
					config.MaxVersion, config.DynamicRecordSizingDisabled = version, size > 1000
					v := dial(t, s.addr, config)
					text := all.String()
					if size < 7 {
						text = text[:strings.Index(text, "GET /8 ")] // a system call for each byte is slow
					}
					sent := make(chan error, 1)
					go func() {
						for p := text; p != ""; {
							n := min(size, len(p))
							if _, err := io.WriteString(v.Conn, p[:n]); err != nil {
								sent <- err
								return
							}
							p = p[n:]
						}
						sent <- nil
					}()
					for i, w := range want {
						if size < 7 && i == 8 {
							break
						}
						if a, err := v.try("GET"); err != nil || a.body != w {
							t.Fatalf("records of %d, answer %d = %+v, %v; want %q", size, i, a, err, w)
						}
					}
					if err := <-sent; err != nil {
						t.Error(err)
					}
					v.Close()
				}
			}
			s.Stop()
		})
	}
}

// Large bodies both ways at once, over HTTP/1.1 and HTTP/2, arrive whole and in bounded memory.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	size := int64(harness.Count(4<<20, 64<<20, 512<<20))
	if harness.Raced() {
		size /= 8
	}
	s := start(t, hello(t), "", "")
	s.fine()
	memory, most := s.Memory(), int64(0)
	var wg sync.WaitGroup
	for _, protocol := range []string{"http/1.1", "h2"} {
		config := s.client()
		config.NextProtos = []string{protocol}
		tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "h2", DialContext: to(s.addr)}
		t.Cleanup(tr.CloseIdleConnections)
		for _, target := range []string{"/bytes?n=%d", "/bytes?n=%d&chunked=1"} {
			wg.Go(func() {
				a, err := (&http.Client{Transport: tr}).Get("https://" + host + fmt.Sprintf(target, size))
				if err != nil {
					t.Errorf("%s: %v", protocol, err)
					return
				}
				defer a.Body.Close()
				if n, err := io.Copy(io.Discard, a.Body); n != size || err != nil {
					t.Errorf("%s %s: got %d bytes, %v", protocol, target, n, err)
				}
			})
		}
		for _, length := range []int64{size, -1} {
			wg.Go(func() {
				r, _ := http.NewRequest("POST", "https://"+host+"/", io.LimitReader(zeros{}, size))
				r.ContentLength = length
				a, err := tr.RoundTrip(r)
				if err != nil {
					t.Errorf("%s: %v", protocol, err)
					return
				}
				defer a.Body.Close()
				if b, _ := io.ReadAll(a.Body); string(b) != fmt.Sprint(size) {
					t.Errorf("%s: the origin got %q of %d bytes", protocol, b, size)
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	harness.Eventually(t, 3*time.Minute, "all has gone through", func() bool {
		most = max(most, s.Memory()-memory)
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	t.Logf("eight transfers of %d MiB: memory grew by %d KiB", size>>20, most>>10)
	if most > 64<<20 && !harness.Raced() {
		t.Errorf("memory grew by %d bytes", most)
	}
	s.Stop()
}

// zeros is without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func to(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// Who does not read what it asked for is cut off over TLS as it is without; so is who reads too slowly, and not who is fast
// enough.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	for _, path := range []struct {
		name string
		opts []harness.Option
	}{{"fast", nil}, {"plain", []harness.Option{harness.Plain()}}} {
		t.Run(path.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, hello(t), "timeouts {\n body = \"2s\"\n min_rate = \"30KB\"\n}", "", path.opts...)
			s.fine()
			before := s.Usage()
			var stopped []*visitor
			for _, target := range []string{"/bytes?n=100000000", "/bytes?n=100000000&chunked=1"} {
				v := dialSmall(t, s.addr, s.client())
				v.send(get(host, target))
				stopped = append(stopped, v)
			}
			fast := dialSmall(t, s.addr, s.client())
			fast.send(get(host, "/bytes?n=3000000"))
			slow := dialSmall(t, s.addr, s.client())
			slow.send(get(host, "/bytes?n=100000000"))
			var wg sync.WaitGroup
			wg.Go(func() {
				if n := slowly(fast, 600_000, 3_000_000); n < 3_000_000 {
					t.Errorf("one who is fast enough was cut off after %d bytes", n)
				}
				fast.tcp.Close()
			})
			wg.Go(func() { slowly(slow, 3000, 60_000) }) // twenty seconds, if it were let
			cut := func() float64 {
				return s.Metric("skein_http_ended_total", `cause="client_slow"`) + s.Metric("skein_http_ended_total", `cause="client_timeout"`)
			}
			if !harness.Soon(harness.Patience, func() bool { return cut() >= 3 }) {
				t.Errorf("%v requests ended for their slow clients, want 3", cut())
			}
			slow.tcp.Close()
			wg.Wait()
			for _, v := range stopped {
				v.tcp.Close()
			}
			s.Settles(before)
			s.fine()
			s.Stop()
		})
	}
}

// dialSmall is dial with a small window from the first byte.
func dialSmall(t testing.TB, addr string, config *tls.Config) *visitor {
	t.Helper()
	v, err := shake(harness.RawSmall(t, addr, 4096).TCPConn, config)
	if err != nil {
		t.Fatal(err)
	}
	v.t = t
	return v
}

// slowly reads so many bytes a second, up to most, and returns how many came.
func slowly(v *visitor, rate, most int) (n int) {
	_ = v.SetDeadline(time.Now().Add(2 * time.Minute))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	b := make([]byte, rate/50)
	for n < most {
		<-tick.C
		k, err := io.ReadFull(v.r, b)
		if n += k; err != nil {
			return n
		}
	}
	return n
}

// An upgrade over TLS: bytes both ways, in any order and size, each side's end, and the origin's death.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	origin := harness.Origin(t, func(p *harness.Peer) {
		r := p.Head()
		if r == nil {
			return
		}
		p.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome")
		if r.URL.Path == "/die" {
			p.Reset()
			return
		}
		_, _ = io.Copy(p.TCPConn, p.TCPConn)
	})
	s := start(t, origin.Addr, "", "")
	before := s.Usage()
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			config := s.client()
			config.MaxVersion = version
			upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
			v := dial(t, s.addr, config)
			v.send(get(host, "/chat", upgrade...))
			if a := v.answer("GET"); a.StatusCode != 101 {
				t.Fatalf("status %d", a.StatusCode)
			}
			expect(t, v.r, "welcome")
			for _, size := range []int{1, 100, 20_000, 1 << 20} {
				text := strings.Repeat("z", size)
				go func() { _, _ = io.WriteString(v.Conn, text) }()
				expect(t, v.r, text)
			}
			if err := v.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			v.closed()
			v.tcp.Close()

			v = dial(t, s.addr, config)
			v.send(get(host, "/die", upgrade...))
			_ = v.answer("GET")
			if _, err := io.ReadAll(v.r); timedOut(err) {
				t.Error("the tunnel outlives its origin")
			}
			v.tcp.Close()
		})
	}
	s.Settles(before)
	s.Stop()
}

func timedOut(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func expect(t testing.TB, r *bufio.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("got %d bytes, %v; want %d", n, err, len(want))
	}
}

// The death of the only origin by kill -9 cuts what runs, and is a 502 for the next; a new one serves again.
func TestOriginDies(t *testing.T) {
	t.Parallel()
	php := harness.PHP(t, `<?php if ($_SERVER["REQUEST_URI"] == "/slow") { header("Content-Length: 100000"); echo str_repeat("x", 50000); flush(); sleep(60); } echo "hello";`)
	s := start(t, php.Addr, "", "")
	s.fine()
	idle := dial(t, s.addr, s.client())
	idle.get("/")
	v := dial(t, s.addr, s.client())
	v.send(get(host, "/slow"))
	if _, err := v.r.Peek(10); err != nil {
		t.Fatal(err)
	}
	php.Kill()
	if a := v.answer("GET"); a.err == nil {
		t.Errorf("a cut answer looks whole: %d bytes", len(a.body))
	}
	if a := idle.get("/"); a.StatusCode != 502 {
		t.Errorf("without an origin: %d, want 502", a.StatusCode)
	}
	php.Start()
	harness.Eventually(t, harness.Patience, "the new origin serves, over the old connection", func() bool { return idle.get("/").StatusCode == 200 })
	idle.Close()
	s.fine()
	s.Stop()
}
