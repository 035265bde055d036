package http2

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// pipe is a client that has not greeted and the connection that serves it, in a bubble with a time of its own. ended receives
// what Serve returned.
func pipe(t *testing.T, cfg *Config, handle func(*Stream)) (r *raw, c *Conn, ended <-chan error) {
	a, b := net.Pipe()
	c = NewConn(&wire{Conn: b}, cfg, handle)
	ch := make(chan error, 1)
	go func() {
		err := c.Serve()
		_ = b.Close()
		ch <- err
	}()
	t.Cleanup(func() { _ = a.Close() })
	return newRaw(t, a), c, ch
}

// bubble runs f with a client that has greeted.
func bubble(t *testing.T, cfg *Config, handle func(*Stream), f func(r *raw, c *Conn, ended <-chan error), settings ...http2.Setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, c, ended := pipe(t, cfg, handle)
		go r.greet(settings...) // our own greeting waits to be read meanwhile
		synctest.Wait()
		f(r, c, ended)
		_ = r.nc.Close()
		time.Sleep(time.Minute) // those who write now and then notice
	})
}

func at(t *testing.T, begun time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(begun); got < want || got > want+10*time.Millisecond {
		t.Errorf("after %v, want %v", got, want)
	}
}

func TestIdle(t *testing.T) {
	cfg := config()
	bubble(t, cfg, hello, func(r *raw, c *Conn, ended <-chan error) {
		begun := time.Now()
		time.Sleep(9 * time.Second)
		r.headers(1, true, get()...)
		r.want(answered(1)...)
		r.want("goaway 1 NO_ERROR", "end")
		at(t, begun, 19*time.Second)
		if err := <-ended; err != nil || cfg.Stats.CutIdle.Load() != 1 {
			t.Errorf("Serve() = %v and CutIdle = %d, want nil and 1", err, cfg.Stats.CutIdle.Load())
		}
	})
}

// A long request is not idle.
func TestIdleWaitsForStreams(t *testing.T) {
	bubble(t, config(), func(s *Stream) {
		time.Sleep(time.Hour)
		hello(s)
	}, func(r *raw, c *Conn, ended <-chan error) {
		r.headers(1, true, get()...)
		begun := time.Now()
		r.want(answered(1)...)
		at(t, begun, time.Hour)
		r.want("goaway 1 NO_ERROR", "end")
		at(t, begun, time.Hour+10*time.Second)
	})
}

func TestHeaderTimeouts(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *raw)
	}{
		{"nothing", func(*raw) {}},
		{"half a preface", func(r *raw) { r.bytes([]byte(http2.ClientPreface[:10])) }},
		{"no settings", func(r *raw) { r.bytes([]byte(http2.ClientPreface)) }},
		{"half a block", func(r *raw) {
			go r.greet()
			synctest.Wait()
			r.ok(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}))
		}},
		{"a block that drips", func(r *raw) {
			go r.greet()
			synctest.Wait()
			r.ok(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}))
			go func() {
				for r.fr.WriteContinuation(1, false, []byte{0x86}) == nil {
					time.Sleep(time.Second)
				}
			}()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				r, _, ended := pipe(t, cfg, hello)
				begun := time.Now()
				c.do(r)
				r.want("goaway 0 NO_ERROR", "end")
				at(t, begun, 5*time.Second)
				if err := <-ended; err == nil || cfg.Stats.CutHeader.Load() != 1 {
					t.Errorf("Serve() = %v and CutHeader = %d, want an error and 1", err, cfg.Stats.CutHeader.Load())
				}
				_ = r.nc.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}

// zeros answers with so many bytes.
func zeros(n int) func(*Stream) {
	return func(s *Stream) {
		_ = s.Head(AppendStatus(nil, 200), false)
		if s.Write(make([]byte, n)) == nil {
			_ = s.End(nil)
		}
	}
}

