//go:build linux

package sock

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// way is how a connection came to be: they differ in everything but what they do.
type way struct {
	name  string
	plain bool
	wrap  bool
}

var ways = []way{{"taken", false, false}, {"taken plain", true, false}, {"wrapped", false, true}, {"wrapped plain", true, true}}

// each runs a test over every kind of connection. ours is under test, theirs is the other end.
func each(t *testing.T, f func(t *testing.T, tm *Timer, ours *Conn, theirs *net.TCPConn)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			tm := NewTimer()
			tm.Plain = w.plain
			ours, theirs := pair(t, tm, w.wrap)
			f(t, tm, ours, theirs)
		})
	}
}

// pair makes a loopback connection.
func pair(t testing.TB, tm *Timer, wrap bool) (ours *Conn, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs = nc.(*net.TCPConn)
	t.Cleanup(func() { theirs.Close() })
	_ = theirs.SetDeadline(time.Now().Add(20 * time.Second))
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if wrap {
		return tm.Wrap(a, nil), theirs
	}
	f, err := a.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return tm.Take(fd, netip.MustParseAddrPort("127.0.0.1:1"), nil), theirs
}

// move makes the time of tm pass by d, without waiting.
func move(tm *Timer, d time.Duration) {
	tm.base = tm.base.Add(-d)
	tm.sweep()
}

func TestLoopReceivesAll(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		defer c.Close()
		want := bytes.Repeat([]byte("0123456789"), 50_000)
		go func() {
			for p := want; len(p) > 0; {
				n := min(len(p), 7001)
				_, _ = theirs.Write(p[:n])
				p = p[n:]
			}
			_ = theirs.CloseWrite()
		}()
		var got []byte
		buf := make([]byte, 1000)
		var end error
		err := c.Loop(func() bool {
			for {
				n, err := c.Recv(buf)
				if err == ErrAgain {
					return false
				}
				if err != nil {
					end = err
					return true
				}
				got = append(got, buf[:n]...)
			}
		})
		if err != nil || end != io.EOF || !bytes.Equal(got, want) {
			t.Errorf("Loop = %v, end %v, %d bytes, want %d", err, end, len(got), len(want))
		}
	})
}

// What comes while the function works is not lost: the answer's reader writes the next request before the owner parks.
func TestEdgesAreNotLost(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		defer c.Close()
		const turns = 2000
		go func() {
			b := []byte{0}
			for range turns {
				_, _ = theirs.Write(b)
				_, _ = io.ReadFull(theirs, b)
			}
			_ = theirs.CloseWrite()
		}()
		n := 0
		var b [1]byte
		if err := c.Loop(func() bool {
			if _, err := c.Recv(b[:]); err == ErrAgain {
				return false
			} else if err != nil {
				return true
			}
			n++
			_, _ = c.Write(b[:])
			return false
		}); err != nil || n != turns {
			t.Errorf("Loop = %v after %d turns, want %d", err, n, turns)
		}
	})
}

func TestWriteWaitsForASlowReader(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		want := make([]byte, 8<<20)
		for i := range want {
			want[i] = byte(i >> 8)
		}
		go func() {
			if n, err := c.Write(want); n != len(want) || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			c.Close()
		}()
		got, err := io.ReadAll(theirs)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}

func TestEmptyWrite(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, _ *net.TCPConn) {
		defer c.Close()
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Errorf("Write(nil) = %d, %v", n, err)
		}
	})
}

func TestWriteToTheDead(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		defer c.Close()
		_ = theirs.SetLinger(0)
		theirs.Close()
		b := make([]byte, 64<<10)
		for range 100 {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		t.Error("a hundred writes to a connection that was reset")
	})
}

// receive waits for a byte, as an owner does.
func receive(c *Conn) error {
	var got error
	err := c.Loop(func() bool {
		var b [1]byte
		_, got = c.Recv(b[:])
		return got != ErrAgain
	})
	if err != nil {
		return err
	}
	return got
}

func TestAbort(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		each(t, func(t *testing.T, _ *Timer, c *Conn, _ *net.TCPConn) {
			defer c.Close()
			c.Abort()
			if err := receive(c); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("receive = %v", err)
			}
			if c.Arm(time.Hour) || !c.Expired() || c.Calm() {
				t.Error("an aborted connection goes on")
			}
		})
	})
	t.Run("beside", func(t *testing.T) { // at any moment of the registration
		each(t, func(t *testing.T, _ *Timer, c *Conn, _ *net.TCPConn) {
			defer c.Close()
			go c.Abort()
			if err := receive(c); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("receive = %v", err)
			}
		})
	})
	t.Run("a write", func(t *testing.T) {
		each(t, func(t *testing.T, _ *Timer, c *Conn, _ *net.TCPConn) {
			defer c.Close()
			go c.Abort()
			b := make([]byte, 1<<20)
			for {
				if _, err := c.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
					return
				} else if err != nil {
					t.Fatalf("Write = %v", err)
				}
			}
		})
	})
}

