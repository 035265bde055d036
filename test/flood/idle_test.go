package flood

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

// TestIdleMemory measures what a connection costs that has made ten requests and rests. The bounds are far above what was
// measured; they are there to see a buffer that is kept.
func TestIdleMemory(t *testing.T) {
	if harness.Raced() {
		t.Skip("the race detector's memory says nothing of skein's")
	}
	secure := &tls.Config{InsecureSkipVerify: true}
	for _, test := range []struct {
		name string
		most float64 // KiB
		make func(t *testing.T) http.RoundTripper
	}{
		{"HTTP/2", 60, func(t *testing.T) http.RoundTripper {
			tr := transport2()
			t.Cleanup(tr.CloseIdleConnections)
			return tr
		}},
		{"HTTP/3", 160, func(t *testing.T) http.RoundTripper {
			tr := &http3.Transport{TLSClientConfig: secure, QUICConfig: &quic.Config{HandshakeIdleTimeout: harness.Patience}}
			t.Cleanup(func() { tr.Close() })
			return tr
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t)
			visit := func(n int) {
				for range n {
					v := &visitor{client: &http.Client{Transport: test.make(t), Timeout: harness.Patience}, url: "https://" + s.secure + "/visitor"}
					for range 10 {
						v.ask()
					}
					if v.err != nil {
						t.Fatal(v.err)
					}
				}
			}
			visit(50) // what is there once for all
			live := func() float64 {
				return s.Metric("go_memstats_heap_inuse_bytes") + s.Metric("go_memstats_stack_inuse_bytes")
			}
			heap, resident := live(), s.Memory()
			conns := harness.Count(200, 1000, 5000)
			visit(conns)
			each := func(bytes float64) float64 { return bytes / 1024 / float64(conns) }
			got := each(float64(s.Memory() - resident))
			t.Logf("%d connections: %.1f KiB each resident, %.1f KiB of it heap and stacks, %.1f goroutines", conns, got, each(live()-heap),
				s.Metric("go_goroutines")/float64(conns))
			if open := s.Metric("skein_http_connections"); open < float64(conns) {
				t.Fatalf("%v connections are open, want %d", open, conns)
			}
			if got > test.most {
				t.Errorf("an idle connection costs %.1f KiB, want at most %.0f", got, test.most)
			}
			s.Stop()
		})
	}
}
