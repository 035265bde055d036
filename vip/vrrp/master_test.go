package vrrp

import (
	"strings"
	"testing"
)

// mastered begins a script at the moment 0 with a master of priority 100.
func mastered(steps ...scene) []scene {
	for i := range steps {
		steps[i].at += down3
		if steps[i].next != never {
			steps[i].next += down3
		}
	}
	return append([]scene{{0, start, "init>backup", down3}, {down3, tick, seize, down3 + 100*ms}}, steps...)
}

func TestMaster(t *testing.T) {
	tests := []struct {
		name     string
		settings []Settings
		steps    []scene
	}{
		{"a better one: falls silent, and waits for it", v3(), mastered(
			scene{50 * ms, hear("10.0.0.1", 101), cede, 50*ms + down3},
			scene{50*ms + down3, tick, seize, 150*ms + down3},
		)},
		{"a better one: learns its interval", v3(), mastered(
			scene{50 * ms, hearEvery("10.0.0.1", 101, sec), cede, 50*ms + down2},
		)},
		{"an equal one of a higher address", v3(), mastered(scene{50 * ms, hear("10.0.0.6", 100), cede, 50*ms + down3})},
		{"an equal one of a higher address, compared as numbers", v3(), mastered(scene{50 * ms, hear("10.0.0.10", 100), cede, 50*ms + down3})},
		{"an equal one of a lower address", v3(), mastered(
			scene{50 * ms, hear("10.0.0.4", 100), "send 100; announce", 150 * ms},
			scene{150 * ms, tick, "send 100; announce x5", 250 * ms}, // by now it has let go
			scene{250 * ms, tick, "send 100", 350 * ms},
		)},
		{"a lesser one: nopreempt does not matter", v3(nopreempt), mastered(
			scene{50 * ms, hear("10.0.0.9", 99), "send 100; announce", 150 * ms},
		)},
		{"answers are limited, and put off rather than lost", v3(), mastered(
			scene{50 * ms, hear("10.0.0.9", 99), "send 100; announce", 150 * ms},
			scene{51 * ms, hear("10.0.0.9", 99), "", 62500 * 1000},
			scene{52 * ms, hear("10.0.0.8", 99), "", 62500 * 1000},
			scene{62500 * 1000, tick, "send 100; announce x5", 162500 * 1000},
			scene{63 * ms, hear("10.0.0.9", 99), "", 75 * ms},
			scene{75 * ms, tick, "send 100; announce x5", 175 * ms},
		)},
		{"priority 0: answered, as backups have heard it", v3(), mastered(
			scene{50 * ms, hear("10.0.0.9", 0), "send 100", 150 * ms},
		)},
		{"two owners: the lower address gives in", v3(owner), []scene{
			{0, start, "send 255; own; announce x5; init>master", 100 * ms},
			{10 * ms, hear("10.0.0.6", 255), cede, 10*ms + 300*ms + 781250},
			{310*ms + 781250, tick, "send 254; own; announce x5; backup>master", 410*ms + 781250},
			{320*ms + 781250, hear("10.0.0.6", 255), cede, 320*ms + 781250 + 300*ms + 781250},
		}},
		{"two owners: the higher address stays", v3(owner), []scene{
			{0, start, "send 255; own; announce x5; init>master", 100 * ms},
			{10 * ms, hear("10.0.0.4", 255), "send 255; announce", 110 * ms},
		}},
		{"stop", v3(), mastered(scene{50 * ms, stop, "send 0; disown; master>init", never})},
		{"slept: silent until it has listened", v3(), mastered(
			scene{301 * ms, tick, cede, 301*ms + down3},
			scene{301*ms + down3, tick, seize, 401*ms + down3},
		)},
		{"slept: noticed by whatever comes first", v3(), mastered(
			scene{301 * ms, hear("10.0.0.9", 99), cede, 301*ms + down3},
		)},
		{"slept: not even a new priority is said", v3(), mastered(
			scene{301 * ms, priority(50), cede, 301*ms + down3},
		)},
		{"not slept", v3(), mastered(scene{300 * ms, tick, "send 100", 400 * ms})},
		{"priority: said at once", v3(), mastered(
			scene{50 * ms, priority(3), "send 3", 150 * ms},
			scene{60 * ms, priority(3), "", 150 * ms},
			scene{70 * ms, priority(100), "send 100", 170 * ms},
			scene{80 * ms, priority(255), "send 254", 180 * ms}, // 255 belongs to owners
		)},
		{"owner: its priority never changes", v3(owner), []scene{
			{0, start, "send 255; own; announce x5; init>master", 100 * ms},
			{50 * ms, priority(3), "", 100 * ms},
		}},
		{"fault", v3(), mastered(
			scene{50 * ms, fault(0, "no carrier"), "send 0; disown; master>fault", never},
			scene{60 * ms, hear("10.0.0.9", 0), "", never},
			scene{70 * ms, fault(0, "isolated"), "", never},
			scene{80 * ms, tick, "", never},
			scene{90 * ms, fault(0, ""), "fault>backup", 90*ms + down3},
		)},
		{"yield: the others first, then again", v3(), mastered(
			scene{50 * ms, yield, "send 0; disown; master>backup", 50*ms + down3},
			scene{60 * ms, yield, "", 50*ms + down3},
			scene{50*ms + down3, tick, seize, 150*ms + down3},
		)},
		{"yield as the lowest", v3(), mastered(
			scene{50 * ms, priority(1), "send 1", 150 * ms},
			scene{60 * ms, yield, "send 0; disown; master>backup", 60*ms + 300*ms + 99609375},
		)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { follow(t, test.settings, test.steps) })
	}
}

