package http2

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// flood calls send again and again until the connection ends, and returns the frames that the server sent and how often send
// was called.
func (r *raw) flood(most int, send func(i int) error) (frames []string, sent int) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			f := r.next()
			frames = append(frames, f)
			if strings.HasPrefix(f, "goaway") {
				_ = r.nc.Close() // the server would listen to us for a while, see linger
			}
			if f == "end" || f == "timeout" || strings.HasPrefix(f, "error") {
				return
			}
		}
	})
	for sent < most && send(sent) == nil {
		sent++
	}
	if sent == most {
		_ = r.nc.SetReadDeadline(time.Now().Add(5 * time.Second)) // it got away with all of it
	}
	wg.Wait()
	return frames, sent
}

func calm(t *testing.T, frames []string) {
	t.Helper()
	for _, f := range frames {
		if strings.HasPrefix(f, "goaway") && strings.HasSuffix(f, "ENHANCE_YOUR_CALM") {
			return
		}
	}
	t.Fatalf("the client was not cut off; the last of its %d frames are %q", len(frames), frames[max(0, len(frames)-5):])
}

// Floods of one kind of frame. Each must be cut off by the counter that is for it.
func TestFloods(t *testing.T) {
	id := func(i int) uint32 { return uint32(2*i + 1) }
	control := make([]byte, 8)
	for _, c := range []struct {
		name  string
		count func(*Stats) *atomic.Uint64
		send  func(r *raw) func(i int) error
	}{
		{"RapidReset", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if err := r.try(id(i), true, get()...); err != nil {
					return err
				}
				return r.fr.WriteRSTStream(id(i), http2.ErrCodeCancel)
			}
		}},
		{"MadeYouReset by windows", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if err := r.try(id(i), true, get()...); err != nil {
					return err
				}
				return r.fr.WriteWindowUpdate(id(i), 0)
			}
		}},
		{"MadeYouReset by data after the end", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if err := r.try(id(i), true, get()...); err != nil {
					return err
				}
				return r.fr.WriteData(id(i), false, []byte("x"))
			}
		}},
		{"Malformed requests", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.try(id(i), true, get("connection: x")...) }
		}},
		{"HPACK bomb", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			// One large entry of the table, named a thousand times by one byte each.
			return func(i int) error {
				b := append([]byte(nil), r.encode(get("x: "+strings.Repeat("a", 3900))...)...)
				for range 10000 {
					b = append(b, 0x80|62)
				}
				return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), EndStream: true, EndHeaders: true, BlockFragment: b})
			}
		}},
		{"Too many streams", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.try(id(i), false, post()...) }
		}},
		{"CONTINUATION without an end", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
				}
				return r.fr.WriteContinuation(1, false, []byte{0x86})
			}
		}},
		{"Large CONTINUATION without an end", func(s *Stats) *atomic.Uint64 { return &s.CutBlock }, func(r *raw) func(int) error {
			part := []byte(strings.Repeat("\x86", maxFrame))
			return func(i int) error {
				if i == 0 {
					return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: part})
				}
				return r.fr.WriteContinuation(1, false, part)
			}
		}},
		{"Empty CONTINUATION", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
				}
				return r.fr.WriteContinuation(1, false, nil)
			}
		}},
		{"SETTINGS", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.fr.WriteSettings() }
		}},
		{"PING", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.fr.WritePing(false, [8]byte(control)) }
		}},
		{"PRIORITY", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.fr.WritePriority(id(i), http2.PriorityParam{StreamDep: 0}) }
		}},
		{"WINDOW_UPDATE", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.fr.WriteWindowUpdate(0, 1) }
		}},
		{"Unknown frames", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error { return r.fr.WriteRawFrame(0xbe, 0, 0, nil) }
		}},
		{"Empty DATA", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					return r.try(1, false, post()...)
				}
				return r.fr.WriteData(1, false, nil)
			}
		}},
		{"Padded empty DATA", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					return r.try(1, false, post()...)
				}
				return r.fr.WriteDataPadded(1, false, nil, control)
			}
		}},
		{"Tiny DATA", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					return r.try(1, false, post()...)
				}
				return r.fr.WriteData(1, false, []byte("x"))
			}
		}},
		{"Data for closed streams", func(s *Stats) *atomic.Uint64 { return &s.CutGlitches }, func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					if err := r.try(1, true, get()...); err != nil {
						return err
					}
					return r.fr.WriteRSTStream(1, http2.ErrCodeCancel)
				}
				return r.fr.WriteData(1, false, []byte("x"))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := config()
			s := serve(t, nil, cfg, func(s *Stream) {
				for { // until the client resets it
					if _, err := s.Next(); err != nil {
						return
					}
				}
			})
			r := dial(t, s)
			frames, sent := r.flood(50000, c.send(r))
			calm(t, frames)
			if n := c.count(cfg.Stats).Load(); n != 1 {
				t.Errorf("counted %d, want 1", n)
			}
			t.Logf("cut after %d sends", sent)
		})
	}
}

