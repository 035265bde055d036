package distribution

import (
	"fmt"
	"strings"
	"testing"

	"skein/test/harness"
)

// Backups work only when none of the others can.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := start(t, 3, "")
	s.Reload(s.config(names[:2], "backup = [server.c]\n"+check))
	spread(t, counts(s.ask(t, 200, get)), map[string]float64{"a": 1, "b": 1})
	s.origins[0].Healthy.Store(false)
	s.becomes(t, "a", "down")
	spread(t, counts(s.ask(t, 100, get)), map[string]float64{"b": 1})
	s.origins[1].Healthy.Store(false)
	s.becomes(t, "b", "down")
	s.becomes(t, "c", "up")
	spread(t, counts(s.ask(t, 100, get)), map[string]float64{"c": 1})
	s.origins[0].Healthy.Store(true)
	s.becomes(t, "a", "up")
	spread(t, counts(s.ask(t, 100, get)), map[string]float64{"a": 1})
}

// When too few members are healthy, health is ignored; drained ones do not count and are never used.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := start(t, 5, "panic = \"50%\"\n"+check)
	for _, o := range s.origins[:2] {
		o.Healthy.Store(false)
		s.becomes(t, o.Name, "down")
	}
	spread(t, counts(s.ask(t, 300, get)), map[string]float64{"c": 1, "d": 1, "e": 1})
	s.origins[2].Healthy.Store(false)
	s.becomes(t, "c", "down")
	if !s.status(t).Pools[0].Panic {
		t.Error("two of five are healthy and there is no panic at 50%")
	}
	spread(t, counts(s.ask(t, 300, get)), even(5))
	for _, name := range []string{"a", "b"} {
		if status, body := s.Post("/api/v1/drain", fmt.Sprintf(`{"name": %q}`, name)); status != 200 {
			t.Fatalf("drain: %d %s", status, body)
		}
	}
	if s.status(t).Pools[0].Panic {
		t.Error("two of the three that are not drained are healthy: no reason to panic")
	}
	spread(t, counts(s.ask(t, 200, get)), map[string]float64{"d": 1, "e": 1})
}

// The own region comes first; others help when too few of it are healthy.
func TestRegions(t *testing.T) {
	t.Parallel()
	s := &site{addr: harness.FreeAddr(t), origins: harness.Names(t, names[:4]...)}
	file := func(spill string) string {
		o := s.origins
		return fmt.Sprintf(`
region "here" {
  servers = {
    lb = "127.0.0.1"
    a  = %q
    b  = %q
  }
}
region "there" {
  servers = {
    c = %q
    d = %q
  }
}
pool "web" {
  servers = [server.a, server.b, server.c, server.d]
  spill   = %q
  %s
}
http "site" {
  listen = %q
  nodes  = [region.here]
  pool   = pool.web
}
`, o[0].Addr, o[1].Addr, o[2].Addr, o[3].Addr, spill, check, s.addr)
	}
	s.Skein = harness.Start(t, file("50%"), harness.Args("--name", "lb"))
	spread(t, counts(s.ask(t, 200, get)), map[string]float64{"a": 1, "b": 1})
	s.origins[0].Healthy.Store(false)
	s.becomes(t, "a", "down")
	spread(t, counts(s.ask(t, 100, get)), map[string]float64{"b": 1})
	s.Reload(file("60%"))
	spread(t, counts(s.ask(t, 300, get)), map[string]float64{"b": 1, "c": 1, "d": 1})
	if !s.status(t).Pools[0].Spilled {
		t.Error("the status does not say that other regions help")
	}
	s.Reload(file("50%"))
	s.origins[1].Healthy.Store(false)
	s.becomes(t, "b", "down")
	spread(t, counts(s.ask(t, 200, get)), map[string]float64{"c": 1, "d": 1})
	s.origins[0].Healthy.Store(true)
	s.becomes(t, "a", "up")
	spread(t, counts(s.ask(t, 100, get)), map[string]float64{"a": 1})
}

// A member that recovers gets its share step by step.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	s := start(t, 2, "slow_start = \"4s\"\nweights = { a = 100, b = 100 }\n"+check)
	spread(t, counts(s.ask(t, 200, get)), even(2)) // never at the start: all would be slow
	s.origins[1].Healthy.Store(false)
	s.becomes(t, "b", "down")
	s.origins[1].Healthy.Store(true)
	s.becomes(t, "b", "up")
	if got := counts(s.ask(t, 100, get)); got["b"] > 40 {
		t.Errorf("the member got %d of 100 requests as soon as it had recovered", got["b"])
	}
	var steps []float64
	harness.Eventually(t, harness.Patience, "the slow start ends", func() bool {
		for _, m := range s.status(t).Pools[0].Members {
			if m.Server == "b" && (len(steps) == 0 || steps[len(steps)-1] != m.Effective) {
				steps = append(steps, m.Effective)
			}
		}
		return steps[len(steps)-1] == 100
	})
	for i := 1; i < len(steps); i++ {
		if steps[i] < steps[i-1] {
			t.Errorf("weights %v do not rise", steps)
		}
	}
	if len(steps) < 3 || steps[0] > 50 {
		t.Errorf("weights were %v, want a ramp", steps)
	}
	spread(t, counts(s.ask(t, 200, get)), even(2))
}

// A sticky visitor stays with his member, gets another when it is drained or dead, and a cookie that says so.
func TestSticky(t *testing.T) {
	t.Parallel()
	s := start(t, 3, "sticky {\n cookie = \"visit\"\n max_age = \"1h\"\n }")
	c := harness.Raw(t, s.addr)
	visit := func(cookie string) (who, set string) {
		t.Helper()
		c.Send("GET / HTTP/1.1\r\nHost: h\r\nCookie: other=1; visit=" + cookie + "\r\n\r\n")
		a := c.Answer("GET")
		if a.Status != 200 {
			t.Fatalf("status %d", a.Status)
		}
		set = a.Header.Get("Set-Cookie")
		if set != "" && (!strings.HasPrefix(set, "visit=") || !strings.Contains(set, "; Max-Age=3600")) {
			t.Errorf("Set-Cookie: %s", set)
		}
		set, _, _ = strings.Cut(strings.TrimPrefix(set, "visit="), ";")
		return a.Header.Get("X-Origin"), set
	}
	home, cookie := visit("no-such")
	if cookie == "" {
		t.Fatal("the visitor got no cookie")
	}
	stays := func(what, cookie, home string) {
		t.Helper()
		for range 30 {
			if who, set := visit(cookie); who != home || set != "" {
				t.Fatalf("%s: the visitor of %s went to %s and got the cookie %q", what, home, who, set)
			}
		}
	}
	stays("kept", cookie, home)
	s.Reload(s.config(names[:3], "sticky {\n cookie = \"visit\"\n max_age = \"1h\"\n }\n keepalive = 10"))
	stays("after a reload", cookie, home)

	s.Post("/api/v1/drain", fmt.Sprintf(`{"name": %q}`, home))
	second, replaced := visit(cookie)
	if second == home || replaced == "" || replaced == cookie {
		t.Fatalf("drained: the visitor went to %s with the cookie %q", second, replaced)
	}
	stays("replaced", replaced, second)
	s.Post("/api/v1/ready", fmt.Sprintf(`{"name": %q}`, home))
	stays("ready again", replaced, second)

	for _, o := range s.origins {
		if o.Name == second {
			o.Down()
		}
	}
	third, replaced := visit(replaced)
	if third == second || replaced == "" {
		t.Fatalf("dead: the visitor went to %s with the cookie %q", third, replaced)
	}
	stays("after the death", replaced, third)
}
