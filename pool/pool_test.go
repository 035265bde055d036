package pool

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/config"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestReasonString(t *testing.T) {
	for r, want := range map[Reason]string{
		0: "", Drained: "drained", Unhealthy | Drained: "unhealthy,drained", Unhealthy | Ejected | Drained: "unhealthy,ejected,drained",
	} {
		if got := r.String(); got != want {
			t.Errorf("Reason(%d).String() = %q, want %q", uint32(r), got, want)
		}
	}
}

// A member is usable when its last reason goes, whichever that is.
func TestSet(t *testing.T) {
	p, _ := newPool(t, conf(2))
	m := p.Members()[0]
	for _, tt := range []struct {
		r       Reason
		on      bool
		changed bool
		want    string
	}{
		{Unhealthy, true, true, "unhealthy"},
		{Unhealthy, true, false, "unhealthy"},
		{Drained, true, true, "unhealthy,drained"},
		{Unhealthy, false, true, "drained"},
		{Ejected, false, false, "drained"},
		{Drained, false, true, ""},
	} {
		if got := p.Set(m, tt.r, tt.on, noon); got != tt.changed {
			t.Errorf("Set(%v, %v) = %v, want %v", tt.r, tt.on, got, tt.changed)
		}
		used := " web2"
		if tt.want == "" {
			used = " web1 web2"
		}
		if got := names(p.Usable()); m.Reasons().String() != tt.want || m.Usable() != (tt.want == "") || got != used {
			t.Errorf("after Set(%v, %v): %q, usable%s; want %q, usable%s", tt.r, tt.on, m.Reasons(), got, tt.want, used)
		}
	}
}

func TestSetMany(t *testing.T) {
	p, pol := newPool(t, conf(4))
	builds := pol.builds.Load()
	changed := p.SetMany(Drained, noon, func(m *Member) bool { return m.Server == "web2" || m.Server == "web3" })
	if got := names(changed); got != " web2 web3" || names(p.Usable()) != " web1 web4" {
		t.Errorf("changed%s, usable%s", got, names(p.Usable()))
	}
	changed = p.SetMany(Drained, noon, func(m *Member) bool { return m.Server == "web3" })
	if got := names(changed); got != " web2" || names(p.Usable()) != " web1 web2 web4" {
		t.Errorf("changed%s, usable%s", got, names(p.Usable()))
	}
	if changed := p.SetMany(Drained, noon, func(m *Member) bool { return m.Server == "web3" }); changed != nil {
		t.Errorf("nothing new: changed%s", names(changed))
	}
	if n := pol.builds.Load() - builds; n != 2 {
		t.Errorf("%d builds for two changes of many", n)
	}
}

func TestStates(t *testing.T) {
	c := conf(3)
	c.Members[0].Weight = 5
	c.Members[1].Backup = true
	c.Members[2].Server.Region = "x"
	p, _ := newPool(t, c)
	p.Set(p.Members()[2], Unhealthy, true, noon)
	type state struct {
		Server            string
		Weight, Effective int
		Backup            bool
		Region            string
		InUse             bool
	}
	var got []state
	for _, s := range p.States() {
		got = append(got, state{s.Server, s.Weight, s.Effective, s.Backup, s.Region, s.InUse})
	}
	want := []state{{"web1", 5, 500, false, "", true}, {"web2", 1, 100, true, "", false}, {"web3", 1, 100, false, "x", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Weight and limit rise along a straight line after a recovery, never at the start of the program.
func TestSlowStart(t *testing.T) {
	c := conf(2)
	c.SlowStart, c.MaxConns, c.Members[0].Weight = 10*time.Second, 50, 8
	p, _ := newPool(t, c)
	m := p.Members()[0]
	if m.Weight() != 800 || m.limit.Load() != 50 {
		t.Errorf("at first: weight %d, limit %d, want all", m.Weight(), m.limit.Load())
	}
	p.Set(m, Unhealthy, true, noon)
	p.Set(m, Unhealthy, false, noon)
	for _, tt := range []struct {
		after         time.Duration
		weight, limit int
		going         bool
	}{
		{0, 8, 1, true},
		{time.Second, 80, 5, true},
		{5 * time.Second, 400, 25, true},
		{9900 * time.Millisecond, 792, 49, true},
		{10 * time.Second, 800, 50, true}, // this tick ends it
		{11 * time.Second, 800, 50, false},
	} {
		if got := p.Tick(noon.Add(tt.after)); got != tt.going || m.Weight() != tt.weight || int(m.limit.Load()) != tt.limit {
			t.Errorf("after %v: weight %d, limit %d, going %v; want %d, %d, %v", tt.after, m.Weight(), m.limit.Load(), got, tt.weight, tt.limit, tt.going)
		}
	}
	// Going down again ends it, and two reasons start it only once both are gone.
	p.Set(m, Unhealthy, true, noon)
	p.Set(m, Drained, true, noon)
	p.Set(m, Unhealthy, false, noon)
	if p.Tick(noon) {
		t.Error("a drained member starts slowly")
	}
	p.Set(m, Drained, false, noon)
	if !p.Tick(noon) || m.Weight() != 8 {
		t.Errorf("after the drain: weight %d, want 8", m.Weight())
	}
}

func TestSticky(t *testing.T) {
	c := conf(2)
	p, _ := newPool(t, c)
	m := p.Members()[0]
	if p.Sticky(m.Hash) != nil {
		t.Error("a pool without stickiness knows its visitors")
	}
	c = conf(2)
	c.Sticky = &config.Sticky{}
	p, _ = newPool(t, c)
	m = p.Members()[0]
	if p.Sticky(m.Hash) != m || p.Sticky(1) != nil {
		t.Errorf("Sticky = %v, %v, want the member and nil", p.Sticky(m.Hash), p.Sticky(1))
	}
	p.Set(m, Drained, true, noon)
	if p.Sticky(m.Hash) != nil {
		t.Error("the visitor goes to a drained member")
	}
}
