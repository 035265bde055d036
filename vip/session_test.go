package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// A speaker is told ranks before anything else, then the configuration, then that we live, until the end.
func TestSessionLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		if w.count() != 0 {
			t.Error("Prepare has started a speaker")
		}
		w.start()
		defer w.stop()
		s := w.speaker()
		if got := s.kinds(); got != "beat configure beat" {
			t.Errorf("orders = %s", got)
		}
		c := s.last()
		if c.Serial == 0 || c.Parent != os.Getpid() || len(c.Groups) != 1 || !strings.HasSuffix(c.State, "/vip-addresses.json") {
			t.Errorf("configuration = %+v", c)
		}
		before := w.beatsOf(s)
		time.Sleep(10 * time.Second)
		if got, want := w.beatsOf(s)-before, int(10*time.Second/speaker.BeatEvery); got < want-1 || got > want+2 {
			t.Errorf("%d beats in 10 s, want %d", got, want)
		}
		s.become("front", vrrp.Master, "nobody else was heard")
		st := w.v.Status()
		if st.VIPs[0].State != vrrp.Master || st.Speaker.PID != s.pid || !st.Speaker.Realtime || st.Speaker.Restarts != 0 || st.Speaker.BeatsLate != 0 {
			t.Errorf("status = %+v", st)
		}
		w.stop()
		if got := s.kinds(); !strings.HasSuffix(got, " stop") {
			t.Errorf("orders = %s", got)
		}
		if s.killed {
			t.Error("a speaker that stops was killed")
		}
		if st := w.v.Status(); st.VIPs[0].State != vrrp.Initialize || st.Speaker.PID != 0 {
			t.Errorf("status after the end = %+v", st)
		}
		for _, want := range []string{
			`msg="vip changed state" vip=front family=4 from=init to=backup reason="it has started"`,
			`msg="vip changed state" vip=front family=4 from=backup to=master reason="nobody else was heard"`,
		} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, w.log)
			}
		}
	})
}

// What a crash has left is removed also when the file has no vip any more: a speaker is started for that alone, once.
func TestSessionLeftovers(t *testing.T) {
	for _, broken := range []error{nil, errBroken} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, addressFile), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, dir)
			w.starting = broken
			w.configure(file())
			w.start()
			defer w.stop()
			time.Sleep(time.Minute)
			if broken != nil {
				if n := w.v.Status().Speaker.Restarts; n != 1 {
					t.Errorf("it was tried %d times", n)
				}
				return
			}
			if w.count() != 1 {
				t.Fatalf("%d speakers were started, want 1", w.count())
			}
			s := w.speaker()
			if got := s.kinds(); !strings.HasPrefix(got, "beat configure") || !strings.HasSuffix(got, " stop") || len(s.last().Groups) != 0 {
				t.Errorf("orders = %s", got)
			}
			if pid := w.v.Status().Speaker.PID; pid != 0 {
				t.Errorf("speaker %d runs", pid)
			}
		})
	}
}

func (w *world) beatsOf(s *fakeSpeaker) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, o := range s.orders {
		if o.Beat != nil {
			n++
		}
	}
	return n
}

// A speaker that dies is replaced at once, then after 10 ms, 20 ms ... 1 s; after a good life at once again.
func TestSessionRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		defer w.stop()
		for i, wait := range []time.Duration{0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			wait *= time.Millisecond
			w.speaker().become("front", vrrp.Master, "test")
			w.speaker().die("signal: killed")
			if wait > 0 {
				time.Sleep(wait - time.Microsecond)
				synctest.Wait()
				if got := w.count(); got != i+1 {
					t.Fatalf("%d speakers before %v are over, want %d", got, wait, i+1)
				}
				if st := w.v.Status().VIPs[0]; st.State != vrrp.Initialize || !strings.Contains(st.Reason, "signal: killed") {
					t.Fatalf("state = %s because %s, want init", st.State, st.Reason)
				}
				time.Sleep(time.Microsecond)
			}
			synctest.Wait()
			if got := w.count(); got != i+2 {
				t.Fatalf("%d speakers after %v, want %d", got, wait, i+2)
			}
			if got := w.v.Status().VIPs[0].State; got != vrrp.Backup {
				t.Fatalf("state with the next speaker = %s", got)
			}
		}
		time.Sleep(steady)
		w.speaker().die("exit status 2")
		synctest.Wait()
		if got := w.count(); got != 12 {
			t.Errorf("%d speakers after a good life, want 12", got)
		}
		if got := w.v.Status().Speaker.Restarts; got != 11 {
			t.Errorf("%d restarts, want 11", got)
		}
	})
}