// Floor: a master below it serves nobody. Skew at priority 100 is 60.9375 ms.
func TestFloor(t *testing.T) {
	tests := []struct {
		name     string
		settings []Settings
		steps    []scene
	}{
		{"taken over within the skew, nopreempt or not", v3(nopreempt), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 200), "", 100*ms + down3},
			{200 * ms, hear("10.0.0.9", 4), "", 200*ms + skew3},
			{230 * ms, hear("10.0.0.9", 4), "", 200*ms + skew3},
			{200*ms + skew3, tick, seize, 300*ms + skew3},
		}},
		{"nor does the delay matter", v3(delayed(sec, 0)), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 4), "", 100*ms + skew3},
		}},
		{"it recovers in time", v3(nopreempt), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 4), "", 100*ms + skew3},
			{120 * ms, hear("10.0.0.9", 90), "", 120*ms + down3},
		}},
		{"at the floor is not below it", v3(nopreempt), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 5), "", 100*ms + down3},
		}},
		{"both below: the usual rules", v3(nopreempt), []scene{
			{0, priority(4), "", never},
			{0, start, "init>backup", 300*ms + 98437500},
			{100 * ms, hear("10.0.0.9", 3), "", 100*ms + 300*ms + 98437500},
		}},
		{"no floor", v3(nopreempt, func(s *Settings) { s.Floor = 0 }), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 1), "", 100*ms + down3},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { follow(t, test.settings, test.steps) })
	}
}

// A fault that is there before the start, and the words of the status.
func TestReasons(t *testing.T) {
	g := follow(t, v3(), []scene{
		{0, fault(0, "no carrier"), "", never},
		{0, start, "init>fault", never},
		{sec, fault(0, ""), "fault>backup", sec + down3},
		{sec + 100*ms, hear("10.0.0.9", 90), "", sec + down3},
	})
	m := g.Machines()[0]
	if m.Master() != ip("10.0.0.9") || m.State() != Backup || m.Since() != epoch+sec {
		t.Errorf("master %v, state %s since %v", m.Master(), m.State(), m.Since())
	}
	reasons := func(event []Action) string { return event[len(event)-1].Reason }
	if got, want := reasons(g.Tick(epoch+sec+down3)), "10.0.0.9 advertises 90, which is less than 100"; got != want {
		t.Errorf("reason = %q, want %q", got, want)
	}
	if m.Master().IsValid() {
		t.Errorf("a master has the master %v", m.Master())
	}
	if got, want := reasons(hear("10.0.0.9", 120)(g, epoch+sec+down3+ms)), "10.0.0.9 advertises 120"; got != want {
		t.Errorf("reason = %q, want %q", got, want)
	}
	if got, want := reasons(g.Tick(epoch+sec+2*down3+ms)), "10.0.0.9 is not heard any more"; got != want {
		t.Errorf("reason = %q, want %q", got, want)
	}
	if got := reasons(g.Tick(epoch + 10*sec)); !strings.HasPrefix(got, "slept for ") {
		t.Errorf("reason = %q, want slept for", got)
	}
	hear("10.0.0.9", 0)(g, epoch+10*sec)
	at, _ := g.Deadline()
	if got, want := reasons(g.Tick(at)), "10.0.0.9 gave up"; got != want {
		t.Errorf("reason = %q, want %q", got, want)
	}
	c := m.Counters()
	if c.BecameMaster != 3 || c.Slept != 1 || c.MastersBeside != 1 || c.ReceivedZero != 1 || c.Received != 3 || c.BecameFault != 1 {
		t.Errorf("counters %+v", c)
	}
}
