package flood

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/http2"

	"skein/test/harness"
)

// TestHonest2 does what looks a little like an attack, as often as honest clients do it: none of them is cut.
func TestHonest2(t *testing.T) {
	t.Parallel()
	s := start(t)
	small := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4 << 10}
	for _, test := range []struct {
		name     string
		settings []http2.Setting
		do       func(a *attacker2, next *int)
	}{
		{"a browser that cancels thirty pictures, five times", nil, func(a *attacker2, next *int) {
			for range 5 {
				first := *next
				for range 30 {
					_ = a.get(*next, "/hang")
					*next++
				}
				a.send()
				harness.Eventually(a.t, harness.Patience, "the origin works", func() bool { return s.origin.now.Load() == 30 })
				for i := range 30 {
					_ = a.fr.WriteRSTStream(id(first+i), http2.ErrCodeCancel)
				}
				a.send()
				harness.Eventually(a.t, harness.Patience, "the origin rests", func() bool { return s.origin.now.Load() == 0 })
				for range 20 { // the next page
					a.ask(next, "/")
				}
			}
		}},
		{"gRPC that pings for ten minutes beside one long call", nil, func(a *attacker2, next *int) {
			_ = a.get(*next, "/hang")
			for range 60 {
				_ = a.fr.WritePing(false, [8]byte{})
			}
			a.send()
			_ = a.fr.WriteRSTStream(id(*next), http2.ErrCodeCancel)
			*next++
		}},
		{"a stream of empty messages", nil, func(a *attacker2, next *int) {
			_ = a.post(*next, "/count")
			for range 5000 {
				_ = a.fr.WriteData(id(*next), false, make([]byte, 5))
			}
			_ = a.fr.WriteData(id(*next), true, nil)
			a.send()
			a.answered(id(*next))
			*next++
		}},
		{"windows that follow the memory of the client", nil, func(a *attacker2, next *int) {
			for i := range 50 {
				_ = a.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(65535 + i)})
				a.ask(next, "/")
			}
		}},
		{"a slow reader with small windows", []http2.Setting{small}, func(a *attacker2, next *int) {
			_ = a.get(*next, "/bytes?n=65536")
			a.send()
			a.answered(id(*next))
			for range 60 {
				<-time.After(100 * time.Millisecond) // 10 KiB a second, three times as long as the body's time-out
				_ = a.fr.WriteWindowUpdate(id(*next), 1<<10)
				_ = a.fr.WriteWindowUpdate(0, 1<<10)
				a.send()
			}
			*next++
		}},
		{"twenty thousand windows for a download", nil, func(a *attacker2, next *int) {
			_ = a.get(*next, fmt.Sprintf("/bytes?n=%d", 160<<20))
			a.send()
			a.answered(id(*next))
			for range 10_000 { // one for each DATA frame of 16 KiB, and one for the connection
				_ = a.fr.WriteWindowUpdate(id(*next), 16<<10)
				_ = a.fr.WriteWindowUpdate(0, 16<<10)
				a.send()
				harness.Eventually(a.t, harness.Patience, "data", a.more)
			}
			*next++
		}},
		{"priorities of a browser of ten years ago", nil, func(a *attacker2, next *int) {
			for i := range 5 { // Firefox built a tree of empty streams
				_ = a.fr.WritePriority(uint32(3+2*i), http2.PriorityParam{Weight: 100})
			}
			*next = 7
			for range 500 {
				_ = a.fr.WritePriority(id(*next), http2.PriorityParam{StreamDep: 3, Weight: 20})
				a.ask(next, "/")
			}
		}},
		{"fields that change with each request", nil, func(a *attacker2, next *int) {
			for i := range 300 {
				var more []string
				for j := range 40 {
					more = append(more, fmt.Sprintf("x-%d-%d: %s", i, j, strings.Repeat("v", 60)))
				}
				a.ask(next, "/", more...)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.attack2(t, false, test.settings...)
			next := 0
			test.do(a, &next)
			a.ask(&next, "/visitor")
			_ = a.c.Close()
		})
	}
	s.Stop()
}

// ask makes a request and waits for the answer's head.
func (a *attacker2) ask(next *int, path string, more ...string) {
	a.t.Helper()
	if err := a.get(*next, path, more...); err != nil || !a.send() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.t.Fatalf("the connection is cut: %s", a.calm)
	}
	a.answered(id(*next))
	*next++
}

// answered waits for the head of an answer.
func (a *attacker2) answered(stream uint32) {
	a.t.Helper()
	late := time.After(harness.Patience)
	for {
		select {
		case got := <-a.heads:
			if got == stream {
				return
			}
		case <-a.ended:
			a.mu.Lock()
			defer a.mu.Unlock()
			a.t.Fatalf("the connection is cut: %s", a.calm)
		case <-late:
			a.t.Fatal("no answer")
		}
	}
}

// more reports whether a DATA frame has come that no call before has told of, or the connection has ended.
func (a *attacker2) more() bool {
	select {
	case <-a.ended:
		a.mu.Lock()
		defer a.mu.Unlock()
		a.t.Fatalf("the connection is cut: %s", a.calm)
	default:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.frames[http2.FrameData] == 0 {
		return false
	}
	a.frames[http2.FrameData]--
	return true
}

// TestHonest3 does the same over HTTP/3.
func TestHonest3(t *testing.T) {
	t.Parallel()
	s := start(t)
	grease := frame(0x21, []byte("grease"))
	for _, test := range []struct {
		name string
		do   func(a *attacker3)
	}{
		{"grease before, in and behind everything", func(a *attacker3) {
			_, _ = a.open(0x21, []byte("a stream that means nothing"))
			for range 200 {
				a.whole(append(append(append([]byte(nil), grease...), head("GET", "/")...), grease...))
			}
		}},
		{"a browser that cancels thirty pictures, three times", func(a *attacker3) {
			for range 3 {
				var all []*quic.Stream
				for range 30 {
					q, err := a.begin(head("GET", "/hang"))
					if err != nil {
						t.Fatal(err)
					}
					_ = q.Close()
					all = append(all, q)
				}
				harness.Eventually(t, harness.Patience, "the origin works", func() bool { return s.origin.now.Load() == 30 })
				for _, q := range all {
					q.CancelRead(0x10c)
				}
				harness.Eventually(t, harness.Patience, "the origin rests", func() bool { return s.origin.now.Load() == 0 })
				for range 20 {
					a.whole(head("GET", "/"))
				}
			}
		}},
		{"a head of which each byte comes alone", func(a *attacker3) {
			q, err := a.OpenStreamSync(a.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range head("GET", "/") {
				_, _ = q.Write([]byte{b})
				<-time.After(10 * time.Millisecond)
			}
			_ = q.Close()
			if n, err := q.Read(make([]byte, 10)); n == 0 {
				t.Error(err)
			}
		}},
		{"a stream of empty messages", func(a *attacker3) {
			b := head("POST", "/count")
			for range 5000 {
				b = append(b, frame(0, make([]byte, 5))...)
			}
			a.whole(b)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.attack3(t, true, &quic.Config{})
			test.do(a)
			a.whole(head("GET", "/visitor"))
		})
	}
	s.Stop()
}

// whole makes a request and reads some of the answer.
func (a *attacker3) whole(b []byte) {
	a.t.Helper()
	q, err := a.begin(b)
	if err != nil {
		a.t.Fatal(err)
	}
	_ = q.Close()
	if n, err := q.Read(make([]byte, 1000)); n == 0 { // with the last bytes comes io.EOF
		a.t.Fatal(err)
	}
	q.CancelRead(0x100)
}
