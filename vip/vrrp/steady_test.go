package vrrp

import "testing"

// steadyBackup is a backup that hears its master.
func steadyBackup(t testing.TB, s Settings) (*Group, Received) {
	t.Helper()
	g, err := NewGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.Start(epoch)
	m := g.Machines()[0]
	return g, m.fromPeer(m.advert(200), "10.0.0.9")
}

// Nothing is allocated in the steady state: the garbage collector must not make an advertisement late.
func TestSteadyStateAllocates(t *testing.T) {
	now := epoch
	g, r := steadyBackup(t, v3(unicast)[0])
	m := g.Machines()[0]
	if n := testing.AllocsPerRun(100, func() {
		now += 100 * ms
		g.Receive(now, m, r)
		g.Tick(now)
	}); n > 0 {
		t.Errorf("a backup allocates %v times for an advertisement", n)
	}
	bad := r
	bad.TTL = 1
	if n := testing.AllocsPerRun(100, func() { g.Receive(now, m, bad) }); n > 0 {
		t.Errorf("a backup allocates %v times for an advertisement that it refuses", n)
	}
	for g.state != Master {
		now, _ = g.Deadline()
		g.Tick(now)
	}
	lesser := m.fromPeer(m.advert(50), "10.0.0.9")
	step := func() {
		now, _ = g.Deadline()
		g.Tick(now)
		g.Receive(now, m, lesser)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("a master allocates %v times for an advertisement", n)
	}
}

func BenchmarkReceive(b *testing.B) {
	for name, s := range map[string]Settings{"1 address": v3()[0], "77 addresses": v3(func(s *Settings) { s.Addresses = virtual(false, 0, MaxAddresses) })[0]} {
		b.Run(name, func(b *testing.B) {
			g, r := steadyBackup(b, s)
			m := g.Machines()[0]
			now := epoch
			b.ReportAllocs()
			for b.Loop() {
				now += ms
				g.Receive(now, m, r)
			}
			if m.Counters().Received != uint64(b.N) {
				b.Fatalf("took %d of %d", m.Counters().Received, b.N)
			}
		})
	}
}

func BenchmarkTick(b *testing.B) {
	g, _ := steadyBackup(b, v3(unicast)[0])
	now := epoch
	b.ReportAllocs()
	for b.Loop() {
		now, _ = g.Deadline()
		if len(g.Tick(now)) > 0 {
			continue
		}
	}
	if n := g.Machines()[0].Counters().Sent; n < uint64(b.N)-1 {
		b.Fatalf("sent %d in %d", n, b.N)
	}
}
