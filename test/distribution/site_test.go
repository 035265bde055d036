// Package distribution tests through the real binary whom the work goes to: every policy's shares, keys that stay where they
// are, limits, backups, regions, panic, slow start, sticky visitors and the retry budget.
package distribution

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"skein/test/harness"
)

// site is one skein before origins that say their names.
type site struct {
	*harness.Skein

	addr    string
	origins []*harness.Named
}

var names = []string{"a", "b", "c", "d", "e"}

// start starts a site of n origins with this in its pool.
func start(t *testing.T, n int, pool string, opts ...harness.Option) *site {
	t.Helper()
	s := &site{addr: harness.FreeAddr(t), origins: harness.Names(t, names[:n]...)}
	s.Skein = harness.Start(t, s.config(names[:n], pool), opts...)
	return s
}

// config is a site whose pool has these servers.
func (s *site) config(servers []string, pool string) string {
	var list, members []string
	for _, o := range s.origins {
		list = append(list, fmt.Sprintf("  %s = %q", o.Name, o.Addr))
		if slices.Contains(servers, o.Name) {
			members = append(members, "server."+o.Name)
		}
	}
	return fmt.Sprintf(`
servers = {
%s
}
pool "web" {
  servers = [%s]
  %s
}
http "site" {
  listen          = %q
  pool            = pool.web
  trusted_proxies = ["127.0.0.1"]
}
log {
  access = "json"
}
`, strings.Join(list, "\n"), strings.Join(members, ", "), pool, s.addr)
}

// ask sends n requests over one connection, a batch at a time, and returns who answered each; head makes the head of the i-th
// without its last line end.
func (s *site) ask(t *testing.T, n int, head func(i int) string) (who []string) {
	t.Helper()
	const batch = 50
	c := harness.Raw(t, s.addr)
	defer c.Close()
	for i := 0; i < n; i += batch {
		m := min(batch, n-i)
		var b strings.Builder
		for j := range m {
			b.WriteString(head(i + j))
			b.WriteString("\r\n")
		}
		c.Send(b.String())
		for range m {
			a := c.Answer("GET")
			if a.Status != 200 {
				t.Fatalf("status %d %q", a.Status, a.Body)
			}
			who = append(who, a.Header.Get("X-Origin"))
		}
	}
	return who
}

// hang sends a request that will take long; it is given up at the end of the test, so that skein can stop.
func (s *site) hang(t *testing.T, head string) *harness.Conn {
	t.Helper()
	c := harness.Raw(t, s.addr)
	t.Cleanup(c.Reset)
	c.Send(head + "\r\n")
	return c
}

// get is the head of a plain request.
func get(i int) string { return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: h\r\n", i) }

// counts says how often each name is in a list.
func counts(who []string) map[string]int {
	m := map[string]int{}
	for _, w := range who {
		m[w]++
	}
	return m
}

// spread fails the test unless the counts fit the weights by Pearson's chi-square test. The bound is of a probability far
// below one in a million for up to five members, so that chance alone fails no test.
func spread(t *testing.T, got map[string]int, weights map[string]float64) {
	t.Helper()
	const bound = 40
	n, sum := 0, 0.0
	for _, c := range got {
		n += c
	}
	for _, w := range weights {
		sum += w
	}
	x := 0.0
	for name, w := range weights {
		want := float64(n) * w / sum
		x += math.Pow(float64(got[name])-want, 2) / want
	}
	for name := range got {
		if weights[name] == 0 {
			t.Errorf("%d requests went to %s, want none", got[name], name)
		}
	}
	if x > bound {
		t.Errorf("counts %v do not fit the weights %v: chi-square %.1f", got, weights, x)
	}
}

// even are equal weights of the first n origins.
func even(n int) map[string]float64 {
	m := map[string]float64{}
	for _, name := range names[:n] {
		m[name] = 1
	}
	return m
}

// status is what the tests look at of a status.
type status struct {
	Pools []struct {
		Panic   bool `json:"panic"`
		Spilled bool `json:"spilled"`
		Queued  int  `json:"queued"`
		Members []struct {
			Server    string  `json:"server"`
			State     string  `json:"state"`
			Effective float64 `json:"effective_weight"`
			Active    int     `json:"active"`
		} `json:"members"`
	} `json:"pools"`
}

func (s *site) status(t *testing.T) status {
	t.Helper()
	var v status
	if err := json.Unmarshal([]byte(s.Admin("/api/v1/status")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// becomes waits until the first pool's member has the state.
func (s *site) becomes(t *testing.T, server, state string) {
	t.Helper()
	last := ""
	if !harness.Soon(harness.Patience, func() bool {
		for _, m := range s.status(t).Pools[0].Members {
			if m.Server == server {
				last = m.State
			}
		}
		return last == state
	}) {
		t.Fatalf("%s is %s, want %s", server, last, state)
	}
}

// check is an active check that soon sees a change, and that a busy machine does not fail: then a member would go that nobody
// has told to.
const check = `check {
    http    = "/up"
    every   = "2s"
    fast    = "50ms"
    timeout = "2s"
    rise    = 1
    fall    = 1
  }`
