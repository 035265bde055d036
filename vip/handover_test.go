package vip

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// master is a world whose node is the master of c, with three connections.
func master(t *testing.T, c ...*config.VIP) (*world, *fakeSpeaker) {
	t.Helper()
	w := newWorld(t, t.TempDir())
	w.configure(file(c...))
	w.start()
	s := w.speaker()
	for _, c := range c {
		s.become(c.Name, vrrp.Master, "test")
	}
	w.net.connect(1, 2, 3)
	return w, s
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.happenings(); !slices.Equal(got, want) {
		w.t.Errorf("events = %q, want %q", got, want)
	}
}

func (w *world) drain(on bool) {
	w.set(func() { w.drained = on })
	time.Sleep(speaker.BeatEvery)
	synctest.Wait()
}

// The whole way: answers are the last ones, idle connections are closed, new ones are ignored, the speaker yields, and the
// node is ready again later on.
func TestHandoverOfDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, front())
		defer w.stop()
		w.drain(true)
		began := time.Now()
		w.expect("leaving [10.0.0.10]")
		if got := s.rank("front").Fitness; got != speaker.Fit {
			t.Errorf("while connections are there the rank is %s", got)
		}
		w.net.connect(4, 5) // new ones do not prolong it
		w.net.disconnect(1)
		time.Sleep(time.Second)
		w.expect()
		h := w.v.Status().VIPs[0].Handover
		if h == nil || !h.Running || h.Step != "leaving" || h.Left != 2 || h.Reason != "node lb1 is drained" {
			t.Errorf("handover = %+v", h)
		}
		time.Sleep(time.Second + countEvery)
		w.expect("idle [10.0.0.10]")
		w.net.disconnect(2, 3)
		time.Sleep(countEvery)
		w.expect("hold [10.0.0.10]")
		w.net.disconnect(4, 5)
		time.Sleep(countEvery + letGoEvery)
		w.expect("release")
		if got := s.kinds(); !strings.HasSuffix(got, "beat yield beat") && !strings.HasSuffix(got, "beat yield") {
			t.Errorf("orders = %s, want a beat with the rank and a yield", got)
		}
		if got := s.rank("front"); got != (speaker.Rank{Fitness: speaker.Drained, Reason: "node lb1 is drained"}) {
			t.Errorf("rank = %v", got)
		}
		v := w.v.Status().VIPs[0]
		if v.State != vrrp.Backup || v.Handovers[HandoverClean] != 1 || v.Handover.Result != HandoverClean || v.Handover.Running {
			t.Errorf("status = %+v, handover = %+v", v, v.Handover)
		}
		if took := time.Since(began); took > 2*time.Second+10*countEvery {
			t.Errorf("it took %v", took)
		}
		w.drain(false)
		w.expect("leaving []")
		if got := s.rank("front").Fitness; got != speaker.Fit {
			t.Errorf("rank of a node that is ready = %s", got)
		}
		if log := w.log.String(); strings.Count(log, "handover began") != 1 || strings.Count(log, "handover ended") != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

// What does not end has its time: handover - 1 s, and the rest of it with new connections ignored.
func TestHandoverLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := master(t, changed(func(c *config.VIP) { c.Handover = 10 * time.Second }))
		defer w.stop()
		began := time.Now()
		w.v.HandOver(t.Context())
		if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+5*countEvery {
			t.Errorf("it took %v, want 10s", took)
		}
		synctest.Wait()
		v := w.v.Status().VIPs[0]
		if v.State != vrrp.Backup || v.Handovers[HandoverCut] != 1 || v.Handover.Left != 3 || v.FitnessReason != "skein is stopping" {
			t.Errorf("status = %+v, handover = %+v", v, v.Handover)
		}
		w.expect("leaving [10.0.0.10]", "idle [10.0.0.10]", "hold [10.0.0.10]", "idle [10.0.0.10]", "abandon [10.0.0.10]", "release")
	})
}

// Without connections it is over at once, and without time too.
func TestHandoverAtOnce(t *testing.T) {
	for _, test := range []struct {
		name    string
		limit   time.Duration
		connect bool
		result  string
	}{
		{"nobody is there", 30 * time.Second, false, HandoverClean},
		{"no time", 0, true, HandoverCut},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := master(t, changed(func(c *config.VIP) { c.Handover = test.limit }))
				defer w.stop()
				if !test.connect {
					w.net.disconnect(1, 2, 3)
				}
				began := time.Now()
				w.v.HandOver(t.Context())
				if took := time.Since(began); took > 2*letGoEvery {
					t.Errorf("it took %v", took)
				}
				synctest.Wait()
				if v := w.v.Status().VIPs[0]; v.State != vrrp.Backup || v.Handovers[test.result] != 1 {
					t.Errorf("status = %+v", v)
				}
			})
		})
	}
}

