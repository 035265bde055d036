package distribution

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// Every policy, with equal members and with weights, in requests that come one after the other.
func TestShares(t *testing.T) {
	t.Parallel()
	n := harness.Count(600, 1500, 100_000)
	weighted := map[string]float64{"a": 1, "b": 2, "c": 5}
	for _, test := range []struct {
		policy  string
		exact   bool // shares are kept to within two requests
		heeds   bool // weights
		hashing bool
	}{
		{"round_robin", true, true, false},
		{"random", false, true, false},
		{"random_two", false, true, false},
		{"least_conn", false, true, false},
		{"ip_hash", false, true, true},
		{"hash", false, true, true},
		{"maglev", false, true, true},
	} {
		t.Run(test.policy, func(t *testing.T) {
			t.Parallel()
			// A hash sends each visitor to the same member: there must be many of them.
			head := func(i int) string { return get(i) + fmt.Sprintf("X-Forwarded-For: 10.%d.%d.7\r\n", i/250, i%250) }
			s := start(t, 3, fmt.Sprintf("policy = %q", test.policy))
			who := s.ask(t, n, head)
			compare := func(want map[string]float64) {
				t.Helper()
				got := counts(who)
				if !test.exact {
					spread(t, got, want)
					return
				}
				sum := 0.0
				for _, w := range want {
					sum += w
				}
				for name, w := range want {
					if d := float64(got[name]) - float64(n)*w/sum; d < -2 || d > 2 {
						t.Errorf("%s got %d of %d, want its share of %v", name, got[name], n, want)
					}
				}
			}
			compare(even(3))
			if test.hashing {
				again := s.ask(t, n, head)
				for i := range who {
					if who[i] != again[i] {
						t.Fatalf("visitor %d went to %s and then to %s", i, who[i], again[i])
					}
				}
			}
			if test.heeds {
				s.Reload(s.config(names[:3], fmt.Sprintf("policy = %q\nweights = { a = 1, b = 2, c = 5 }", test.policy)))
				who = s.ask(t, n, head)
				compare(weighted)
			}
		})
	}
}

// Members with unequal service times: least_conn and least_time give the slow one less, round_robin does not.
func TestSlowMember(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"least_conn", "least_time", "random_two"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := start(t, 3, fmt.Sprintf("policy = %q", policy))
			s.origins[0].Delay.Store(int64(40 * time.Millisecond))
			s.origins[1].Delay.Store(int64(4 * time.Millisecond))
			s.origins[2].Delay.Store(int64(4 * time.Millisecond))
			l := harness.Visit(t, s.addr, 9, nil, "GET /")
			l.More(int64(harness.Count(300, 600, 50_000)))
			l.End()
			l.Good(policy)
			slow, quick := s.origins[0].Hits.Load(), (s.origins[1].Hits.Load()+s.origins[2].Hits.Load())/2
			if slow*2 > quick {
				t.Errorf("the slow member got %d requests, the quick ones %d each", slow, quick)
			}
			if slow == 0 {
				t.Error("the slow member got nothing: nobody would notice that it recovers")
			}
		})
	}
}

// first fills its members in their order.
func TestFirst(t *testing.T) {
	t.Parallel()
	s := start(t, 3, "policy = \"first\"\nmax_conns = 2")
	if got := counts(s.ask(t, 100, get)); got["a"] != 100 {
		t.Errorf("one visitor went to %v, want all to a", got)
	}
	for _, o := range s.origins {
		o.Delay.Store(int64(harness.Patience))
	}
	for i := range 5 {
		s.hang(t, get(i))
		harness.Eventually(t, harness.Patience, "the request runs", func() bool {
			n := int64(0)
			for _, o := range s.origins {
				n += o.Active.Load()
			}
			return n == int64(i+1)
		})
	}
	for i, want := range []int64{2, 2, 1} {
		if got := s.origins[i].Active.Load(); got != want {
			t.Errorf("%s works on %d requests, want %d", s.origins[i].Name, got, want)
		}
	}
}

