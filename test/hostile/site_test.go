// Package hostile tests clients and origins that are slow, greedy, broken or malicious: memory and time stay bounded, each gets
// the right status, and everybody else notices nothing.
package hostile

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"skein/test/harness"
)

// site is one skein before one origin.
type site struct {
	*harness.Skein

	addr string
}

// both runs a test on the fast path and on the plain one, at the same time.
func both(t *testing.T, test func(t *testing.T, opts ...harness.Option)) {
	t.Parallel()
	t.Run("fast", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		test(t, harness.Plain())
	})
}

// start starts a site with this in its pool and in its http block.
func start(t *testing.T, origin, pool, block string, opts ...harness.Option) *site {
	t.Helper()
	addr := harness.FreeAddr(t)
	return &site{harness.Start(t, config(addr, origin, pool, block), opts...), addr}
}

func config(addr, origin, pool, block string) string {
	return fmt.Sprintf(`
pool "web" {
  servers = [%q]
  %s
}
http "site" {
  listen = %q
  pool   = pool.web
  %s
}
log {
  access = "json"
}
`, origin, pool, addr, block)
}

// hello is an origin of small answers, and of large ones: /bytes?n=1000, with chunked=1 in chunks. It reads all it is sent.
func hello(t *testing.T) string {
	t.Helper()
	return harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil {
			io.WriteString(w, "hello")
			return
		}
		if r.FormValue("chunked") == "" {
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		b := make([]byte, 64<<10)
		for n > 0 {
			k, err := w.Write(b[:min(n, int64(len(b)))])
			n -= int64(k)
			if err != nil {
				return
			}
		}
	}))
}

// fine fails the test unless another client is served at once.
func (s *site) fine(t *testing.T) {
	t.Helper()
	began := time.Now()
	if a := harness.Fetch(t, s.addr, "/"); a.Status != 200 || a.Body != "hello" {
		t.Errorf("another client got %d %q", a.Status, a.Body)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("another client waited %v", took)
	}
}

// ended is how many requests have ended by this cause.
func (s *site) ended(cause string) float64 {
	return s.Metric("skein_http_ended_total", `cause="`+cause+`"`)
}

// endedBy waits until a request has ended by this cause.
func (s *site) endedBy(t *testing.T, cause string, n float64) {
	t.Helper()
	if !harness.Soon(harness.Patience, func() bool { return s.ended(cause) >= n }) {
		t.Errorf("%v requests ended by %q, want %v", s.ended(cause), cause, n)
	}
}

// free waits until no member works any more.
func (s *site) free(t *testing.T) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "the member is free", func() bool {
		return s.Metric("skein_pool_member_active") == 0 && s.Metric("skein_http_active") == 0
	})
}
