package http3

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"skein/test/harness"
)

// Clients that come and go, politely or not, leave nothing behind.
func TestNothingIsLeft(t *testing.T) {
	s := start(t, "", "")
	visit := func(n int) {
		for i := range n {
			c := s.client()
			get(t, c, "/bytes?n=20000")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			q, _ := http.NewRequestWithContext(ctx, "POST", url("/hang"), io.LimitReader(pattern{}, int64(i)<<12))
			if r, err := c.Do(q); err == nil {
				r.Body.Close()
			}
			cancel()
			c.CloseIdleConnections()
			c.Transport.(io.Closer).Close()
		}
		harness.Eventually(t, harness.Patience, "all are gone", func() bool { n := status(t, s); return n.Connections == 0 && n.InFlight == 0 })
	}
	visit(5)
	before := s.Usage()
	visit(harness.Count(20, 60, 1000))
	s.Settles(before)
}