// A node that is made ready in the middle stays the master, and nothing was said to anybody.
func TestHandoverCancelled(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration
		let   []uint64 // connections that end
		want  []string
	}{
		{"while leaving", 500 * time.Millisecond, nil, []string{"leaving [10.0.0.10]", "leaving []"}},
		{"while holding", 500 * time.Millisecond, []uint64{1, 2, 3}, []string{"leaving [10.0.0.10]", "hold [10.0.0.10]", "idle [10.0.0.10]", "release", "leaving []"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := master(t, front())
				defer w.stop()
				w.drain(true)
				w.net.connect(9)
				w.net.disconnect(test.let...)
				time.Sleep(test.after)
				w.drain(false)
				w.expect(test.want...)
				if v := w.v.Status().VIPs[0]; v.State != vrrp.Master || v.Fitness != speaker.Fit || v.Handovers[HandoverCancelled] != 1 || v.Handover.Running {
					t.Errorf("status = %+v, handover = %+v", v, v.Handover)
				}
				if got := s.kinds(); strings.Contains(got, "yield") {
					t.Errorf("orders = %s", got)
				}
				// And it may be drained again.
				w.drain(true)
				w.expect("leaving [10.0.0.10]")
			})
		})
	}
}

// With nobody else the speaker takes the addresses back, as the last resort: visitors may stay then, and it is not handed over
// again and again.
func TestHandoverToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, front())
		defer w.stop()
		w.net.disconnect(1, 2, 3)
		w.drain(true)
		time.Sleep(letGoEvery)
		w.expect("leaving [10.0.0.10]", "hold [10.0.0.10]", "release")
		s.become("front", vrrp.Master, "nobody else was heard")
		time.Sleep(10 * time.Second)
		w.expect("leaving []")
		if v := w.v.Status().VIPs[0]; v.State != vrrp.Master || v.Fitness != speaker.Drained || v.Handovers[HandoverClean] != 1 {
			t.Errorf("status = %+v", v)
		}
		// When it stops nobody will answer here: others may have come back since.
		w.v.HandOver(t.Context())
		w.expect("leaving [10.0.0.10]", "hold [10.0.0.10]", "release")
		s.become("front", vrrp.Master, "nobody else was heard")
		time.Sleep(10 * time.Second)
		w.expect("leaving []") // once is enough
	})
}

// New connections are ignored until the address is gone from the interface, which is a moment later than the state says.
func TestHandoverHoldsUntilGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := master(t, front())
		defer w.stop()
		w.net.disconnect(1, 2, 3)
		address := netip.MustParsePrefix("10.0.0.10/24")
		if err := w.net.AddAddress("eth0", address); err != nil {
			t.Fatal(err)
		}
		w.drain(true)
		w.expect("leaving [10.0.0.10]", "hold [10.0.0.10]")
		if got := w.v.Status().VIPs[0].State; got != vrrp.Backup {
			t.Errorf("state = %s", got)
		}
		time.Sleep(100 * time.Millisecond)
		w.expect()
		if err := w.net.RemoveAddress("eth0", address); err != nil {
			t.Fatal(err)
		}
		time.Sleep(letGoEvery)
		w.expect("release")
	})
}

// Another node takes the addresses before they are handed over: there is nothing more to wait for.
func TestHandoverOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, front())
		defer w.stop()
		w.drain(true)
		s.become("front", vrrp.Backup, "10.0.0.12 has priority 250")
		time.Sleep(2*countEvery + letGoEvery)
		synctest.Wait()
		if v := w.v.Status().VIPs[0]; v.Handover.Running || v.Fitness != speaker.Drained {
			t.Errorf("handover = %+v, %s", v.Handover, v.Fitness)
		}
	})
}

// A backup that is drained has nothing to hand over.
func TestHandoverOfBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		defer w.stop()
		w.drain(true)
		w.expect()
		if got := w.speaker().rank("front").Fitness; got != speaker.Drained {
			t.Errorf("rank = %s", got)
		}
		began := time.Now()
		w.v.HandOver(t.Context())
		if took := time.Since(began); took != 0 {
			t.Errorf("HandOver took %v", took)
		}
	})
}