// A program that cannot be started is tried again and again, and the status says why.
func TestSessionCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.starting = errors.New("start the speaker: permission denied")
		w.configure(file(front()))
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		if got := w.v.Status().Speaker; got.PID != 0 || got.Error != "start the speaker: permission denied" {
			t.Errorf("speaker = %+v", got)
		}
		w.set(func() { w.starting = nil })
		time.Sleep(lastPause)
		synctest.Wait()
		if got := w.v.Status().Speaker; got.PID == 0 || got.Error != "" {
			t.Errorf("speaker = %+v", got)
		}
	})
}

// A silent speaker is killed: at 100 ms after 1.25 s, at an interval of 1 s after five of those.
func TestSessionSilent(t *testing.T) {
	for _, test := range []struct {
		interval, limit time.Duration
	}{
		{100 * time.Millisecond, 1250 * time.Millisecond},
		{time.Second, 5 * time.Second},
	} {
		t.Run(test.interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, t.TempDir())
				w.configure(file(changed(func(c *config.VIP) { c.Interval = test.interval })))
				w.start()
				defer w.stop()
				time.Sleep(10*time.Second + time.Millisecond)
				first := w.speaker()
				first.mu.Lock()
				first.silent = true
				first.mu.Unlock()
				time.Sleep(test.limit - 2*time.Millisecond)
				synctest.Wait()
				if w.count() != 1 {
					t.Fatalf("it was replaced before %v", test.limit)
				}
				time.Sleep(2 * speaker.StatusEvery)
				synctest.Wait()
				if w.count() != 2 || !first.killed {
					t.Fatalf("%d speakers, killed: %v; want another one", w.count(), first.killed)
				}
				if !strings.Contains(w.log.String(), fmt.Sprintf("process %d was silent for %v and was killed", first.pid, test.limit)) {
					t.Errorf("log: %s", w.log)
				}
			})
		})
	}
}

// One whose reports wait to be received is not silent: it is this process that is late.
func TestSessionUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(changed(func(*config.VIP) {})))
		w.start()
		defer w.stop()
		time.Sleep(10 * time.Second)
		first := w.speaker()
		first.mu.Lock()
		first.silent = true
		first.mu.Unlock()
		first.waits.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if w.count() != 1 {
			t.Fatal("it was replaced")
		}
		first.waits.Store(false)
		time.Sleep(quietLimit + 2*speaker.StatusEvery)
		synctest.Wait()
		if w.count() != 2 {
			t.Fatal("it was not replaced when it was silent in earnest")
		}
	})
}

// One that does not stop is killed.
func TestSessionDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		w.speaker().stuck = true
		began := time.Now()
		w.stop()
		if took := time.Since(began); took != stopLimit || !w.speaker().killed {
			t.Errorf("it took %v, killed: %v; want %v and true", took, w.speaker().killed, stopLimit)
		}
	})
}

// A reload goes to the same speaker; without vips none runs, and one comes back with them.
func TestSessionReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file())
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		if w.count() != 0 {
			t.Fatal("a speaker without vips")
		}
		w.configure(file(front()))
		synctest.Wait()
		s := w.speaker()
		s.become("front", vrrp.Master, "test")
		more := changed(addresses("10.0.0.20/24"), func(c *config.VIP) { c.Name, c.RouterID = "more", 20 })
		w.configure(file(front(), more))
		synctest.Wait()
		if c := s.last(); c.Serial != 2 || len(c.Groups) != 2 {
			t.Errorf("configuration %d with %d groups, want 2 with 2", c.Serial, len(c.Groups))
		}
		st := w.v.Status()
		if len(st.VIPs) != 2 || st.VIPs[0].State != vrrp.Master || st.VIPs[1].State != vrrp.Backup {
			t.Errorf("status = %+v", st)
		}
		w.configure(file(more))
		synctest.Wait()
		if st := w.v.Status(); len(st.VIPs) != 1 || st.VIPs[0].Name != "more" {
			t.Errorf("status = %+v", st)
		}
		w.configure(file())
		synctest.Wait()
		if got := s.kinds(); !strings.HasSuffix(got, " stop") || w.v.Status().Speaker.PID != 0 {
			t.Errorf("orders = %s, want a stop", got)
		}
		w.configure(file(front()))
		synctest.Wait()
		if w.count() != 2 || w.speaker() == s || w.v.Status().Speaker.Restarts != 0 {
			t.Errorf("%d speakers, want another one", w.count())
		}
	})
}

