package vrrp

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// handOver releases a group and makes the heir of its snapshots, as they come out of a file.
func handOver(t *testing.T, g *Group, now Time, settings []Settings) (heir *Group, snapshots []Snapshot) {
	t.Helper()
	b, err := json.Marshal(g.Release(now))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &snapshots); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.Deadline(); ok || len(g.Tick(now+sec)) > 0 || len(hear("10.0.0.9", 0)(g, now)) > 0 || len(g.Stop(now)) > 0 {
		t.Error("a released group does something")
	}
	if heir, err = NewGroup(settings...); err != nil {
		t.Fatal(err)
	}
	return heir, snapshots
}

func TestResumeMaster(t *testing.T) {
	const once = "send 100; 1:send 100; announce; 1:announce"
	tests := []struct {
		name  string
		after time.Duration
		heir  func(s []Settings)
		do    func(g *Group, s *[]Snapshot)
		want  string
		state State
	}{
		{"as it was", 30 * ms, nil, nil, once, Master},
		{"just in time", 300 * ms, nil, nil, once, Master},
		{"too late", 301 * ms, nil, nil, cedeTwo, Backup},
		{
			"a fault", 30 * ms, nil, func(g *Group, _ *[]Snapshot) { g.Fault(epoch, g.machines[1], true, "no carrier") },
			"send 0; 1:send 0; disown; 1:disown; master>fault; 1:master>fault", Fault,
		},
		{
			"too late, and a fault", 301 * ms, nil, func(g *Group, _ *[]Snapshot) { g.Fault(epoch, g.machines[1], true, "no carrier") },
			cedeTwo + "; backup>fault; 1:backup>fault", Fault,
		},
		{"one is missing", 30 * ms, nil, func(_ *Group, s *[]Snapshot) { *s = (*s)[1:] }, "1:disown; init>backup; 1:init>backup", Backup},
		{"snapshots in another order", 30 * ms, nil, func(_ *Group, s *[]Snapshot) { slices.Reverse(*s) }, once, Master},
		{
			"another file", 30 * ms, func(s []Settings) { s[0].Addresses = ips("10.0.0.101", "10.0.0.102") }, nil,
			"send 100; 1:send 100; own 102; disown 100; announce; 1:announce", Master,
		},
		{
			"another file, too late", 301 * ms, func(s []Settings) { s[0].Addresses = ips("10.0.0.101", "10.0.0.102") }, nil,
			"disown 100 101; 1:disown; master>backup; 1:master>backup", Backup,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			settings := pair(100, 100)
			g := follow(t, settings, []scene{{0, start, both, down3}, {down3, tick, seizeTwo, down3 + 100*ms}})
			now := epoch + down3 + 10*ms
			if test.heir != nil {
				test.heir(settings)
			}
			heir, snapshots := handOver(t, g, now, settings)
			if test.do != nil {
				test.do(heir, &snapshots)
			}
			now = epoch + down3 + test.after
			if got := story(heir, heir.Resume(now, snapshots)); got != test.want || heir.state != test.state {
				t.Fatalf("Resume =\n%q in %s, want\n%q in %s", got, heir.state, test.want, test.state)
			}
			m := heir.Machines()[1]
			if at, ok := heir.Deadline(); test.state == Master && (!ok || at != now+min(settings[0].Interval, 100*ms) || m.Since() != epoch+down3 || m.Reason() != "no master was heard") {
				t.Errorf("deadline %v, since %v, reason %q", at, m.Since(), m.Reason())
			}
			if heir.state == Backup && len(heir.Resume(now, snapshots)) > 0 {
				t.Error("resumed twice")
			}
		})
	}
}

// What a process has learned goes on in the next one.
func TestResumeBackup(t *testing.T) {
	g := follow(t, v3(), []scene{
		{0, start, "init>backup", down3},
		{50 * ms, priority(90), "", down3},
		{100 * ms, hearEvery("10.0.0.9", 200, sec), "", 100*ms + 3*sec + 648437500},
		{110 * ms, hear("10.0.0.5", 200), "", 100*ms + 3*sec + 648437500},
	})
	before := g.Machines()[0].Counters()
	heir, snapshots := handOver(t, g, epoch+200*ms, v3())
	if got := heir.Resume(epoch+sec, snapshots); len(got) > 0 {
		t.Errorf("Resume = %s, want nothing", story(heir, got))
	}
	m := heir.Machines()[0]
	if at, ok := heir.Deadline(); !ok || at != epoch+100*ms+3*sec+648437500 || m.Priority() != 90 || m.State() != Backup {
		t.Errorf("deadline %v, priority %d, state %s", at-epoch, m.Priority(), m.State())
	}
	if diff := cmp.Diff(before, m.Counters()); diff != "" {
		t.Error(diff)
	}
	if got := story(heir, hearEvery("10.0.0.9", 0, sec)(heir, epoch+sec)); got != "" {
		t.Errorf("priority 0 = %s", got)
	}
	if at, _ := heir.Deadline(); at != epoch+sec+648437500 {
		t.Errorf("skew until %v, want by the learned interval", at-epoch)
	}
}

