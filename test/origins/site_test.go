// Package origins tests how members are spoken to: TLS with real origins, HTTP/2, and the PROXY protocol with real balancers
// before and behind. All of it against the real binary.
package origins

import (
	"fmt"
	"strings"
	"testing"

	"skein/test/harness"
)

// site is one skein before one origin.
type site struct {
	*harness.Skein

	addr, origin string
}

// newSite starts skein; more goes into the pool.
func newSite(t *testing.T, origin, more string, opts ...harness.Option) *site {
	t.Helper()
	s := &site{addr: harness.FreeAddr(t), origin: origin}
	s.Skein = harness.Start(t, s.config(more), opts...)
	return s
}

func (s *site) config(more string) string { return config(s.addr, s.origin, more, "") }

// config is a site with one member; pool goes into its pool and http into its http block.
func config(addr, origin, pool, http string) string {
	return fmt.Sprintf("pool \"web\" {\n  servers = [%q]\n%s\n}\nhttp \"site\" {\n  listen = %q\n  pool   = pool.web\n%s\n}\n", origin, pool, addr, http)
}

// both runs a test on the fast path and on the plain path.
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

// nginxOn starts nginx with a second listener, whose parameters are given ("ssl http2"), and returns its address.
func nginxOn(t *testing.T, parameters, server string) (*harness.Program, string) {
	t.Helper()
	addr := harness.FreeAddr(t)
	return harness.Nginx(t, fmt.Sprintf("    listen %s %s;\n%s", addr, parameters, server)), addr
}

// lines counts the lines of skein's log that contain all of the words.
func (s *site) lines(words ...string) int {
	n := 0
next:
	for line := range strings.Lines(s.Log()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		n++
	}
	return n
}
