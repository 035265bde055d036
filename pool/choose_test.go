package pool

import (
	"testing"

	"skein/config"
)

func TestChoose(t *testing.T) {
	// A member is name, region and state: h healthy, u unhealthy, e ejected, d drained, b drained and unhealthy; a state in
	// capitals is a backup's.
	type members []struct{ name, region, state string }
	for _, tt := range []struct {
		name    string
		c       config.Pool
		region  string
		members members
		want    string
		panic   bool
		spilled bool
	}{
		{name: "all healthy", members: members{{"a", "", "h"}, {"b", "", "h"}}, want: " a b"},
		{name: "each reason takes a member out", members: members{{"a", "", "u"}, {"b", "", "e"}, {"c", "", "d"}, {"d", "", "h"}}, want: " d"},
		{name: "none left without a panic threshold", members: members{{"a", "", "u"}, {"b", "", "e"}}, want: ""},
		{name: "all drained", c: config.Pool{Panic: 0.5}, members: members{{"a", "", "d"}, {"b", "", "b"}}, want: ""},
		{name: "backups rest", members: members{{"a", "", "h"}, {"b", "", "H"}}, want: " a"},
		{name: "backups help when all others are down", members: members{{"a", "", "u"}, {"b", "", "H"}, {"c", "", "U"}}, want: " b"},
		{name: "backups help when all others are drained", members: members{{"a", "", "d"}, {"b", "", "H"}}, want: " b"},
		{name: "backups only", members: members{{"a", "", "H"}, {"b", "", "H"}}, want: " a b"},
		{
			name: "panic: below the threshold all are used", c: config.Pool{Panic: 0.5}, panic: true,
			members: members{{"a", "", "u"}, {"b", "", "e"}, {"c", "", "h"}}, want: " a b c",
		},
		{name: "no panic at the threshold", c: config.Pool{Panic: 0.5}, members: members{{"a", "", "u"}, {"b", "", "h"}}, want: " b"},
		{
			name: "panic: drained ones stay out", c: config.Pool{Panic: 0.5}, panic: true,
			members: members{{"a", "", "u"}, {"b", "", "b"}, {"c", "", "d"}}, want: " a",
		},
		{
			name: "drained ones do not count in the panic threshold", c: config.Pool{Panic: 0.5},
			members: members{{"a", "", "d"}, {"b", "", "d"}, {"c", "", "d"}, {"d", "", "h"}}, want: " d",
		},
		{
			name: "a healthy backup comes before a panic", c: config.Pool{Panic: 0.5},
			members: members{{"a", "", "u"}, {"b", "", "u"}, {"c", "", "u"}, {"d", "", "H"}}, want: " d",
		},
		{
			name: "panic before backups while one other is healthy", c: config.Pool{Panic: 0.5}, panic: true,
			members: members{{"a", "", "u"}, {"b", "", "u"}, {"c", "", "h"}, {"d", "", "H"}}, want: " a b c",
		},
		{
			name: "panic: sick backups rest while others are there", c: config.Pool{Panic: 0.5}, panic: true,
			members: members{{"a", "", "u"}, {"b", "", "U"}}, want: " a",
		},
		{
			name: "panic among backups", c: config.Pool{Panic: 0.5}, panic: true,
			members: members{{"a", "", "d"}, {"b", "", "U"}, {"c", "", "U"}}, want: " b c",
		},
		{
			name: "own region", c: config.Pool{LocalFirst: true, Spill: 0.5}, region: "x",
			members: members{{"a", "x", "h"}, {"b", "y", "h"}, {"c", "x", "u"}}, want: " a",
		},
		{
			name: "own region too weak", c: config.Pool{LocalFirst: true, Spill: 0.7}, region: "x", spilled: true,
			members: members{{"a", "x", "h"}, {"b", "y", "h"}, {"c", "x", "u"}}, want: " a b",
		},
		{
			name: "own region down, spill 0", c: config.Pool{LocalFirst: true}, region: "x", spilled: true,
			members: members{{"a", "x", "u"}, {"b", "y", "h"}}, want: " b",
		},
		{
			name: "drained ones of the own region do not count", c: config.Pool{LocalFirst: true, Spill: 0.7}, region: "x",
			members: members{{"a", "x", "h"}, {"b", "y", "h"}, {"c", "x", "d"}}, want: " a",
		},
		{
			name: "nobody in the own region", c: config.Pool{LocalFirst: true, Spill: 0.7}, region: "x",
			members: members{{"a", "y", "h"}, {"b", "z", "h"}}, want: " a b",
		},
		{
			name: "everybody in the own region", c: config.Pool{LocalFirst: true, Spill: 1}, region: "x",
			members: members{{"a", "x", "h"}, {"b", "x", "u"}}, want: " a",
		},
		{name: "a node without a region", c: config.Pool{LocalFirst: true}, members: members{{"a", "x", "h"}, {"b", "y", "h"}}, want: " a b"},
		{
			name: "other regions before own backups", c: config.Pool{LocalFirst: true}, region: "x", spilled: true,
			members: members{{"a", "x", "u"}, {"b", "x", "H"}, {"c", "y", "h"}}, want: " c",
		},
		{
			name: "own backups before those elsewhere", c: config.Pool{LocalFirst: true}, region: "x",
			members: members{{"a", "x", "u"}, {"b", "x", "H"}, {"c", "y", "H"}}, want: " b",
		},
		{
			name: "panic does not hold on to a region that is down", c: config.Pool{LocalFirst: true, Panic: 0.5}, region: "x",
			panic: true, spilled: true,
			members: members{{"a", "x", "u"}, {"b", "x", "u"}, {"c", "y", "h"}}, want: " a b c",
		},
		{
			name: "panic within a region that is well enough", c: config.Pool{LocalFirst: true, Panic: 0.7, Spill: 0.5}, region: "x",
			panic: true, members: members{{"a", "x", "h"}, {"b", "x", "u"}, {"c", "y", "u"}}, want: " a b",
		},
	} {
		var ms []*Member
		for _, m := range tt.members {
			r := map[string]Reason{"h": 0, "u": Unhealthy, "e": Ejected, "d": Drained, "b": Drained | Unhealthy, "H": 0, "U": Unhealthy}
			x := &Member{Server: m.name, region: m.region, backup: m.state < "a"}
			x.reasons.Store(uint32(r[m.state]))
			ms = append(ms, x)
		}
		s := choose(ms, &tt.c, tt.region)
		if got := names(s.usable); got != tt.want || s.panic != tt.panic || s.spilled != tt.spilled {
			t.Errorf("%s: choose = %q, panic %v, spilled %v; want %q, %v, %v", tt.name, got, s.panic, s.spilled, tt.want, tt.panic, tt.spilled)
		}
	}
}