// What the speaker says is in the log, in its own words; what it could not do is in the status too.
func TestSessionHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		defer w.stop()
		s := w.speaker()
		s.reports <- speaker.Report{Log: &speaker.Line{Level: "warn", Message: "interface is gone", Fields: map[string]any{"interface": "eth0", "address": "10.0.0.10"}}}
		s.reports <- speaker.Report{Configured: &speaker.Configured{Serial: 1, Error: "open VRRP on eth0: permission denied"}}
		synctest.Wait()
		if want := `level=WARN msg="interface is gone" address=10.0.0.10 interface=eth0`; !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, w.log)
		}
		if got := w.v.Status().Speaker.Error; got != "open VRRP on eth0: permission denied" {
			t.Errorf("error = %q", got)
		}
		// A change that was lost on the way is seen in the next status.
		s.mu.Lock()
		s.instances[0].State, s.instances[0].Reason, s.instances[0].Since = vrrp.Fault, "the link is down", time.Now()
		s.instances[0].Master = netip.MustParseAddr("10.0.0.12")
		s.mu.Unlock()
		time.Sleep(speaker.StatusEvery)
		synctest.Wait()
		if v := w.v.Status().VIPs[0]; v.State != vrrp.Fault || v.Reason != "the link is down" || v.Master != netip.MustParseAddr("10.0.0.12") {
			t.Errorf("status = %+v", v)
		}
		// Of what is not configured nothing is believed.
		s.reports <- speaker.Report{Change: &speaker.Change{VIP: "other", Family: 4, To: vrrp.Master}}
		s.reports <- speaker.Report{Change: &speaker.Change{VIP: "front", Family: 6, To: vrrp.Master}}
		synctest.Wait()
	})
}

// The vip is master only when all families and all vips of its group are; it is none as soon as one is not.
func TestGroupState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		a := changed(addresses("10.0.0.10/24", "fd00::10/64"), func(c *config.VIP) { c.Group = "pair" })
		b := changed(addresses("10.0.0.20/24"), func(c *config.VIP) { c.Name, c.RouterID, c.Group = "back", 20, "pair" })
		w.configure(file(a, b))
		w.start()
		defer w.stop()
		s := w.speaker()
		say := func(vip string, family int, to vrrp.State) {
			s.mu.Lock()
			for _, i := range s.instances {
				if i.VIP == vip && i.Family == family {
					i.State = to
				}
			}
			s.mu.Unlock()
			s.reports <- speaker.Report{Change: &speaker.Change{VIP: vip, Family: family, To: to, Reason: "test", Time: time.Now()}}
			synctest.Wait()
		}
		check := func(want vrrp.State) {
			t.Helper()
			for _, v := range w.v.Status().VIPs {
				if v.State != want {
					t.Errorf("%s is %s, want %s", v.Name, v.State, want)
				}
			}
		}
		check(vrrp.Backup)
		say("front", 4, vrrp.Master)
		check(vrrp.Backup)
		say("front", 6, vrrp.Master)
		check(vrrp.Backup)
		say("back", 4, vrrp.Master)
		check(vrrp.Master)
		say("front", 6, vrrp.Fault)
		check(vrrp.Fault)
		say("back", 4, vrrp.Backup)
		check(vrrp.Fault)
		st := w.v.Status().VIPs[0]
		if len(st.Families) != 2 || len(st.Transitions) != 5 || st.Families[1].Became[vrrp.Fault] != 1 {
			t.Errorf("status = %+v", st)
		}
		for range 40 {
			say("front", 6, vrrp.Backup)
			say("front", 6, vrrp.Fault)
		}
		if got := len(w.v.Status().VIPs[0].Transitions); got != maxTransitions {
			t.Errorf("%d transitions are kept, want %d", got, maxTransitions)
		}
	})
}
