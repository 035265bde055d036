//go:build linux

package sock

import (
	"bytes"
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