func TestNudge(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		defer c.Close()
		for range 3 { // before the first wait, and after others
			c.Nudge()
			if err := receive(c); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("receive = %v", err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatalf("a nudge failed a write: %v", err)
			}
			if c.Expired() || !c.Calm() {
				t.Fatal("a nudge ended the connection")
			}
			if _, err := theirs.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := receive(c); err != nil {
				t.Fatalf("receive after Calm = %v", err)
			}
			go c.Nudge() // at any moment of the waiting
			if err := receive(c); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("receive = %v", err)
			}
			c.Calm()
		}
	})
}

// An owner and its upload may have to wait at the same time, both for the first time.
func TestReaderAndWriterRegisterOnce(t *testing.T) {
	for range 200 {
		tm := NewTimer()
		c, theirs := pair(t, tm, false)
		big := make([]byte, 6<<20)
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := c.Write(big); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			var b [1]byte
			if _, err := c.Read(b[:]); err != nil {
				t.Error(err)
			}
		})
		_, _ = theirs.Write([]byte("x"))
		if _, err := io.ReadFull(theirs, big); err != nil {
			t.Fatal(err)
		}
		both.Wait()
		c.Close()
		theirs.Close()
		if testing.Short() || t.Failed() {
			break
		}
	}
}

func TestDeadlines(t *testing.T) {
	each(t, func(t *testing.T, tm *Timer, c *Conn, _ *net.TCPConn) {
		defer c.Close()
		c.Arm(time.Second)
		move(tm, time.Second)
		if c.Expired() {
			t.Error("early")
		}
		if !c.Arm(time.Second) {
			t.Error("not armed again")
		}
		move(tm, time.Second)
		if c.Expired() {
			t.Error("Arm did not move the deadline")
		}
		c.Arm(0)
		move(tm, time.Hour)
		if c.Expired() {
			t.Error("expired without a deadline")
		}
		c.Ceiling(time.Minute)
		c.Arm(time.Hour)
		move(tm, time.Minute+2*Tick)
		if !c.Expired() || c.Arm(time.Hour) {
			t.Error("the ceiling did not hold")
		}
		if err := receive(c); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("receive = %v", err)
		}
		if !c.Revive(time.Minute) {
			t.Error("not revived")
		}
		if _, err := c.Write([]byte("parting words")); err != nil {
			t.Error(err)
		}
	})
}

func TestCeilingIsTakenBack(t *testing.T) {
	tm := NewTimer()
	c, _ := pair(t, tm, true)
	defer c.Close()
	c.Ceiling(time.Second)
	c.Arm(0)
	c.Ceiling(0)
	c.Arm(0)
	move(tm, time.Hour)
	if c.Expired() {
		t.Error("expired")
	}
}

func TestSweepEndsAWait(t *testing.T) {
	each(t, func(t *testing.T, tm *Timer, c *Conn, _ *net.TCPConn) {
		defer c.Close()
		c.Arm(time.Minute)
		done := make(chan error)
		go func() { done <- receive(c) }()
		move(tm, time.Minute+2*Tick)
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("receive = %v", err)
		}
	})
}

func TestQuiet(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		defer c.Close()
		if !c.Quiet() {
			t.Error("not quiet at first")
		}
		theirs.Close()
		if err := receive(c); err != io.EOF { // the end has come
			t.Fatal(err)
		}
		if c.Quiet() {
			t.Error("quiet after the end")
		}
	})
}

func TestCloseWrite(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		defer c.Close()
		if err := c.CloseWrite(); err != nil {
			t.Fatalf("CloseWrite = %v", err)
		}
		if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer read %v", err)
		}
		_, _ = theirs.Write([]byte("x"))
		if err := receive(c); err != nil {
			t.Errorf("receive after CloseWrite = %v", err)
		}
	})
}

func TestReset(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, c *Conn, theirs *net.TCPConn) {
		c.Reset()
		c.Close()
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the peer read %v", err)
		}
	})
}

func TestListOfConnections(t *testing.T) {
	tm := NewTimer()
	owners := []string{"a", "b", "c"}
	var conns []*Conn
	for i := range owners {
		c, _ := pair(t, tm, i%2 == 0)
		c.owner = owners[i]
		conns = append(conns, c)
	}
	count := func() map[any]int {
		n := map[any]int{}
		tm.Each(func(c *Conn, owner any) {
			if tm.conns[c.index] != c {
				t.Errorf("%v is at the wrong index", owner)
			}
			n[owner]++
		})
		return n
	}
	for len(conns) > 0 {
		if n := count(); len(n) != len(conns) || tm.Len() != len(conns) {
			t.Errorf("%v with %d connections", n, len(conns))
		}
		conns[0].Close()
		conns = conns[1:]
	}
	if tm.Len() != 0 {
		t.Errorf("%d left", tm.Len())
	}
}

