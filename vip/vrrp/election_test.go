package vrrp

import (
	"testing"
	"time"
)

func delayed(preempt, start time.Duration) func(*Settings) {
	return func(s *Settings) { s.PreemptDelay, s.StartDelay = preempt, start }
}

// The numbers: version 3, 100 ms, priority 100: skew 100 ms * 156/256 = 60.9375 ms, master down 360.9375 ms. Version 2, 1 s,
// priority 100: skew 0.609375 s, master down 3.609375 s.
const (
	skew3 = 60937500 * time.Nanosecond
	down3 = 360937500 * time.Nanosecond
	down2 = 3609375 * time.Microsecond
)

func TestElection(t *testing.T) {
	tests := []struct {
		name     string
		settings []Settings
		steps    []scene
	}{
		{"alone, v3", v3(), []scene{
			{0, start, "init>backup", down3},
			{down3 - 1, tick, "", down3},
			{down3, tick, seize, down3 + 100*ms},
			{down3 + 100*ms, tick, "send 100", down3 + 200*ms},
		}},
		{"alone, v2", v3(v2), []scene{
			{0, start, "init>backup", down2},
			{down2, tick, seize, down2 + sec},
		}},
		{"v2 skew does not depend on the interval", v3(v2, func(s *Settings) { s.Interval = 10 * sec }), []scene{
			{0, start, "init>backup", 30*sec + 609375*time.Microsecond},
		}},
		{"v2 priority 254", v3(v2, func(s *Settings) { s.Priority = 254 }), []scene{
			{0, start, "init>backup", 3*sec + 7812500},
		}},
		{"v3 shortest interval", v3(func(s *Settings) { s.Interval = 10 * ms }), []scene{
			{0, start, "init>backup", 36093750},
		}},
		{"the second round of announcements", v3(v2), []scene{
			{0, start, "init>backup", down2},
			{down2, tick, seize, down2 + sec},
			{down2 + 1*sec, tick, "send 100; announce 100", down2 + 2*sec},
			{down2 + 2*sec, tick, "send 100; announce 101", down2 + 3*sec},
			{down2 + 3*sec, tick, "send 100; announce 100", down2 + 4*sec},
			{down2 + 4*sec, tick, "send 100; announce 101", down2 + 5*sec},
			{down2 + 5*sec, tick, "send 100; announce 100; announce x5", down2 + 6*sec},
			{down2 + 6*sec, tick, "send 100; announce 101", down2 + 7*sec},
		}},
		{"lateness does not add up", v3(), []scene{
			{0, start, "init>backup", down3},
			{down3, tick, seize, down3 + 100*ms},
			{down3 + 130*ms, tick, "send 100", down3 + 200*ms},
			{down3 + 420*ms, tick, "send 100", down3 + 520*ms},
		}},
		{"a better master puts it off, an equal one too", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.1", 101), "", 100*ms + down3},
			{200 * ms, hear("10.0.0.1", 100), "", 200*ms + down3},
			{250 * ms, hear("10.0.0.9", 100), "", 250*ms + down3},
			{250*ms + down3, tick, seize, 350*ms + down3},
		}},
		{"preempt: a lesser one does not", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 99), "", down3},
			{200 * ms, hear("10.0.0.9", 99), "", down3},
			{down3, tick, seize, 100*ms + down3},
		}},
		{"nopreempt: it does", v3(nopreempt), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 99), "", 100*ms + down3},
			{200 * ms, hear("10.0.0.9", 99), "", 200*ms + down3},
			{200*ms + down3, tick, seize, 300*ms + down3},
		}},
		{"an owner preempts anyway", v3(nopreempt, owner, delayed(0, sec)), []scene{
			{0, start, "init>backup", sec},
			{100 * ms, hear("10.0.0.9", 254), "", sec},
			{sec, tick, "send 255; own; announce x5; backup>master", sec + 100*ms},
		}},
		{"preempt delay: from the first lesser one, and then the rest of the time", v3(delayed(sec, 0)), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 99), "", 100*ms + down3}, // the delay ends at 1.1 s
			{400 * ms, hear("10.0.0.9", 99), "", 400*ms + down3},
			{700 * ms, hear("10.0.0.9", 99), "", 700*ms + down3},
			{1000 * ms, hear("10.0.0.9", 99), "", 1000*ms + down3},
			{1099 * ms, hear("10.0.0.9", 99), "", 1099*ms + down3},
			{1100 * ms, hear("10.0.0.9", 99), "", 1099*ms + down3},
			{1400 * ms, hear("10.0.0.9", 99), "", 1099*ms + down3},
			{1099*ms + down3, tick, seize, 1199*ms + down3},
		}},
		{"preempt delay: a better one clears it", v3(delayed(300*ms, 0)), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 99), "", 100*ms + down3},
			{200 * ms, hear("10.0.0.1", 101), "", 200*ms + down3},
			{410 * ms, hear("10.0.0.9", 99), "", 410*ms + down3}, // begins anew
			{700 * ms, hear("10.0.0.9", 99), "", 700*ms + down3},
			{711 * ms, hear("10.0.0.9", 99), "", 700*ms + down3},
		}},
		{"preempt delay: does not delay when the master is gone", v3(delayed(100*sec, 0)), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 99), "", 100*ms + down3},
			{100*ms + down3, tick, seize, 200*ms + down3},
		}},
		{"start delay", v3(delayed(0, 2*sec)), []scene{
			{0, start, "init>backup", 2*sec + down3},
			{sec, hear("10.0.0.9", 99), "", 2*sec + down3},
			{1100 * ms, hear("10.0.0.9", 200), "", 1100*ms + down3},
		}},
		{"priority 0: skew", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 200), "", 100*ms + down3},
			{200 * ms, hear("10.0.0.9", 0), "", 200*ms + skew3},
			{220 * ms, hear("10.0.0.9", 0), "", 200*ms + skew3}, // saying it again does not put it off
			{200*ms + skew3, tick, seize, 300*ms + skew3},
		}},
		{"priority 0: nopreempt and the delay do not matter", v3(nopreempt, delayed(sec, 0)), []scene{
			{0, start, "init>backup", down3},
			{200 * ms, hear("10.0.0.9", 0), "", 200*ms + skew3},
		}},
		{"priority 0: a late one is no reprieve", v3(), []scene{
			{0, start, "init>backup", down3},
			{down3 - ms, hear("10.0.0.9", 0), "", down3},
		}},
		{"priority 0: another was faster", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hear("10.0.0.9", 0), "", 100*ms + skew3},
			{110 * ms, hear("10.0.0.8", 150), "", 110*ms + down3},
		}},
		{"owner", v3(owner), []scene{
			{0, start, "send 255; own; announce x5; init>master", 100 * ms},
		}},
		{"v3 learns the interval", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hearEvery("10.0.0.9", 200, sec), "", 100*ms + 3609375*time.Microsecond},
			{1100 * ms, hearEvery("10.0.0.9", 0, sec), "", 1100*ms + 609375*time.Microsecond},
			{1100*ms + 609375*time.Microsecond, tick, seize, 1200*ms + 609375*time.Microsecond}, // and speaks in its own
		}},
		{"what was learned is forgotten as a master", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hearEvery("10.0.0.9", 0, sec), "", 100*ms + skew3},
			{110 * ms, hearEvery("10.0.0.8", 200, sec), "", 110*ms + down2},
			{110*ms + down2, tick, seize, 210*ms + down2},
			{120*ms + down2, yield, "send 0; disown; master>backup", 120*ms + down2 + down3},
		}},
		{"and by a fault", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hearEvery("10.0.0.9", 200, sec), "", 100*ms + down2},
			{200 * ms, fault(0, "no carrier"), "backup>fault", never},
			{300 * ms, fault(0, ""), "fault>backup", 300*ms + down3},
		}},
		{"v3 does not learn from one that it takes over from", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hearEvery("10.0.0.9", 99, sec), "", down3},
		}},
		{"asleep as a backup: it listens first", v3(), []scene{
			{0, start, "init>backup", down3},
			{down3 + 301*ms, tick, "", 2*down3 + 301*ms},
			{2*down3 + 301*ms, tick, seize, 2*down3 + 401*ms},
		}},
		{"merely late as a backup", v3(), []scene{
			{0, start, "init>backup", down3},
			{down3 + 300*ms, tick, seize, down3 + 400*ms},
		}},
		{"stop as a backup, and a second start", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, stop, "backup>init", never},
			{200 * ms, hear("10.0.0.9", 0), "", never},
			{900 * ms, tick, "", never},
			{sec, start, "init>backup", sec + down3},
			{1100 * ms, start, "", sec + down3},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { follow(t, test.settings, test.steps) })
	}
}