// Each key that a hash can be of: the same value goes to the same member whatever else differs, and values spread.
func TestKeys(t *testing.T) {
	t.Parallel()
	n := harness.Count(300, 500, 20_000)
	for _, test := range []struct{ key, head string }{
		{"client", "GET /%[2]d HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.%[2]d.0.1, 192.0.2.%[1]d\r\n"},
		{"uri", "GET /x%[1]d?%[1]d HTTP/1.1\r\nHost: h\r\nX-Other: %[2]d\r\n"},
		{"host", "GET /%[2]d HTTP/1.1\r\nHost: H%[1]d.example\r\n"},
		{"header:X-User", "GET /%[2]d HTTP/1.1\r\nHost: h\r\nx-user: %[1]d\r\n"},
		{"cookie:user", "GET /%[2]d HTTP/1.1\r\nHost: h\r\nCookie: a=%[2]d; user=%[1]d; b=%[2]d\r\n"},
		{"query:user", "GET /%[2]d?a=%[2]d&user=%[1]d HTTP/1.1\r\nHost: h\r\n"},
	} {
		t.Run(test.key, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []string{"hash", "maglev"} {
				s := start(t, 3, fmt.Sprintf("policy = %q\nkey = %q", policy, test.key))
				const values = 200
				home := map[int]string{}
				head := func(i int) string {
					h := fmt.Sprintf(test.head, i%values, i)
					if test.key == "host" && i >= values { // names of hosts have no case, and a port is not part of them
						h = strings.Replace(h, "H", "h", -1)
						h = strings.Replace(h, ".example", ".example:81", 1)
						h = strings.Replace(h, "hTTP/1.1\r\nhost", "HTTP/1.1\r\nHost", 1)
					}
					return h
				}
				for i, w := range s.ask(t, n, head) {
					if old := home[i%values]; old != "" && old != w {
						t.Fatalf("%s: value %d went to %s and then to %s", policy, i%values, old, w)
					}
					home[i%values] = w
				}
				got := map[string]int{}
				for _, w := range home {
					got[w]++
				}
				spread(t, got, even(3))
			}
		})
	}
}

// When a server leaves, its keys move and the others stay; when it comes back, so do they.
func TestKeysMove(t *testing.T) {
	t.Parallel()
	const n = 1000
	for _, test := range []struct {
		policy  string
		stirred int // of those that could have stayed, at most so many may move
	}{{"hash", 0}, {"ip_hash", 0}, {"maglev", n / 20}} {
		t.Run(test.policy, func(t *testing.T) {
			t.Parallel()
			pool := fmt.Sprintf("policy = %q\n%s", test.policy, check)
			s := start(t, 5, pool)
			head := func(i int) string { return get(i) + fmt.Sprintf("X-Forwarded-For: 10.0.%d.%d\r\n", i/250, i%250) }
			before := s.ask(t, n, head)
			gone := func(what string, after []string) {
				t.Helper()
				moved := 0
				for i := range after {
					if after[i] == "c" {
						t.Fatalf("%s: request %d went to a server that has left", what, i)
					}
					if before[i] != "c" && before[i] != after[i] {
						moved++
					}
				}
				if moved > test.stirred {
					t.Errorf("%s: %d keys of other servers moved, want at most %d", what, moved, test.stirred)
				}
			}
			back := func(what string) {
				t.Helper()
				for i, w := range s.ask(t, n, head) {
					if w != before[i] {
						t.Fatalf("%s: key %d is at %s, was at %s", what, i, w, before[i])
					}
				}
			}
			s.origins[2].Healthy.Store(false)
			s.becomes(t, "c", "down")
			gone("down", s.ask(t, n, head))
			s.origins[2].Healthy.Store(true)
			s.becomes(t, "c", "up")
			back("up again")
			if status, body := s.Post("/api/v1/drain", `{"name": "c"}`); status != 200 {
				t.Fatalf("drain: %d %s", status, body)
			}
			gone("drained", s.ask(t, n, head))
			s.Post("/api/v1/ready", `{"name": "c"}`)
			back("ready again")
			s.Reload(s.config([]string{"a", "b", "d", "e"}, pool))
			gone("removed", s.ask(t, n, head))
			s.Reload(s.config(names, pool))
			back("added again")
		})
	}
}

// A bounded hash leaves no member with more than its bound of the work that runs.
func TestBoundedHash(t *testing.T) {
	t.Parallel()
	s := start(t, 3, "policy = \"hash\"\nkey = \"uri\"\nbounded = 1.5")
	for _, o := range s.origins {
		o.Delay.Store(int64(harness.Patience))
	}
	total := func() (n int64) {
		for _, o := range s.origins {
			n += o.Active.Load()
		}
		return n
	}
	const n = 30
	for i := range n {
		s.hang(t, "GET /same HTTP/1.1\r\nHost: h\r\n")
		harness.Eventually(t, harness.Patience, "the request runs", func() bool { return total() == int64(i+1) })
	}
	for _, o := range s.origins {
		if got := o.Active.Load(); got > n/3*3/2+1 {
			t.Errorf("%s works on %d of %d requests, more than 1.5 times the average", o.Name, got, n)
		}
	}
}
