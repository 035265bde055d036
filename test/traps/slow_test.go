package traps

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"skein/test/harness"
)

// blockSize is what the large answer is written in, and repeats with a number of its own.
const (
	blockSize = 64 << 10
	blocks    = 800 // 50 MiB
)

// block is the i-th part of the large answer.
func block(b []byte, i int) {
	for j := range b {
		b[j] = byte(i + j + j>>8)
	}
}

// large is an origin whose answer is 50 MiB, by length or in chunks.
type large struct{ written atomic.Int64 }

func (l *large) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/length" {
		w.Header().Set("Content-Length", fmt.Sprint(blockSize*blocks))
	}
	b := make([]byte, blockSize)
	for i := range blocks {
		block(b, i)
		n, err := w.Write(b)
		l.written.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// A client whose window is small and who reads late gets every byte, and skein holds back the origin instead of taking the
// answer into its memory.
func TestSlowReader(t *testing.T) {
	sum := sha256.New()
	b := make([]byte, blockSize)
	for i := range blocks {
		block(b, i)
		sum.Write(b)
	}
	want := string(sum.Sum(nil))
	both(t, func(t *testing.T, opts ...harness.Option) {
		origin := new(large)
		addr := harness.FreeAddr(t)
		s := harness.Start(t, config(addr, harness.NetHTTP(t, origin), ""), opts...)
		harness.Fetch(t, addr, "/length") // warm
		before := s.Memory()
		origin.written.Store(0)
		var conns []*harness.Conn
		for _, target := range []string{"/length", "/chunked"} {
			c := harness.RawSmall(t, addr, 16<<10)
			c.Send(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", target))
			conns = append(conns, c)
		}
		// Nobody reads: the flow must come to a standstill.
		still(t, &origin.written)
		// What has been written waits in the kernel's buffers, which grow to some MiB for each of the two connections.
		if n := origin.written.Load(); n > 2*blocks*blockSize*3/4 {
			t.Errorf("%d bytes were taken from the origin for clients that read nothing", n)
		}
		if grown := s.Memory() - before; grown > 32<<20 {
			t.Errorf("memory grew by %d bytes for 2 slow readers", grown)
		}
		for i, c := range conns {
			resp, err := http.ReadResponse(bufferOf(c, 2*time.Minute), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := sha256.New()
			n, err := io.CopyBuffer(got, struct{ io.Reader }{resp.Body}, make([]byte, 5000))
			if err != nil || n != blockSize*blocks || string(got.Sum(nil)) != want {
				t.Errorf("reader %d got %d bytes (%v), same = %v", i, n, err, string(got.Sum(nil)) == want)
			}
		}
	})
}

// still waits until a counter has not moved for a while.
func still(t *testing.T, n *atomic.Int64) {
	t.Helper()
	last, since := n.Load(), time.Now()
	harness.Eventually(t, harness.Patience, "the flow stops", func() bool {
		if now := n.Load(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 300*time.Millisecond
	})
}

// Many pipelined requests of one who does not read their answers.
func TestSlowPipeliner(t *testing.T) {
	both(t, func(t *testing.T, opts ...harness.Option) {
		body := make([]byte, 100_000)
		var served atomic.Int64
		addr := harness.FreeAddr(t)
		s := harness.Start(t, config(addr, harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			served.Add(1)
			w.Write(body)
		})), ""), opts...)
		harness.Fetch(t, addr, "/")
		before := s.Memory()
		c := harness.RawSmall(t, addr, 16<<10)
		const n = 500
		for range n {
			c.Send(request)
		}
		still(t, &served)
		if k := served.Load(); k > n/2 {
			t.Errorf("%d of %d requests were served for a client that reads nothing", k, n)
		}
		if grown := s.Memory() - before; grown > 32<<20 {
			t.Errorf("memory grew by %d bytes", grown)
		}
		for i := range n {
			if a := c.Answer("GET"); a.Status != 200 || len(a.Body) != len(body) || a.Err != nil {
				t.Fatalf("answer %d = %d, %d bytes, %v", i, a.Status, len(a.Body), a.Err)
			}
		}
	})
}

// bufferOf is the client's stream under one deadline.
func bufferOf(c *harness.Conn, within time.Duration) *bufio.Reader {
	return bufio.NewReader(c.Reader(within))
}
