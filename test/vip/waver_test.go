package vip

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
	"skein/test/lab"
)

// An operator changes his mind in every phase of a handover, and reloads and upgrades in the middle of others: whoever has the address
// then serves as ever, and nothing of the handover is left, above all no filter that drops new connections.
func TestChangedMind(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	s := newSite(t, 2)
	front := listed(numbered(2))
	handover := `handover = "5s"`
	s.start(s.file(s.vip("front", front, handover)))
	probe := s.visitor.Probe(page, lab.Probing{Period: 20 * time.Millisecond})
	probe.Answered(patience)
	since := time.Now()
	var back []time.Time // when lb1 took the address back, which cuts what lb2 is just answering: VRRP has no other way
	answers := func(when string) {
		t.Helper()
		began := time.Now()
		if _, code, err := get(s.visitor, 80, "/", patience); err != nil || code != 200 {
			t.Errorf("%s: a new connection: status %d, %v", when, code, err)
		}
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("%s: a new connection took %v, as if its first packet had been dropped", when, took)
		}
	}
	// With a WebSocket that stays, the handover leaves for four seconds and holds for one.
	for _, phase := range []string{"leaving", "holding"} {
		ws, err := openSocket(s.visitor)
		if err != nil {
			t.Fatal(err)
		}
		s.command(0, "drain", "lb1")
		s.waits(0, patience, phase, func(now status) bool {
			h := now.of("front").Handover
			return h != nil && h.Running && h.Step == phase
		})
		s.command(0, "ready", "lb1")
		s.ready(0)
		answers(phase)
		ws.c.Close()
		if got := s.owners.Owners(time.Now()); !slices.Equal(got, []string{"lb1"}) {
			t.Errorf("%s: owners %v", phase, got)
		}
	}
	// A reload in the middle adds an address.
	ws, err := openSocket(s.visitor)
	if err != nil {
		t.Fatal(err)
	}
	s.command(0, "drain", "lb1")
	time.Sleep(300 * time.Millisecond)
	third := lab.Watch("10.0.0.102", s.lb...)
	for i := range s.lb {
		s.run[i].Reload(s.file(s.vip("front", listed(numbered(3)), handover)))
	}
	ws.c.Close() // while its balancer can still hear of it
	s.owners.Wait(s.lb[1], patience)
	third.Wait(s.lb[1], patience)
	answers("after a reload")
	s.command(0, "ready", "lb1")
	back = append(back, s.owners.Wait(s.lb[0], patience))
	s.ready(0)
	// An upgrade in the middle: the heir goes on with it. The elder ends when its WebSocket has.
	if ws, err = openSocket(s.visitor); err != nil {
		t.Fatal(err)
	}
	s.command(0, "drain", "lb1")
	time.Sleep(300 * time.Millisecond)
	time.AfterFunc(time.Second, func() { ws.c.Close() })
	pid := s.upgrade(0, s.run[0].PID())
	t.Cleanup(func() {
		unix.Kill(pid, unix.SIGKILL)
		harness.Soon(patience, func() bool { return s.over(0, pid) })
		s.run[0].Exit(patience)
	})
	s.owners.Wait(s.lb[1], patience)
	s.command(0, "ready", "lb1")
	back = append(back, s.owners.Wait(s.lb[0], patience))
	s.ready(0)
	answers("after an upgrade")
	until := time.Now()
	r := probe.Stop()
	if failed := slices.DeleteFunc(r.Failed(), func(q lab.Request) bool {
		return slices.ContainsFunc(back, func(at time.Time) bool { return q.Start.Sub(at).Abs() < 100*time.Millisecond })
	}); len(failed) > 0 {
		t.Errorf("%d requests have failed that no return has cut: %s", len(failed), r)
	}
	if h := s.owners.Between(since, until); h.DoubleTime() > overlap {
		t.Errorf("two owners for %v\n%s", h.DoubleTime(), h)
	}
}