// The handlers of streams that were reset still work, as those of a proxy do that waits for an origin. A client must not have
// more of them than streams.
func TestRapidResetBoundsHandlers(t *testing.T) {
	cfg := config(func(c *Config) { c.MaxStreams, c.Glitches = 10, 1<<20 })
	var working, most atomic.Int64
	release := make(chan struct{})
	s := serve(t, nil, cfg, func(s *Stream) {
		n := working.Add(1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		<-release
		working.Add(-1)
	})
	r := dial(t, s)
	for i := range uint32(500) {
		r.headers(2*i+1, true, get()...)
		r.ok(r.fr.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
	}
	r.ok(r.fr.WritePing(false, [8]byte([]byte("all done"))))
	refused := 0
	for f := r.next(); f != "pong all done"; f = r.next() {
		if !strings.HasSuffix(f, "REFUSED_STREAM") {
			t.Fatalf("got frame %q", f)
		}
		refused++
	}
	close(release)
	if most.Load() > 10 || refused != 490 {
		t.Errorf("%d handlers at a time and %d streams refused, want at most 10 and 490", most.Load(), refused)
	}
	// Once they have ended there is room again.
	for i := uint32(1001); ; i += 2 {
		r.headers(i, true, get()...)
		if f := r.next(); !strings.HasSuffix(f, "REFUSED_STREAM") {
			if !strings.HasSuffix(f, "INTERNAL_ERROR") { // this handler never answers
				t.Errorf("got frame %q", f)
			}
			return
		}
		runtime.Gosched()
	}
}

// A client that asks and never reads must not make us hold more than the outbox.
func TestAnswersNeverRead(t *testing.T) {
	cfg := config(func(c *Config) { c.Stall = 200 * time.Millisecond })
	ended := make(chan error, 100)
	s := serve(t, nil, cfg, func(s *Stream) {
		_ = s.Head(AppendStatus(nil, 200), false)
		piece := make([]byte, 64<<10)
		var err error
		for err == nil {
			err = s.Write(piece)
		}
		ended <- err
	})
	r := dial(t, s, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	r.ok(r.fr.WriteWindowUpdate(0, 1<<30))
	for i := range uint32(20) {
		r.headers(2*i+1, true, get()...)
	}
	for range 20 {
		<-ended
	}
}

// PINGs whose answers are not read fill the socket, and then the queue, which is bounded.
func TestPingsNeverRead(t *testing.T) {
	cfg := config(func(c *Config) { c.Glitches = 1 << 30 })
	s := serve(t, nil, cfg, hello)
	r := dial(t, s)
	b := appendPing(nil, false, [8]byte{})
	b = []byte(strings.Repeat(string(b), 1000))
	for i := 0; len(s.ended) == 0; i++ {
		if _, err := r.nc.Write(b); err != nil {
			break
		}
		if i > 100000 {
			t.Fatal("a hundred million PINGs were taken")
		}
	}
	if n := cfg.Stats.CutQueue.Load(); n != 1 {
		t.Errorf("CutQueue = %d, want 1", n)
	}
}

// One-byte windows make a frame of ten bytes of each byte.
func TestOneByteWindows(t *testing.T) {
	cfg := config()
	s := serve(t, nil, cfg, hello2k)
	r := dial(t, s, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	r.headers(1, true, get()...)
	frames, _ := r.flood(100000, func(int) error { return r.fr.WriteWindowUpdate(1, 1) })
	calm(t, frames)
}

func hello2k(s *Stream) {
	_ = s.Head(AppendStatus(nil, 200), false)
	if s.Write(make([]byte, 200<<10)) == nil {
		_ = s.End(nil)
	}
}

// What honest clients do now and then is forgiven.
func TestOddButHonest(t *testing.T) {
	cfg := config(func(c *Config) { c.Glitches = 20 })
	s := serve(t, nil, cfg, hello)
	r := dial(t, s)
	for i := range uint32(2000) {
		r.headers(4*i+1, false, post()...)
		r.ok(r.fr.WriteData(4*i+1, false, []byte("x")))
		r.ok(r.fr.WriteData(4*i+1, true, nil))
		r.ok(r.fr.WritePing(false, [8]byte([]byte("gRPC BDP"))))
		r.ok(r.fr.WriteWindowUpdate(0, 6))
		r.until("data")
		if i%10 == 0 { // a click on the stop button
			r.headers(4*i+3, false, post()...)
			r.ok(r.fr.WriteRSTStream(4*i+3, http2.ErrCodeCancel))
		}
	}
}