// What moves together is handed over together, the rest beside it, each in its own time.
func TestHandoverGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vip := func(name, group, address string, id int, limit time.Duration) *config.VIP {
			return changed(addresses(address), func(c *config.VIP) { c.Name, c.Group, c.RouterID, c.Handover = name, group, id, limit })
		}
		w, s := master(t, vip("a", "pair", "10.0.0.21/24", 21, 4*time.Second), vip("b", "pair", "10.0.0.22/24", 22, 2*time.Second), vip("c", "", "10.0.0.23/24", 23, 20*time.Second))
		defer w.stop()
		began := time.Now()
		go func() {
			time.Sleep(4500 * time.Millisecond)
			for _, v := range w.v.Status().VIPs {
				if want := map[string]vrrp.State{"a": vrrp.Backup, "b": vrrp.Backup, "c": vrrp.Master}[v.Name]; v.State != want {
					t.Errorf("after 4.5 s %s is %s, want %s", v.Name, v.State, want)
				}
			}
		}()
		w.v.HandOver(t.Context())
		if took := time.Since(began); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("it took %v, want 20s", took)
		}
		var yields [][]string
		s.mu.Lock()
		for _, o := range s.orders {
			if o.Yield != nil {
				yields = append(yields, o.Yield.VIPs)
			}
		}
		s.mu.Unlock()
		if len(yields) != 2 || !slices.Equal(yields[0], []string{"a", "b"}) || !slices.Equal(yields[1], []string{"c"}) {
			t.Errorf("yields = %v", yields)
		}
		all := strings.Join(w.happenings(), "\n")
		if !strings.Contains(all, "leaving [10.0.0.23 10.0.0.21 10.0.0.22]") && !strings.Contains(all, "leaving [10.0.0.21 10.0.0.22 10.0.0.23]") {
			t.Errorf("the two do not leave at the same time:\n%s", all)
		}
	})
}

// Priority 255 would take the addresses back at once: for a stop the speaker forgets them; a drain says that it cannot be.
func TestHandoverOfOwner(t *testing.T) {
	owned := changed(func(c *config.VIP) { c.Nodes[0].Priority = 255 })
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, owned)
		defer w.stop()
		w.net.disconnect(1, 2, 3)
		w.v.HandOver(t.Context())
		synctest.Wait()
		if got := s.last(); len(got.Groups) != 0 || strings.Contains(s.kinds(), "yield") {
			t.Errorf("orders = %s, last configuration %+v", s.kinds(), got)
		}
		if got := w.v.Status().VIPs[0].State; got != vrrp.Initialize {
			t.Errorf("state = %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, owned)
		defer w.stop()
		w.drain(true)
		time.Sleep(5 * time.Second)
		w.expect()
		if strings.Count(w.log.String(), "its priority 255 never changes") != 1 || strings.Contains(s.kinds(), "yield") {
			t.Errorf("orders = %s, log: %s", s.kinds(), w.log)
		}
		// That is what it was told to do: stop.
		w.net.disconnect(1, 2, 3)
		w.v.HandOver(t.Context())
		w.expect("leaving [10.0.0.10]", "hold [10.0.0.10]", "release")
		if got := s.last(); len(got.Groups) != 0 {
			t.Errorf("orders = %s, last configuration %+v", s.kinds(), got)
		}
	})
}

// What others cannot do costs time or politeness, not the handover.
func TestHandoverWithoutHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := master(t, changed(func(c *config.VIP) { c.Handover = 5 * time.Second }))
		defer w.stop()
		w.net.err = errors.New("list connections: no such file or directory")
		w.v.o.Hold = func(a []netip.Addr) (func(), error) { return nil, errors.New("not permitted") }
		began := time.Now()
		w.v.HandOver(t.Context())
		if took := time.Since(began); took < 5*time.Second || took > 5*time.Second+5*countEvery {
			t.Errorf("it took %v, want 5s", took)
		}
		if log := w.log.String(); strings.Count(log, "connections cannot be counted") != 1 || strings.Count(log, "new connections cannot be held") != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

// A speaker that does not let go is no reason to wait for ever, and a caller that has no time is let go.
func TestHandoverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, front())
		defer w.stop()
		s.mu.Lock()
		s.stuck = true
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		w.v.HandOver(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v, want 1s", took)
		}
		w.net.disconnect(1, 2, 3)
		w.v.HandOver(t.Context())
		synctest.Wait()
		if v := w.v.Status().VIPs[0]; v.Handovers[HandoverFailed] != 1 {
			t.Errorf("status = %+v", v)
		}
	})
}

// Connections to an address that another node has taken are dropped, but not if it is back within a moment.
func TestConnectionsOfALostAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := master(t, changed(func(*config.VIP) {}))
		defer w.stop()
		time.Sleep(time.Second)
		s.become("front", vrrp.Backup, "10.0.0.12 advertises 200")
		time.Sleep(abandonAfter / 2)
		s.become("front", vrrp.Master, "no master was heard")
		time.Sleep(10 * time.Second)
		w.expect()
		s.become("front", vrrp.Fault, "the balancer is stopped")
		time.Sleep(10 * time.Second)
		w.expect("abandon [10.0.0.10]")
	})
}