// The watch tells of a reset while the owner is busy, once, and not of an end.
func TestWatch(t *testing.T) {
	tm := NewTimer()
	w, err := tm.watch.open()
	if err != nil {
		t.Fatal(err)
	}
	go w.run()
	defer w.Close()
	c, theirs := pair(t, tm, false)
	gone := make(chan struct{}, 9)
	c.Gone = func() { gone <- struct{}{} }
	move(tm, time.Minute)
	if c.watch != 0 {
		t.Error("watched without being busy")
	}
	c.Busy(true)
	move(tm, time.Minute)
	if c.watch == 0 {
		t.Fatal("not watched")
	}
	_ = theirs.CloseWrite()
	// A second watched connection tells when the first one's end must have been seen.
	other, others := pair(t, tm, true)
	seen := make(chan struct{}, 9)
	other.Gone = func() { seen <- struct{}{} }
	other.Busy(true)
	move(tm, time.Minute)
	_ = others.SetLinger(0)
	others.Close()
	<-seen
	select {
	case <-gone:
		t.Error("told of a half-close")
	default:
	}
	_ = theirs.SetLinger(0)
	theirs.Close()
	<-gone
	c.Close()
	other.Close()
	if len(tm.watch.conns) != 0 {
		t.Errorf("%d connections are still watched", len(tm.watch.conns))
	}
}

func TestSplice(t *testing.T) {
	for name, c := range map[string]struct {
		size, sent int
		from       bool
		err        error
	}{
		"exact":      {size: 1<<20 + 7, sent: 1<<20 + 7},
		"more is in": {size: 100_000, sent: 100_001},
		"early end":  {size: 1 << 20, sent: 300_001, from: true, err: io.ErrUnexpectedEOF},
		"nothing":    {size: 10, sent: 0, from: true, err: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			tm := NewTimer()
			src, from := pair(t, tm, true)
			dst, to := pair(t, tm, false)
			if !CanSplice(dst, src) {
				t.Fatal("cannot splice")
			}
			data := make([]byte, c.sent)
			for i := range data {
				data[i] = byte(i * 31 >> 3)
			}
			go func() {
				_, _ = from.Write(data)
				_ = from.CloseWrite()
			}()
			got := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(to)
				got <- b
			}()
			dst.Progress(time.Minute, 0)
			n, side, err := Splice(dst, src, int64(c.size), time.Minute, func(int64) bool { return true })
			dst.Close()
			want := data[:min(c.size, c.sent)]
			if b := <-got; int(n) != len(want) || side != c.from || err != c.err || !bytes.Equal(b, want) {
				t.Errorf("Splice = %d, %v, %v, and %d bytes came; want %d, %v, %v", n, side, err, len(b), len(want), c.from, c.err)
			}
			if c.sent > c.size {
				if b := make([]byte, 9); true {
					if n, _ := src.Read(b); n != c.sent-c.size {
						t.Errorf("%d bytes left behind, want %d", n, c.sent-c.size)
					}
				}
			}
			src.Close()
		})
	}
}

func TestSpliceStops(t *testing.T) {
	tm := NewTimer()
	src, from := pair(t, tm, true)
	dst, to := pair(t, tm, true)
	defer src.Close()
	defer dst.Close()
	go func() { _, _ = from.Write(make([]byte, 1<<20)) }()
	go func() { _, _ = io.Copy(io.Discard, to) }()
	n, side, err := Splice(dst, src, 1<<20, 0, func(int64) bool { return false })
	if n == 0 || side || err != ErrSlow {
		t.Errorf("Splice = %d, %v, %v, want ErrSlow after the first step", n, side, err)
	}
	src.Abort()
	if _, side, err := Splice(dst, src, 1<<20, 0, func(int64) bool { return true }); !side || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Splice of an aborted source = %v, %v", side, err)
	}
}

