package hostile

import (
	"fmt"
	"io"
	"testing"
	"time"

	"skein/test/harness"
)

// kinds are the ways by which a large answer goes: moved by the kernel, and through our buffers.
var kinds = []string{"/bytes?n=%d", "/bytes?n=%d&chunked=1"}

// Who does not read at all is cut off when nothing has moved for the body time-out, and the origin with him.
func TestReaderStops(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := start(t, hello(t), "", "timeouts {\n body = \"2s\"\n }", opts...)
		var conns []*harness.Conn
		for _, kind := range kinds {
			c := harness.RawSmall(t, s.addr, 4096)
			c.Send("GET " + fmt.Sprintf(kind, 100<<20) + " HTTP/1.1\r\nHost: h\r\n\r\n")
			conns = append(conns, c)
		}
		began := time.Now()
		s.endedBy(t, "client_timeout", 2)
		// Deadlines are coarse: where a busy machine is late to look at them, they come early by as much.
		if took := time.Since(began); took < time.Second {
			t.Errorf("cut off after %v, before its time", took)
		}
		s.free(t)
		s.fine(t)
		for _, c := range conns {
			if n, _ := io.Copy(io.Discard, c.Reader(harness.Patience)); n > 50<<20 {
				t.Errorf("%d bytes were sent to one who did not read", n)
			}
		}
	})
}

// Who reads slowly but fast enough gets all of it, however long that takes; a step of the kernel's that takes longer than the
// time-out is no reason to give up. Who reads more slowly than the minimum rate is cut off.
func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		s := start(t, hello(t), "", "timeouts {\n body = \"1s\"\n min_rate = \"30KB\"\n }", opts...)
		const size = 3_000_000
		for _, kind := range kinds {
			t.Run(kind, func(t *testing.T) {
				t.Run("fast enough", func(t *testing.T) {
					t.Parallel()
					if n := slowly(t, s, fmt.Sprintf(kind, size), 600_000); n < size {
						t.Errorf("cut off after %d bytes", n)
					}
				})
				t.Run("too slow", func(t *testing.T) {
					t.Parallel()
					if n := slowly(t, s, fmt.Sprintf(kind, 100<<20), 3_000); n > 2_000_000 {
						t.Errorf("got %d bytes", n)
					}
				})
			})
		}
		s.free(t)
		if n := s.ended("client_slow") + s.ended("client_timeout"); n != 2 {
			t.Errorf("%v requests ended as too slow, want 2", n)
		}
	})
}

// slowly reads an answer at this many bytes a second, at most until skein has given up, and returns how much came.
func slowly(t *testing.T, s *site, target string, rate int) (n int) {
	t.Helper()
	c := harness.RawSmall(t, s.addr, 4096)
	c.Send("GET " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	b := make([]byte, rate/100)
	r := c.Reader(2 * time.Minute)
	cut := s.ended("client_slow") + s.ended("client_timeout")
	for range tick.C {
		k, err := io.ReadFull(r, b)
		n += k
		if err != nil {
			return n
		}
		// What lies in the buffers of the kernel would take a slow reader minutes.
		if rate < 10_000 && s.ended("client_slow")+s.ended("client_timeout") > cut {
			c.Reset()
			return n
		}
	}
	return n
}
