package speaker

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/vip/vrrp"
)

// A balancer that was stopped holds its sockets open and answers nobody.
func TestParentStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.set(func(n *node) { n.stopped = true })
		settled(overdue + skew(190) + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb2")
		if _, priority := said(lan, "lb1"); priority != 0 {
			t.Errorf("lb1's last priority = %d, want 0", priority)
		}
		if s := a.status("front", 4); s.State != vrrp.Fault || s.Reason != "the balancer is stopped" {
			t.Errorf("lb1 is %s: %s", s.State, s.Reason)
		}
		// It runs again, but has not said anything yet.
		a.set(func(n *node) { n.stopped, n.silent = false, true })
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		a.set(func(n *node) { n.silent = false })
		settled(BeatEvery + masterDown(200) + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

// Who speaks runs: there is no need to look.
func TestParentSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		settled(time.Second)
		looks := func() (n int) {
			a.set(func(o *node) { n = o.looks })
			return n
		}
		before := looks()
		settled(10 * time.Second)
		if n := looks() - before; n != 0 {
			t.Errorf("it was looked at %d times while it spoke, want 0", n)
		}
		before = looks()
		a.set(func(n *node) { n.silent = true })
		settled(time.Second)
		if n := looks() - before; n < 18 || n > 20 {
			t.Errorf("it was looked at %d times in a second of silence, want 19", n)
		}
	})
}

// What was sent before the parent was stopped may be read after: it does not say that the parent runs.
func TestBeatOfAStoppedParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.set(func(n *node) { n.stopped = true })
		settled(overdue + time.Millisecond)
		a.order(Order{Beat: &Beat{Serial: 1}})
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
	})
}

func TestParentSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.set(func(n *node) { n.silent = true })
		settled(StallLimit - BeatEvery)
		owner(t, lan, "10.0.0.100", "lb1")
		settled(BeatEvery + StatusEvery + skew(190))
		owner(t, lan, "10.0.0.100", "lb2")
		if s := a.status("front", 4); s.State != vrrp.Fault || s.Reason != "the balancer is silent" {
			t.Errorf("lb1 is %s: %s", s.State, s.Reason)
		}
		a.set(func(n *node) { n.silent = false })
		settled(BeatEvery + masterDown(200) + time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb1")
	})
}

// A parent that works has no time to speak. One that works for ever does not serve, either.
func TestParentBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.set(func(n *node) { n.silent, n.busy = true, true })
		settled(HangLimit - BeatEvery)
		owner(t, lan, "10.0.0.100", "lb1")
		settled(BeatEvery + StatusEvery + skew(190))
		owner(t, lan, "10.0.0.100", "lb2")
	})
}

// Without a parent the log goes to standard error.
func TestLogOfAnOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		a.die()
		<-a.done
		owner(t, lan, "10.0.0.100")
		for _, want := range []string{
			`level=WARN msg="the balancer is gone: its addresses are given up" cause=EOF`,
			`level=INFO msg="vip changed state" vip=front family=4 from=master to=init reason=stopped`,
		} {
			if !strings.Contains(a.log.String(), want) {
				t.Errorf("the log has no %s:\n%s", want, a.log.String())
			}
		}
		if !strings.HasPrefix(a.log.String(), "time=") {
			t.Errorf("the log begins otherwise than with the time:\n%s", a.log.String())
		}
	})
}

// A parent that reads nothing, as it is stopped, must not stop the speaker.
func TestParentThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, _ := pair(t)
		close(a.channel.deaf)
		settled(time.Minute)
		owner(t, lan, "10.0.0.100", "lb1")
		if last, _ := said(lan, "lb1"); time.Since(last) > 100*time.Millisecond {
			t.Errorf("the last advertisement is %v old", time.Since(last))
		}
	})
}

func TestFitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t)
		// Neither is fit: the better one keeps it.
		for _, n := range []*node{a, b} {
			n.set(func(n *node) { n.fitness = Unfit })
		}
		settled(time.Second)
		if s := a.status("front", 4); s.Priority != 8 {
			t.Errorf("priority of the unfit lb1 = %d, want 8", s.Priority)
		}
		// lb2 recovers.
		b.set(func(n *node) { n.fitness = Fit })
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		// A drained node comes after an unfit one.
		b.set(func(n *node) { n.fitness = Drained })
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb1")
		a.die()
		settled(time.Second)
		owner(t, lan, "10.0.0.100", "lb2")
		if got := a.changes(4); !slices.Contains(got, vrrp.Backup) {
			t.Errorf("states = %v", got)
		}
	})
}

// An order to yield while nobody else is there costs the time that another one would have needed.
func TestYieldAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan, a, b := pair(t)
		b.die()
		settled(time.Second)
		a.order(Order{Yield: &Yield{VIPs: []string{"other"}}})
		settled(time.Millisecond)
		owner(t, lan, "10.0.0.100", "lb1")
		a.order(Order{Yield: &Yield{VIPs: []string{"front"}, Reason: "drained"}})
		settled(time.Millisecond)
		owner(t, lan, "10.0.0.100")
		settled(masterDown(200))
		owner(t, lan, "10.0.0.100", "lb1")
	})
}