func TestTunnel(t *testing.T) {
	each(t, func(t *testing.T, tm *Timer, a *Conn, left *net.TCPConn) {
		b, right := pair(t, tm, true)
		type result struct {
			ab, ba int64
			err    error
		}
		done := make(chan result)
		go func() {
			ab, ba, err := Tunnel(a, b, time.Minute, NewTunnelBuffers())
			done <- result{ab, ba, err}
		}()
		big := make([]byte, 1<<20)
		go func() { _, _ = left.Write(big); _ = left.CloseWrite() }()
		if got, err := io.ReadAll(right); err != nil || len(got) != len(big) {
			t.Errorf("to the right came %d bytes, %v", len(got), err)
		}
		// The other direction is still open; its last bytes and its end come together.
		for range 3 {
			_, _ = right.Write([]byte("x"))
			_, _ = io.ReadFull(left, make([]byte, 1))
		}
		_, _ = right.Write([]byte("last"))
		_ = right.CloseWrite()
		if got, err := io.ReadAll(left); err != nil || string(got) != "last" {
			t.Errorf("to the left came %q, %v", got, err)
		}
		if r := <-done; r != (result{1 << 20, 7, nil}) {
			t.Errorf("Tunnel = %+v", r)
		}
		a.Close()
		b.Close()
	})
}

func TestTunnelEnds(t *testing.T) {
	for name, end := range map[string]func(tm *Timer, a *Conn, left, right *net.TCPConn){
		"a reset":  func(_ *Timer, _ *Conn, left, _ *net.TCPConn) { _ = left.SetLinger(0); left.Close() },
		"an abort": func(_ *Timer, a *Conn, _, _ *net.TCPConn) { a.Abort() },
		"idle":     func(tm *Timer, _ *Conn, _, _ *net.TCPConn) { move(tm, time.Minute+2*Tick) },
		"beside a sender": func(_ *Timer, _ *Conn, left, right *net.TCPConn) {
			// The left never reads: what the right sends fills up, and the pump waits to send.
			_ = right.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			for {
				if _, err := right.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			_ = right.SetLinger(0)
			right.Close()
			_, _ = left.Write(make([]byte, 1<<20))
			_, _ = left.Write(make([]byte, 1<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, tm *Timer, a *Conn, left *net.TCPConn) {
				b, right := pair(t, tm, true)
				defer a.Close()
				defer b.Close()
				done := make(chan error)
				go func() {
					_, _, err := Tunnel(a, b, time.Minute, NewTunnelBuffers())
					done <- err
				}()
				_, _ = left.Write([]byte("x"))
				_, _ = io.ReadFull(right, make([]byte, 1))
				end(tm, a, left, right)
				if err := <-done; err == nil {
					t.Error("Tunnel = nil")
				}
			})
		})
	}
}

func TestTunnelOutlivesANudge(t *testing.T) {
	each(t, func(t *testing.T, tm *Timer, a *Conn, left *net.TCPConn) {
		b, right := pair(t, tm, true)
		defer a.Close()
		defer b.Close()
		a.Nudge()
		done := make(chan error)
		go func() {
			_, _, err := Tunnel(a, b, time.Minute, NewTunnelBuffers())
			done <- err
		}()
		for range 20 {
			_, _ = left.Write([]byte("x"))
			if _, err := io.ReadFull(right, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			a.Nudge()
		}
		left.Close()
		right.Close()
		if err := <-done; err != nil {
			t.Errorf("Tunnel = %v", err)
		}
	})
}

func TestNoDescriptorLeaks(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("needs /proc")
		}
		return len(d)
	}
	before := count()
	for _, w := range ways {
		tm := NewTimer()
		tm.Plain = w.plain
		ctx, stop := context.WithCancel(context.Background())
		ran := make(chan struct{})
		go func() { tm.Run(ctx); close(ran) }()
		for i := range 40 {
			c, theirs := pair(t, tm, w.wrap)
			_, _ = theirs.Write([]byte("x"))
			if i%2 == 0 {
				_ = receive(c)
			} else {
				c.Nudge()
				_ = receive(c)
				_ = receive(c)
			}
			c.Close()
			theirs.Close()
		}
		src, from := pair(t, tm, true)
		dst, to := pair(t, tm, true)
		if !w.plain {
			go func() { _, _ = from.Write(make([]byte, 100_000)) }()
			go func() { _, _ = io.Copy(io.Discard, to) }()
			if _, _, err := Splice(dst, src, 100_000, 0, func(int64) bool { return true }); err != nil {
				t.Error(err)
			}
		}
		for _, c := range []io.Closer{src, dst, from, to} {
			c.Close()
		}
		stop()
		<-ran
	}
	if after := count(); after > before+1 { // the poller's own
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func BenchmarkTurn(b *testing.B) {
	tm := NewTimer()
	c, theirs := pair(b, tm, false)
	go func() {
		var x [1]byte
		_ = c.Loop(func() bool {
			if _, err := c.Recv(x[:]); err == ErrAgain {
				return false
			} else if err != nil {
				return true
			}
			_, err := c.Write(x[:])
			return err != nil
		})
		c.Close()
	}()
	var x [1]byte
	_ = theirs.SetDeadline(time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = theirs.Write(x[:])
		_, _ = theirs.Read(x[:])
	}
	theirs.Close()
}
