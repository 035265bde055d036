package site

import (
	"encoding/json"
	"testing"

	"skein/test/harness"
)

// memberState finds the state of a pool's member in the output of skein status --json.
func memberState(status, pool, server string) string {
	var v struct {
		Pools []struct {
			Name    string `json:"name"`
			Members []struct {
				Server string `json:"server"`
				State  string `json:"state"`
			} `json:"members"`
		} `json:"pools"`
	}
	if json.Unmarshal([]byte(status), &v) != nil {
		return "no status"
	}
	for _, p := range v.Pools {
		for _, m := range p.Members {
			if p.Name == pool && m.Server == server {
				return m.State
			}
		}
	}
	return "absent"
}

// Servers die, hang, are drained and come back while visitors come all the time.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, path := range []struct {
		name string
		opts []harness.Option
	}{{"fast", nil}, {"plain", []harness.Option{harness.Plain()}}} {
		t.Run(path.name, func(t *testing.T) { faults(t, newSite(t, path.opts...)) })
	}
}

func faults(t *testing.T, s *site) {
	t.Helper()
	warm(t, s)
	before := s.Usage()
	l := harness.Visit(t, s.addr, visitors, good, pages...)
	l.More(100)
	l.Good("warm")
	for round := range harness.Count(1, 2, 200) {
		i := round % len(s.origins)
		victim, name := s.origins[i], s.names[i]

		victim.Kill()
		harness.Eventually(t, harness.Patience, name+" is out", func() bool { return s.state(name) != "up" })
		l.More(50)
		survived(t, l, "kill -9 of "+name)
		victim.Start()
		harness.Eventually(t, harness.Patience, name+" is back", func() bool { return s.state(name) == "up" })
		l.More(50)
		survived(t, l, name+" is back")

		victim.Freeze()
		harness.Eventually(t, harness.Patience, name+" is out", func() bool { return s.state(name) != "up" })
		l.More(50)
		victim.Thaw()
		harness.Eventually(t, harness.Patience, name+" is back", func() bool { return s.state(name) == "up" })
		l.More(50)
		survived(t, l, "SIGSTOP of "+name)

		if out, code := s.Command("drain", name, "--wait"); code != 0 {
			t.Fatalf("drain: %d %s", code, out)
		}
		if got := s.state(name); got != "drained" {
			t.Errorf("%s is %s after drain --wait", name, got)
		}
		had := s.Metric("skein_pool_member_requests_total", `pool="web"`, `server="`+name+`"`)
		l.More(50)
		if now := s.Metric("skein_pool_member_requests_total", `pool="web"`, `server="`+name+`"`); now != had {
			t.Errorf("%v requests went to a drained server", now-had)
		}
		if out, code := s.Command("ready", name); code != 0 {
			t.Fatalf("ready: %d %s", code, out)
		}
		harness.Eventually(t, harness.Patience, name+" gets work", func() bool {
			return s.Metric("skein_pool_member_requests_total", `pool="web"`, `server="`+name+`"`) > had
		})
		l.Good("drain and ready") // nothing may fail here, POSTs neither
	}
	l.End()
	settles(t, s, before)
}
