package http2

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// setWindow changes the initial window of all streams. The pipe has no room, so that our frame may have to wait until the
// server's has been read.
func (r *raw) setWindow(n uint32) {
	go func() { _ = r.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}) }()
	synctest.Wait()
}

// A window may become negative, and must be made good before anything is sent (RFC 9113 section 6.9.2).
func TestNegativeWindow(t *testing.T) {
	bubble(t, config(), zeros(100), func(r *raw, c *Conn, _ <-chan error) {
		r.headers(1, true, get()...)
		r.want("headers 1 [:status: 200]", "data 1 (50 bytes)")
		r.setWindow(20) // 30 too many were sent
		r.ok(r.fr.WriteWindowUpdate(1, 30))
		synctest.Wait()
		c.mu.Lock()
		if w := c.streams[1].window; w != 0 {
			t.Errorf("window = %d, want 0", w)
		}
		c.mu.Unlock()
		go func() { _ = r.fr.WriteWindowUpdate(1, 5) }()
		r.want("data 1 \x00\x00\x00\x00\x00")
		go r.setWindow(200)
		r.want("data 1 (45 bytes) end")
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 50})
}

// Small pieces that nobody has flushed become one frame.
func TestMerge(t *testing.T) {
	bubble(t, config(), func(s *Stream) {
		time.Sleep(time.Second) // nobody is writing then
		_ = s.Head(AppendStatus(nil, 200), false)
		_ = s.Write([]byte("a"))
		_ = s.Write([]byte("b"))
		_ = s.Flush()
		_ = s.Write([]byte("c"))
		_ = s.Write([]byte("d"))
		_ = s.End(nil)
	}, func(r *raw, c *Conn, _ <-chan error) {
		r.headers(1, true, get()...)
		r.want("headers 1 [:status: 200]", "data 1 ab", "data 1 cd end")
	})
}

