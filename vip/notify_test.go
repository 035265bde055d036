package vip

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/vip/vrrp"
)

func notified(c *config.VIP) { c.Notify = []string{"/bin/notify", "arg"} }

// states are what the commands were told.
func (w *world) states() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, c := range w.commands {
		var from, to string
		for _, e := range c.env {
			if s, ok := strings.CutPrefix(e, "SKEIN_OLD_STATE="); ok {
				from = s
			}
			if s, ok := strings.CutPrefix(e, "SKEIN_STATE="); ok {
				to = s
			}
		}
		all = append(all, from+">"+to)
	}
	return all
}

// The command is told of each change of the vip, not of its families, in order, and of the end too.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.answer = func(context.Context, command) (string, error) { time.Sleep(time.Second); return "done", nil }
		w.configure(file(changed(notified, addresses("10.0.0.10/24", "fd00::10/64"))))
		w.start()
		defer w.stop()
		w.speaker().become("front", vrrp.Master, "nobody else was heard")
		time.Sleep(1500 * time.Millisecond)
		if n := w.v.Status().VIPs[0].Notify; !n.Running || n.State != vrrp.Master || n.Runs != 1 {
			t.Errorf("status = %+v", n)
		}
		time.Sleep(time.Second)
		got := w.commands[1]
		want := command{[]string{"/bin/notify", "arg"}, []string{
			"SKEIN_VIP=front", "SKEIN_STATE=master", "SKEIN_OLD_STATE=backup", "SKEIN_REASON=nobody else was heard",
			"SKEIN_ADDRESSES=10.0.0.10 fd00::10", "SKEIN_NODE=lb1",
		}}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("command = %v, want %v", got, want)
		}
		w.stop()
		if got, want := w.states(), []string{"init>backup", "backup>master", "master>init"}; !slices.Equal(got, want) {
			t.Errorf("states = %v, want %v", got, want)
		}
		if n := w.v.Status().VIPs[0].Notify; n.Running || n.Runs != 3 || n.Failed != 0 || n.Took != time.Second {
			t.Errorf("status = %+v", n)
		}
	})
}

// A slow command misses the oldest changes, never the newest, and the end waits for that one alone.
func TestNotifySlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		running, most := 0, 0
		w.answer = func(ctx context.Context, _ command) (string, error) {
			w.mu.Lock()
			running++
			most = max(most, running)
			w.mu.Unlock()
			<-ctx.Done()
			w.mu.Lock()
			running--
			w.mu.Unlock()
			return "", fmt.Errorf("/bin/notify did not end within 10s")
		}
		w.configure(file(changed(notified)))
		w.start()
		defer w.stop()
		for range 10 {
			w.speaker().become("front", vrrp.Master, "test")
			w.speaker().become("front", vrrp.Backup, "test")
		}
		began := time.Now()
		time.Sleep(11 * time.Second) // the second run is under way
		n := w.v.Status().VIPs[0].Notify
		if n.Skipped != 12 || n.Failed != 1 || n.Error == "" {
			t.Errorf("status = %+v, want 12 skipped and 1 failed", n)
		}
		w.stop()
		if got := w.states(); len(got) != 3 || got[0] != "init>backup" || got[2] != "backup>init" {
			t.Errorf("states = %v, want the first, one more, and the end", got)
		}
		if took := time.Since(began); took != 30*time.Second || most != 1 {
			t.Errorf("the end took %v with %d runs at once", took, most)
		}
		if !strings.Contains(w.log.String(), "some changes were skipped") {
			t.Errorf("log: %s", w.log)
		}
	})
}

// A vip that is taken out of the file is told of its end by its last command.
func TestNotifyTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(changed(notified)))
		w.start()
		defer w.stop()
		w.speaker().become("front", vrrp.Master, "test")
		w.configure(file())
		synctest.Wait()
		if got, want := w.states(), []string{"init>backup", "backup>master", "master>init"}; !slices.Equal(got, want) {
			t.Errorf("states = %v, want %v", got, want)
		}
	})
}
