package vip

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// heirOf is a process that replaces that of w: frozen, with its speaker.
func heirOf(t *testing.T, w *world) *world {
	t.Helper()
	h := newWorld(t, w.v.o.State)
	h.net = w.net // the same machine, by the same clock
	h.v.o.Net = w.net
	h.v.Freeze()
	h.configure(file(changed(notified)))
	h.start()
	return h
}

// The heir goes on where the elder was: nothing is given up, nothing is elected, judged or told anew.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elder, s := master(t, changed(notified))
		time.Sleep(5 * time.Second)
		since := elder.v.Status().VIPs[0].Since
		heir := heirOf(t, elder)
		defer heir.stop()
		if err := heir.v.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // until the elder lets go
		if got := heir.speaker().kinds(); got != "beat" {
			t.Errorf("orders before the elder lets go = %s", got)
		}
		if heir.probes != 0 || heir.count() != 1 {
			t.Errorf("%d probes and %d speakers before the elder lets go", heir.probes, heir.count())
		}
		elder.v.Freeze()
		if got := s.kinds(); !strings.Contains(got, " release") {
			t.Errorf("orders of the elder's speaker = %s", got)
		}
		if info, err := os.Stat(filepath.Join(elder.v.o.State, handedFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("what is left: %v, %v", info, err)
		}
		if err := heir.v.Thaw(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h := heir.speaker()
		if got := h.kinds(); got != "beat configure beat" && got != "beat configure" {
			t.Errorf("orders of the heir's speaker = %s", got)
		}
		h.mu.Lock()
		for i, o := range h.orders {
			if o.Configure != nil && h.orders[i-1].Beat.Ranks["front"].Fitness != speaker.Fit {
				t.Errorf("the speaker resumes as %v", h.orders[i-1].Beat.Ranks)
			}
		}
		h.mu.Unlock()
		if c := h.last(); len(c.Resume) != 1 || c.Resume[0].State != vrrp.Master {
			t.Errorf("resume = %+v", c.Resume)
		}
		if v := heir.v.Status().VIPs[0]; v.State != vrrp.Master || !v.Since.Equal(since) || len(v.Transitions) != 2 || v.Families[0].Became[vrrp.Master] != 1 {
			t.Errorf("status = %+v", v)
		}
		if _, err := os.Stat(filepath.Join(elder.v.o.State, handedFile)); err == nil {
			t.Error("what was left is still there")
		}
		// The elder ends, with nothing to give up and nothing to tell.
		told := len(elder.states())
		elder.v.HandOver(t.Context())
		elder.stop()
		if len(elder.states()) != told || strings.Contains(s.kinds(), "stop") || strings.Contains(s.kinds(), "yield") {
			t.Errorf("orders of the elder's speaker = %s, told %v", s.kinds(), elder.states())
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(heir.states()) != 0 || heir.count() != 1 || heir.probes == 0 {
			t.Errorf("the heir told %v, has %d speakers, has probed %d times", heir.states(), heir.count(), heir.probes)
		}
		// A second speaker of the heir has nothing to resume.
		h.die("signal: killed")
		synctest.Wait()
		if c := heir.speaker().last(); len(c.Resume) != 0 {
			t.Errorf("resume = %+v", c.Resume)
		}
	})
}

