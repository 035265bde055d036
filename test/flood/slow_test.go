package flood

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"skein/test/harness"
)

// TestSlow2 are clients that begin and do not go on: nothing of them may stay longer than the time-outs say.
func TestSlow2(t *testing.T) {
	t.Parallel()
	s := start(t)
	v := s.visitor2()
	for _, test := range []struct {
		name  string
		event string
		times int
		bounds
		do func(t *testing.T)
	}{
		{"two hundred that greet and say nothing", "cut_header", 200, bounds{memory: 64}, func(t *testing.T) {
			s.crowd(t, 200, s.plain, func(c net.Conn) {
				_, _ = io.WriteString(c, http2.ClientPreface)
				_, _ = io.Copy(io.Discard, c)
			})
		}},
		{"two hundred that greet one byte at a time", "cut_header", 200, bounds{memory: 64}, func(t *testing.T) {
			s.crowd(t, 200, s.plain, func(c net.Conn) {
				tick := time.NewTicker(200 * time.Millisecond)
				defer tick.Stop()
				for _, b := range []byte(http2.ClientPreface) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					<-tick.C
				}
				t.Error("the whole preface was waited for")
			})
		}},
		{"bodies that do not come on all streams", "", 0, bounds{memory: 96, requests: 128}, func(t *testing.T) {
			a := s.attack2(t, false)
			a.repeat(128, func(i int) error {
				if err := a.post(i, "/count", "content-length: 1000"); err != nil {
					return err
				}
				return a.fr.WriteData(id(i), false, []byte("a few bytes"))
			})
			for range 128 { // each is told so
				select {
				case <-a.heads:
				case <-time.After(harness.Patience):
					t.Fatal("a body is waited for that does not come")
				}
			}
			a.c.Close()
		}},
		{"an answer that is read a little a second", "cut_queue", 1, bounds{memory: 64, requests: 100}, func(t *testing.T) {
			events := s.event("h2", "cut_queue")
			a := s.attack2(t, true, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			_ = a.c.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
			_ = a.fr.WriteWindowUpdate(0, 1<<30)
			a.repeat(100, func(i int) error { return a.get(i, "/bytes?n=100000000") })
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			buf := make([]byte, 1)
			harness.Eventually(t, harness.Patience, "the connection is cut", func() bool {
				<-tick.C
				_, _ = a.c.(*tls.Conn).NetConn().Read(buf) // below TLS, or a whole record would be read
				return s.event("h2", "cut_queue") > events
			})
		}},
		{"two thousand handshakes over TLS that are cut after the first byte", "", 0, bounds{memory: 64}, func(t *testing.T) {
			s.churn(t, func(c net.Conn) { _, _ = c.Write([]byte{0x16}) })
		}},
		{"two thousand connections over TLS that ask for nothing", "connections", 2000, bounds{memory: 128}, func(t *testing.T) {
			s.churn(t, func(c net.Conn) {
				tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				if err := tc.Handshake(); err == nil {
					_, _ = io.WriteString(tc, http2.ClientPreface)
				}
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			events := 0
			if test.event != "" {
				events = s.event("h2", test.event)
			}
			s.withstand(t, v, test.bounds, test.do)
			if test.event == "" {
				return
			}
			if n := s.event("h2", test.event) - events; n != test.times {
				t.Errorf("%s grew by %d, want %d", test.event, n, test.times)
			}
		})
	}
	s.Stop()
}

// crowd connects n times at once and waits until all of them have been cut.
func (s *site) crowd(t *testing.T, n int, addr string, do func(net.Conn)) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			c, err := net.DialTimeout("tcp", addr, harness.Patience)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(harness.Patience))
			do(c)
		})
	}
	all.Wait()
}

// churn connects two thousand times, sixteen at a time.
func (s *site) churn(t *testing.T, do func(net.Conn)) {
	t.Helper()
	var left atomic.Int64
	left.Store(2000)
	s.crowd(t, 16, s.secure, func(c net.Conn) {
		for left.Add(-1) >= 0 {
			do(c)
			c.Close()
			var err error
			if c, err = net.DialTimeout("tcp", s.secure, harness.Patience); err != nil {
				t.Error(err)
				return
			}
			_ = c.SetDeadline(time.Now().Add(harness.Patience))
		}
		c.Close()
	})
}

// TestTrickle2 reads large answers, but so slowly that they would occupy a hundred connections to the origin for days. The
// windows are open: it is the socket that nobody empties.
func TestTrickle2(t *testing.T) {
	t.Parallel()
	s := start(t, `    min_rate = "1MiB"`)
	s.withstand(t, s.visitor2(), bounds{memory: 64, requests: 100}, func(t *testing.T) {
		a := s.attack2(t, true, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		below := a.c.(*tls.Conn).NetConn().(*net.TCPConn)
		_ = below.SetReadBuffer(16 << 10)
		_ = a.fr.WriteWindowUpdate(0, 1<<30)
		a.repeat(100, func(i int) error { return a.get(i, "/bytes?n=100000000") })
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		buf := make([]byte, 16<<10) // 80 KiB a second
		harness.Eventually(t, harness.Patience, "the connection is cut", func() bool {
			<-tick.C
			_, _ = below.Read(buf)
			return s.event("h2", "cut_queue") > 0
		})
	})
	s.Stop()
}
