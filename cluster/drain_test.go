package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"

	"skein/pool"
)

func TestLast(t *testing.T) {
	for _, c := range []struct {
		name    string
		pools   []string
		panicAt float64
		sick    string // members with an ejection
		off     string // members already drained
		servers string
		want    string // the pools; empty is none
	}{
		{"one of two", []string{"web: a b"}, 0, "", "", "a", ""},
		{"both", []string{"web: a b"}, 0, "", "", "a b", `"web"`},
		{"the other is sick", []string{"web: a b"}, 0, "b", "", "a", `"web"`},
		{"the sick one", []string{"web: a b"}, 0, "b", "", "b", ""},
		{"the other is drained", []string{"web: a b"}, 0, "", "b", "a", `"web"`},
		{"a backup is left", []string{"web: a b+"}, 0, "", "", "a", ""},
		{"the backup is sick", []string{"web: a b+"}, 0, "b", "", "a", `"web"`},
		{"nothing was usable", []string{"web: a b"}, 0, "a b", "", "a b", ""},
		{"second pool", []string{"web: a b", "api: a"}, 0, "", "", "a", `"api"`},
		{"two pools", []string{"web: a", "api: a"}, 0, "", "", "a", `"web", "api"`},
		{"unknown server", []string{"web: a"}, 0, "", "", "z", ""},
		{"panic, one of two", []string{"web: a b"}, 0.5, "a b", "", "a", ""},
		{"panic, both", []string{"web: a b"}, 0.5, "a b", "", "a b", `"web"`},
		{"the healthy one, although the pool would panic", []string{"web: a b"}, 0.5, "b", "", "a", `"web"`},
		{"drained again", []string{"web: a"}, 0, "", "a", "a", ""},
	} {
		set := newSet(t, pool.Options{}, c.pools...)
		for _, p := range set.Pools() {
			p.Config().Panic = c.panicAt
			now := time.Now()
			for r, servers := range map[pool.Reason]string{pool.Ejected: c.sick, pool.Drained: c.off} {
				p.SetMany(r, now, func(m *pool.Member) bool { return strings.Contains(servers, m.Server) })
			}
		}
		err := Last(set, strings.Fields(c.servers))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: Last(%s) = %v, want nil", c.name, c.servers, err)
		case c.want != "" && (!errors.Is(err, ErrLast) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: Last(%s) = %v, want %v of %s", c.name, c.servers, err, ErrLast, c.want)
		}
	}
}
