package sock

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

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