func TestStall(t *testing.T) {
	cfg := config()
	var failed error
	bubble(t, cfg, func(s *Stream) {
		_ = s.Head(AppendStatus(nil, 200), false)
		failed = s.Write(make([]byte, 5000))
	}, func(r *raw, c *Conn, ended <-chan error) {
		begun := time.Now()
		r.headers(1, true, get()...)
		r.want("headers 1 [:status: 200]", "reset 1 CANCEL")
		at(t, begun, 10*time.Second)
		synctest.Wait()
		if failed == nil || cfg.Stats.Stalled.Load() != 1 || c.Open() != 0 {
			t.Errorf("Write() = %v, Stalled = %d, %d open; want an error, 1 and none", failed, cfg.Stats.Stalled.Load(), c.Open())
		}
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
}

// A window of a byte now and then is no window.
func TestStallTrickle(t *testing.T) {
	for _, c := range []struct {
		step uint32
		want string
	}{
		{1, "reset 1 CANCEL"},
		{500, "reset 1 CANCEL"},
		{enoughMoved, "data 1 (1024 bytes) end"},
	} {
		t.Run(fmt.Sprint(c.step), func(t *testing.T) {
			bubble(t, config(), zeros(20*enoughMoved), func(r *raw, _ *Conn, _ <-chan error) {
				r.headers(1, true, get()...)
				go func() {
					for r.fr.WriteWindowUpdate(1, c.step) == nil {
						time.Sleep(6 * time.Second)
					}
				}()
				last := ""
				for f := r.next(); f != "goaway 1 NO_ERROR" && f != "end" && f != "timeout"; f = r.next() {
					last = f
				}
				if last != c.want {
					t.Errorf("the last frame is %q, want %q", last, c.want)
				}
			}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		})
	}
}

func TestNextTimeout(t *testing.T) {
	result := make(chan string, 10)
	bubble(t, config(), func(s *Stream) {
		begun := time.Now()
		s.NextTimeout(3 * time.Second)
		for range 3 {
			p, err := s.Next()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = errors.New("late")
			}
			result <- fmt.Sprint(string(p), err, time.Since(begun).Round(time.Millisecond))
		}
		hello(s)
	}, func(r *raw, c *Conn, ended <-chan error) {
		r.headers(1, false, post()...)
		time.Sleep(5 * time.Second)
		r.ok(r.fr.WriteData(1, false, []byte("abc")))
		time.Sleep(2 * time.Second)
		r.ok(r.fr.WriteData(1, true, []byte("def")))
		r.want(answered(1)...)
		for _, w := range []string{"late 3s", "abc<nil> 5s", "def<nil> 7s"} {
			if g := <-result; g != w {
				t.Errorf("Next: %q, want %q", g, w)
			}
		}
	})
}

func TestStopReading(t *testing.T) {
	var err error
	bubble(t, config(), func(s *Stream) {
		time.AfterFunc(time.Second, s.StopReading)
		_, err = s.Next()
		_ = s.Head(AppendStatus(nil, 200), true)
		time.Sleep(time.Second)
	}, func(r *raw, c *Conn, ended <-chan error) {
		r.headers(1, false, post()...)
		r.want("headers 1 [:status: 200] end")
		if err != ErrStopped {
			t.Errorf("Next() = %v, want %v", err, ErrStopped)
		}
		r.ok(r.fr.WriteData(1, false, []byte(strings.Repeat("x", 100))))
		r.want("reset 1 NO_ERROR")
	})
}

func TestShutdown(t *testing.T) {
	for _, answers := range []bool{true, false} {
		t.Run(fmt.Sprint("pong=", answers), func(t *testing.T) {
			var release chan bool
			bubble(t, config(), func(s *Stream) {
				<-release
				_ = s.Head(AppendStatus(nil, 200), true)
			}, func(r *raw, c *Conn, ended <-chan error) {
				release = make(chan bool)
				r.headers(1, true, get()...)
				begun := time.Now()
				go c.Shutdown()
				r.want("goaway 2147483647 NO_ERROR", "ping shutdown")
				r.headers(3, true, get()...) // was on its way
				if answers {
					r.ok(r.fr.WritePing(true, shutdownPing()))
					r.want("goaway 3 NO_ERROR")
					at(t, begun, 0)
				} else {
					r.want("goaway 3 NO_ERROR")
					at(t, begun, time.Second)
				}
				r.headers(5, true, get("x-table: 5")...) // is too late; the HPACK table must stay right
				c.Shutdown()
				release <- true
				release <- true
				var got []string
				for f := r.next(); f != "end" && f != "timeout"; f = r.next() {
					got = append(got, f)
				}
				slices.Sort(got)
				if d := cmp.Diff([]string{"headers 1 [:status: 200] end", "headers 3 [:status: 200] end"}, got); d != "" {
					t.Errorf("frames after the shutdown: %s", d)
				}
				if err := <-ended; err != nil {
					t.Errorf("Serve() = %v, want nil", err)
				}
			})
		})
	}
}