// Two streams that wait for the connection's window take turns, one frame each; headers wait for no window.
func TestFairOrder(t *testing.T) {
	bubble(t, config(), zeros(4*maxFrame), func(r *raw, c *Conn, _ <-chan error) {
		r.headers(1, true, get()...)
		r.want("headers 1 [:status: 200]")
		got := 0
		for got < defaultWindow {
			f := r.next()
			n := 0
			if _, err := fmt.Sscanf(f, "data 1 (%d bytes)", &n); err != nil {
				t.Fatalf("got frame %q", f)
			}
			got += n
		}
		synctest.Wait()
		r.headers(3, true, get()...)
		r.want("headers 3 [:status: 200]")
		synctest.Wait() // it is in line now
		r.headers(5, true, get()...)
		r.want("headers 5 [:status: 200]")
		synctest.Wait()
		go func() { _ = r.fr.WriteWindowUpdate(0, 3*maxFrame+1) }()
		r.want("data 1 \x00 end", "data 3 (16384 bytes)", "data 5 (16384 bytes)", "data 3 (16384 bytes)")
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
}

// A client must keep to the windows that it was given, which grow when the body is read and not before.
func TestReceiveWindow(t *testing.T) {
	var read, more chan bool
	bubble(t, config(), func(s *Stream) {
		<-read
		n := 0
		for n < streamWindow {
			p, err := s.Next()
			if err != nil {
				t.Error(err)
				return
			}
			n += len(p)
		}
		<-more
		for {
			if _, err := s.Next(); err != nil {
				if err == io.EOF {
					hello(s)
				}
				return
			}
		}
	}, func(r *raw, c *Conn, _ <-chan error) {
		read, more = make(chan bool), make(chan bool)
		defer close(more)
		piece := []byte(strings.Repeat("x", maxFrame))
		r.headers(1, false, post()...)
		for range streamWindow / maxFrame {
			r.ok(r.fr.WriteData(1, false, piece))
		}
		synctest.Wait()
		close(read)
		// Half of the connection's steps, and all of the stream's.
		r.want("window 1 65536", "window 1 65536", "window 1 65536", "window 0 262144", "window 1 65536")
		for range streamWindow / maxFrame {
			r.ok(r.fr.WriteData(1, false, piece))
		}
		r.ok(r.fr.WriteData(1, false, []byte("one more byte than allowed")))
		r.want("window 0 262170", "reset 1 FLOW_CONTROL_ERROR") // what nobody will read is given back
	})
}

// Data for streams that are closed count against the connection's window, and are given back at once.
func TestWindowOfClosedStreams(t *testing.T) {
	bubble(t, config(func(c *Config) { c.Glitches = 1000 }), func(s *Stream) { s.Reset(CodeCancel) }, func(r *raw, c *Conn, _ <-chan error) {
		r.headers(1, false, post()...)
		r.want("reset 1 CANCEL")
		piece := []byte(strings.Repeat("x", maxFrame))
		for range 5 { // more than the whole window
			for range connWindow / 4 / maxFrame {
				r.ok(r.fr.WriteData(1, false, piece))
			}
			r.want("window 0 262144")
		}
	})
}

// What many streams have not read is bounded by the connection's window.
func TestConnectionWindow(t *testing.T) {
	var release chan bool
	bubble(t, config(), func(s *Stream) { <-release }, func(r *raw, c *Conn, _ <-chan error) {
		release = make(chan bool)
		defer close(release)
		piece := []byte(strings.Repeat("x", maxFrame))
		for i := range uint32(connWindow / maxFrame) {
			r.headers(2*i+1, false, post()...)
			r.ok(r.fr.WriteData(2*i+1, false, piece))
		}
		r.headers(201, false, post()...)
		r.ok(r.fr.WriteData(201, false, []byte("x")))
		r.want("goaway 201 FLOW_CONTROL_ERROR")
	})
}

// An idle connection holds no buffers.
func TestIdleMemory(t *testing.T) {
	bubble(t, config(), echo, func(r *raw, c *Conn, _ <-chan error) {
		r.headers(1, false, post()...)
		go func() { _ = r.fr.WriteData(1, true, []byte(strings.Repeat("x", 10000))) }()
		r.until("data")
		r.until("headers")
		synctest.Wait()
		r.ok(r.fr.WritePing(false, [8]byte{}))
		r.want("pong \x00\x00\x00\x00\x00\x00\x00\x00")
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.in.b != nil || cap(c.out.b)+cap(c.out.spare) > 100 || len(c.streams) > 0 || c.running > 0 || c.busy > 0 {
			t.Errorf("an idle connection holds a read buffer (%v), %d bytes of output, %d streams, %d handlers, %d busy ones",
				c.in.b != nil, cap(c.out.b)+cap(c.out.spare), len(c.streams), c.running, c.busy)
		}
		if c.credit+c.unreturned != connWindow {
			t.Errorf("the connection's window is %d and %d, want %d together", c.credit, c.unreturned, connWindow)
		}
	})
}

// Workers run what they are given, keep as many goroutines as they should, and end.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(2)
		done := make(chan bool, 10)
		for range 10 {
			w.do(jobFunc(func() {
				time.Sleep(time.Second)
				done <- true
			}))
		}
		for range 10 {
			<-done
		}
		synctest.Wait()
		if n := len(w.idle); n != 2 {
			t.Errorf("%d goroutines wait, want 2", n)
		}
		w.do(jobFunc(func() { done <- true }))
		<-done
		w.Close() // the bubble would not end if one stayed
	})
}

type jobFunc func()

func (f jobFunc) run() { f() }

// A body that nobody reads, behind an answer that is complete, is given back to the connection's window although nobody has
// anything else to write then: a client that has used up the window on such uploads would wait for ever.
func TestWindowOfUnreadBodies(t *testing.T) {
	const uploads, size = connWindow / streamWindow, streamWindow
	var answered sync.WaitGroup
	answered.Add(uploads)
	cfg := config(func(c *Config) { c.Idle = 0 }) // whose end would write something
	s := serve(t, nil, cfg, func(s *Stream) {
		for !whole(s) {
			runtime.Gosched()
		}
		_ = s.Head(AppendStatus(nil, 403), true)
		answered.Done()
		answered.Wait() // what their end gives back leaves with no answer
	})
	r := dial(t, s)
	for i := range uint32(uploads) {
		r.headers(2*i+1, false, post()...)
		for n := 0; n < size; n += maxFrame {
			r.ok(r.fr.WriteData(2*i+1, n+maxFrame == size, make([]byte, maxFrame)))
		}
	}
	back := 0
	for back < connWindow {
		var stream, n int
		if _, err := fmt.Sscanf(r.until("window 0"), "window %d %d", &stream, &n); err != nil {
			t.Fatal(err)
		}
		back += n
	}
}

// whole reports whether all of the request has come, read or not.
func whole(s *Stream) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.ended
}
