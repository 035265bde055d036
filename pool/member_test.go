package pool

import (
	"math"
	"testing"
	"time"

	"skein/config"
)

func TestLatency(t *testing.T) {
	ms := func(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
	m := &Member{}
	at := noon
	if got := m.Latency(at); got != 0 {
		t.Errorf("before the first: %v", got)
	}
	for _, tt := range []struct {
		name string
		wait time.Duration
		took time.Duration // 0 is nothing observed
		want time.Duration
	}{
		{"the first counts fully", 0, ms(10), ms(10)},
		{"a slower one at once", time.Second, ms(100), ms(100)},
		{"a quicker one by its age", 10 * time.Second, ms(10), ms(100/math.E + 10*(1-1/math.E))},
		{"silence lets it sink", 10 * time.Second, 0, ms((100/math.E + 10*(1-1/math.E)) / math.E)},
		{"an answer after long silence", time.Hour, ms(3), ms(3)},
		{"a clock that was put back", -time.Minute, ms(2), ms(3)},
		{"forgotten", time.Hour, 0, 0},
		{"no time at all is still known", 0, 1, 1},
	} {
		at = at.Add(tt.wait)
		if tt.took != 0 {
			m.Observe(at, tt.took)
		}
		if got := m.Latency(at); math.Abs(float64(got-tt.want)) > 0.001*float64(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	z := &Member{}
	z.Observe(noon, 0)
	if z.Latency(noon) == 0 {
		t.Error("an answer in no time counts as none")
	}
	// The quick way for short silence and the exact one meet.
	l := &Member{}
	l.Observe(noon, time.Second)
	a, b := l.Latency(noon.Add(99*time.Millisecond)), l.Latency(noon.Add(101*time.Millisecond))
	if d := a - b; d < 0 || d > 300*time.Microsecond {
		t.Errorf("at a tenth of a second: %v, then %v", a, b)
	}
}

func TestMemberNames(t *testing.T) {
	c := conf(1)
	c.Members[0].Server.Host = "2001:db8::1"
	p, _ := newPool(t, c)
	m := p.Members()[0]
	if m.Address != "[2001:db8::1]:80" || m.Host != "2001:db8::1" || m.ID != "web/web1/[2001:db8::1]:80" {
		t.Errorf("address %s, host %s, ID %s", m.Address, m.Host, m.ID)
	}
	if m.Network != "tcp" {
		t.Errorf("network %s, want tcp", m.Network)
	}
	if m.Hash == 0 || m.PoolSize() != 1 || !m.Room() {
		t.Errorf("hash %d, pool of %d, room %v", m.Hash, m.PoolSize(), m.Room())
	}
}

// TestUnixMember: the identity of a member at a unix socket is its path, also where two servers share one host.
func TestUnixMember(t *testing.T) {
	c := conf(2)
	for i, path := range []string{"/run/a.sock", "/run/b.sock"} {
		c.Members[i].Server = &config.Server{Name: "unix:" + path, Unix: path, Weight: 1}
		c.Members[i].Port = 0
	}
	p, _ := newPool(t, c)
	a, b := p.Members()[0], p.Members()[1]
	if a.Network != "unix" || a.Address != "/run/a.sock" || a.Host != "" || a.ID != "web/unix:/run/a.sock//run/a.sock" {
		t.Errorf("network %s, address %s, host %q, ID %s", a.Network, a.Address, a.Host, a.ID)
	}
	if a.ID == b.ID || a.Hash == b.Hash {
		t.Errorf("two sockets are one member: %s, %x", a.ID, a.Hash)
	}
}