// Without a word that can be believed the heir starts as any other process.
func TestUpgradeWithoutWord(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(h *handed) any // what is in the file; nil is no file
		want   string
	}{
		{"the elder has died", func(*handed) any { return nil }, ""},
		{"too old", func(h *handed) any { h.At -= handedFresh; return h }, "10s old, at most 10s is believed"},
		{"of the future", func(h *handed) any { h.At += time.Hour; return h }, "is -1h0m0s old"},
		{"before a start of the machine", func(h *handed) any { h.Boot = "other"; return h }, "before the machine was started"},
		{"of another version", func(h *handed) any { h.Version = 99; return h }, "is of version 99, want 1"},
		{"damaged", func(*handed) any { return "{" }, "vip.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				elder, _ := master(t, front())
				heir := heirOf(t, elder)
				defer heir.stop()
				elder.v.Freeze()
				path := filepath.Join(elder.v.o.State, handedFile)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				var h handed
				if err := json.Unmarshal(b, &h); err != nil {
					t.Fatal(err)
				}
				switch c := test.change(&h).(type) {
				case nil:
					err = os.Remove(path)
				default:
					b, _ = json.Marshal(c)
					err = os.WriteFile(path, b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				err = heir.v.Thaw()
				if text := errorText(err); (test.want == "") != (text == "") || !strings.Contains(text, test.want) {
					t.Errorf("error = %q, want %q", text, test.want)
				}
				synctest.Wait()
				if c := heir.speaker().last(); c == nil || len(c.Resume) != 0 {
					t.Errorf("configuration = %+v, want one without resume", c)
				}
				if v := heir.v.Status().VIPs[0]; v.State != vrrp.Backup || v.Fitness != speaker.Fit {
					t.Errorf("status = %+v", v)
				}
				elder.stop()
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// An elder whose speaker does not answer has nothing to leave, and says so.
func TestUpgradeStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elder, s := master(t, front())
		heir := heirOf(t, elder)
		defer heir.stop()
		s.mu.Lock()
		s.stuck = true
		s.mu.Unlock()
		began := time.Now()
		elder.v.Freeze()
		if took := time.Since(began); took != releaseLimit {
			t.Errorf("it took %v, want %v", took, releaseLimit)
		}
		if !strings.Contains(elder.log.String(), "the speaker did not answer within 1s") {
			t.Errorf("log: %s", elder.log)
		}
		synctest.Wait()
		if !s.killed {
			t.Error("the speaker lives")
		}
		if err := heir.v.Thaw(); err != nil {
			t.Error(err)
		}
		elder.stop()
	})
}

// A node that is handing over when it is upgraded does so again in the new process; one that is drained and owns nothing stays
// as it is.
func TestUpgradeWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elder, s := master(t, front())
		elder.drain(true)
		elder.expect("leaving [10.0.0.10]")
		heir := heirOf(t, elder)
		defer heir.stop()
		heir.set(func() { heir.drained = true })
		time.Sleep(time.Second)
		elder.v.Freeze()
		if err := heir.v.Thaw(); err != nil {
			t.Fatal(err)
		}
		elder.stop()
		if got := s.kinds(); strings.Contains(got, "yield") || strings.Contains(got, "stop") {
			t.Errorf("orders of the elder's speaker = %s", got)
		}
		heir.expect("leaving [10.0.0.10]")
		if got := heir.speaker().rank("front").Fitness; got != speaker.Fit {
			t.Errorf("rank = %s", got)
		}
		elder.net.disconnect(1, 2, 3)
		time.Sleep(time.Second)
		if v := heir.v.Status().VIPs[0]; v.State != vrrp.Backup || v.Fitness != speaker.Drained || v.Handovers[HandoverClean] != 1 {
			t.Errorf("status = %+v", v)
		}
	})
}

// Without vips an upgrade waits for nothing.
func TestUpgradeWithoutVIPs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.v.Freeze()
		w.configure(file())
		w.start()
		defer w.stop()
		if err := w.v.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if err := w.v.Thaw(); err != nil {
			t.Error(err)
		}
		if w.count() != 0 {
			t.Error("a speaker was started")
		}
		w.v.Freeze()
	})
	synctest.Test(t, func(t *testing.T) { // a speaker that cannot be started must not hold the upgrade for ever
		w := newWorld(t, t.TempDir())
		w.v.Freeze()
		w.starting = errBroken
		w.configure(file(front()))
		w.start()
		defer w.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.v.Ready(ctx); err == nil {
			t.Error("no error")
		}
	})
}
