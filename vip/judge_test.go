package vip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/vip/speaker"
)

// note: b is a bad run, g a good one; F and U are what the source says afterwards.
func TestSourceNote(t *testing.T) {
	for _, test := range []struct{ name, runs, want string }{
		{"the first good run counts at once", "g", "F"},
		{"even after bad ones", "bbbbg", "UUUUF"},
		{"three bad runs in a row", "gbbb", "FFFU"},
		{"two are forgiven", "gbbgbbg", "FFFFFFF"},
		{"later two good runs are needed", "gbbbgbgg", "FFFUUUUF"},
		{"and then three bad ones again", "gbbbggbbb", "FFFUUFFFU"},
	} {
		s := &source{rule: rule{rise: 2, fall: 3}}
		got := ""
		for _, r := range test.runs {
			var err error
			if r == 'b' {
				err = errBroken
			}
			s.note(err, time.Now(), 0)
			if s.good {
				got += "F"
			} else {
				got += "U"
			}
		}
		if got != test.want {
			t.Errorf("%s: note(%s) = %s, want %s", test.name, test.runs, got, test.want)
		}
	}
}

// The speaker is told of a node that does not serve, and of its recovery, without waiting for the next beat.
func TestFitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		defer w.stop()
		s := w.speaker()
		if got := s.rank("front"); got != (speaker.Rank{Fitness: speaker.Fit}) {
			t.Fatalf("rank at the start = %v", got)
		}
		time.Sleep(500 * time.Millisecond) // between two probes
		w.set(func() { w.serving = errBroken })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := s.rank("front").Fitness; got != speaker.Fit {
			t.Errorf("after two bad probes: %s", got)
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if got, want := s.rank("front"), (speaker.Rank{Fitness: speaker.Unfit, Reason: "probe: no member of pool web answers"}); got != want {
			t.Errorf("after three bad probes: %v, want %v", got, want)
		}
		v := w.v.Status().VIPs[0]
		if v.Fitness != speaker.Unfit || v.FitnessReason != "probe: no member of pool web answers" || len(v.Checks) != 1 || v.Checks[0].Streak != 3 {
			t.Errorf("status = %+v", v)
		}
		w.set(func() { w.serving = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.rank("front"); got != (speaker.Rank{Fitness: speaker.Unfit, Reason: "probe is good again, 1 of 2 times"}) {
			t.Errorf("after one good probe: %v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.rank("front").Fitness; got != speaker.Fit {
			t.Errorf("after two good probes: %s", got)
		}
		if log := w.log.String(); strings.Count(log, "this node became unfit") != 1 || strings.Count(log, "this node became fit") != 2 {
			t.Errorf("log: %s", log)
		}
	})
}

// At the start the probe is repeated soon, as the listeners open in this moment, but not for ever.
func TestFitnessStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.serving = errBroken
		w.configure(file(front()))
		w.start()
		defer w.stop()
		s := w.speaker()
		if got := s.rank("front").Fitness; got != speaker.Unfit {
			t.Errorf("rank = %s", got)
		}
		time.Sleep(350 * time.Millisecond)
		w.set(func() { w.serving = nil })
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if got := s.rank("front").Fitness; got != speaker.Fit {
			t.Errorf("400 ms after the start: %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.serving = errBroken
		w.configure(file(front()))
		w.start()
		defer w.stop()
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if w.probes < 29 || w.probes > 31 {
			t.Errorf("%d probes in 12 s, want 20 soon and one each second", w.probes)
		}
	})
}

// A check command decides like the probe, with what it said as the reason; it never runs twice at once.
func TestFitnessCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		running, most := 0, 0
		failing := false
		w.answer = func(ctx context.Context, c command) (string, error) {
			w.mu.Lock()
			running++
			most = max(most, running)
			bad := failing
			w.mu.Unlock()
			defer func() { w.mu.Lock(); running--; w.mu.Unlock() }()
			if bad {
				<-ctx.Done()
				time.Sleep(200 * time.Millisecond) // it dies slowly
				return "disk is full", errors.New("/usr/local/bin/disk did not end within 1s")
			}
			return "", nil
		}
		check := config.VIPCheck{Name: "disk", Command: []string{"/usr/local/bin/disk", "-q"}, Every: 500 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 2}
		c := changed(func(c *config.VIP) { c.Checks = []config.VIPCheck{check} })
		w.configure(file(c))
		w.start()
		defer w.stop()
		s := w.speaker()
		if got := s.rank("front").Fitness; got != speaker.Fit {
			t.Fatalf("rank = %s", got)
		}
		if got := fmt.Sprint(w.commands[0]); got != "{[/usr/local/bin/disk -q] [SKEIN_VIP=front SKEIN_NODE=lb1]}" {
			t.Errorf("command = %s", got)
		}
		w.set(func() { failing = true })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, want := s.rank("front"), (speaker.Rank{Fitness: speaker.Unfit, Reason: `check "disk": /usr/local/bin/disk did not end within 1s: disk is full`}); got != want {
			t.Errorf("rank = %v, want %v", got, want)
		}
		// A reload in the middle of a run: the next one waits for its end.
		check.Timeout = 900 * time.Millisecond
		w.configure(file(changed(func(c *config.VIP) { c.Checks = []config.VIPCheck{check} })))
		time.Sleep(3 * time.Second)
		w.set(func() {
			if most != 1 {
				t.Errorf("%d runs at once", most)
			}
		})
	})
}

// A reload with other rules keeps what is known, and asks for the new addresses.
func TestFitnessReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		defer w.stop()
		s := w.speaker()
		w.configure(file(changed(func(c *config.VIP) { c.Probe.Every = 5 * time.Second }, addresses("10.0.0.10/24", "10.0.0.13/24"))))
		synctest.Wait()
		for range 100 {
			if got := s.rank("front").Fitness; got != speaker.Fit {
				t.Fatalf("rank = %s", got)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// A check that comes newly has to be good first.
		w.answer = func(context.Context, command) (string, error) { return "", errBroken }
		w.configure(file(changed(func(c *config.VIP) {
			c.Checks = []config.VIPCheck{{Name: "new", Command: []string{"/bin/new"}, Every: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}}
		})))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := s.rank("front"); got != (speaker.Rank{Fitness: speaker.Unfit, Reason: `check "new": no member of pool web answers`}) {
			t.Errorf("rank = %v", got)
		}
	})
}
