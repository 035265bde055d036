package health

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	// Results + and -, and after each the verdict: U is up, D is down, small letters while it is changing.
	for _, c := range []struct {
		rise, fall    int
		results, want string
	}{
		{2, 3, "+", "U"},
		{2, 3, "-", "D"},
		{5, 5, "-+++++", "DddddU"},
		{2, 3, "+---", "UuuD"},
		{2, 3, "+--+---", "UuuUuuD"},
		{2, 3, "-+-++", "DdDdU"},
		{1, 1, "+-+-", "UDUD"},
		{1, 3, "-+--+---", "DUuuUuuD"},
		{3, 1, "+-++-+++", "UDddDddU"},
	} {
		j := judge{up: true}
		got := ""
		for _, r := range c.results {
			was := j.up
			if changed := j.observe(r == '+', c.rise, c.fall); changed != (was != j.up) {
				t.Errorf("observe(%c) after %q = %v, want %v", r, got, changed, was != j.up)
			}
			s := map[bool]string{true: "U", false: "D"}[j.up]
			if j.run > 0 {
				s = map[bool]string{true: "u", false: "d"}[j.up]
			}
			got += s
		}
		if got != c.want {
			t.Errorf("rise %d, fall %d: %s = %s, want %s", c.rise, c.fall, c.results, got, c.want)
		}
	}
}

func TestInterval(t *testing.T) {
	for _, c := range []struct {
		name   string
		judge  judge
		jitter float64
		random float64
		want   time.Duration
	}{
		{"settled up", judge{up: true, known: true}, 0, 0.9, 2 * time.Second},
		{"settled down", judge{known: true}, 0, 0.9, 2 * time.Second},
		{"no result yet", judge{up: true}, 0, 0, 500 * time.Millisecond},
		{"falling", judge{up: true, known: true, run: 1}, 0, 0, 500 * time.Millisecond},
		{"rising", judge{known: true, run: 1}, 0, 0, 500 * time.Millisecond},
		{"shortest", judge{known: true}, 0.1, 0, 1800 * time.Millisecond},
		{"middle", judge{known: true}, 0.1, 0.5, 2 * time.Second},
		{"nearly longest", judge{known: true}, 0.1, 0.75, 2100 * time.Millisecond},
		{"fast with jitter", judge{known: true, run: 1}, 0.5, 0, 250 * time.Millisecond},
		{"all jitter", judge{known: true}, 1, 0, 0},
	} {
		cfg := httpCheck()
		cfg.JitterShare = c.jitter
		if got := c.judge.interval(cfg, c.random); got != c.want {
			t.Errorf("%s: interval() = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		i, n  int
		every time.Duration
		want  time.Duration
	}{
		{0, 1, 2 * time.Second, 0},
		{31, 32, 2 * time.Second, 0},
		{31, 1000, 2 * time.Second, 0},
		{32, 33, 2 * time.Second, 5 * ms},
		{131, 132, 2 * time.Second, 500 * ms},
		{32, 1000, 2 * time.Second, 2 * time.Second / 969},
		{999, 1000, 2 * time.Second, 2 * time.Second * 968 / 969},
		{999, 1000, time.Minute, 968 * 5 * ms},
		{9999, 10000, 0, 0},
	} {
		if got := spread(c.i, c.n, c.every); got != c.want {
			t.Errorf("spread(%d, %d, %v) = %v, want %v", c.i, c.n, c.every, got, c.want)
		}
	}
}