// Snapshots come from a file: nonsense must not hurt.
func TestResumeNonsense(t *testing.T) {
	good := Snapshot{Version: 3, RouterID: 10, State: Backup, Priority: 100, Learned: 100 * ms, Deadline: epoch + down3}
	for name, change := range map[string]func(s *Snapshot){
		"another router":              func(s *Snapshot) { s.RouterID = 11 },
		"another family":              func(s *Snapshot) { s.IPv6 = true },
		"no state":                    func(s *Snapshot) { s.State = "" },
		"a clock that has begun anew": func(s *Snapshot) { s.State, s.Sent = Master, epoch+1 },
		"a fault":                     func(s *Snapshot) { s.State = Fault },
	} {
		g := follow(t, v3(), nil)
		s := good
		change(&s)
		if got := story(g, g.Resume(epoch, []Snapshot{s})); got != "init>backup" {
			t.Errorf("%s: Resume = %q, want a start", name, got)
		}
	}
	far := good
	far.Deadline = 2 * epoch
	g := follow(t, v3(), nil)
	g.Resume(epoch, []Snapshot{far})
	if at, _ := g.Deadline(); at != epoch+down3 {
		t.Errorf("deadline in %v, want %v", at-epoch, down3)
	}
	g = follow(t, v3(), nil)
	zero := Snapshot{Version: 3, RouterID: 10, State: Backup}
	if got := story(g, g.Resume(epoch, []Snapshot{zero})); got != "" {
		t.Errorf("Resume = %q", got)
	}
	want := Settings{Version: 3, RouterID: 10, Interval: 100 * ms}
	m := g.Machines()[0]
	if diff := cmp.Diff(want, m.Settings(), cmpopts.IgnoreFields(Settings{}, "Addresses", "Source", "Priority", "Preempt", "Floor", "Checksum")); diff != "" || m.Priority() != 100 || m.learned != 100*ms {
		t.Errorf("%s\npriority %d, learned %v", diff, m.Priority(), m.learned)
	}
	// The deadline is long past: it has slept, and listens.
	if got, want := story(g, g.Tick(epoch)), ""; got != want || g.state != Backup {
		t.Errorf("Tick = %q in %s", got, g.state)
	}
}

// A roll-out goes on in the next process; and an upgrade may begin one, as it reads the file anew.
func TestResumeRollout(t *testing.T) {
	first, second := virtual(false, 0, 1), virtual(false, 0, 2)
	list := func(g *Group, at time.Duration) int {
		t.Helper()
		a, _, err := Parse(Received{Payload: g.Tick(epoch + at)[0].Payload, Src: ip("10.0.0.5"), Dst: Multicast(false)})
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Addresses)
	}
	with := func(addresses []netip.Addr) []Settings {
		return v3(func(s *Settings) { s.Addresses = addresses })
	}
	for name, reloaded := range map[string]bool{"reload, upgrade": true, "upgrade": false} {
		g := follow(t, with(first), []scene{{0, start, "init>backup", down3}, {down3, tick, seize, down3 + 100*ms}})
		if reloaded {
			g.Configure(epoch+down3+ms, g.machines[0], with(second)[0])
		}
		heir, snapshots := handOver(t, g, epoch+down3+2*ms, with(second))
		heir.Resume(epoch+down3+3*ms, snapshots)
		if got := list(heir, down3+103*ms); got != 1 {
			t.Errorf("%s: says %d addresses, want the former list", name, got)
		}
		m := heir.machines[0]
		m.sent, m.deadline.at = epoch+2*sayFormer, epoch+2*sayFormer
		if got := list(heir, 2*sayFormer); got != 2 {
			t.Errorf("%s: says %d addresses after %v, want the list", name, got, sayFormer)
		}
		if !m.rollout.takes(epoch + 2*sayFormer) {
			t.Errorf("%s: does not take the former list", name)
		}
		snapshots[0].Former = ips("fd00::1")
		m.rollout.restore(&snapshots[0])
		if m.rollout.take.set {
			t.Errorf("%s: took a list of the other family over", name)
		}
	}
}
