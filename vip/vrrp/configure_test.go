package vrrp

import (
	"testing"
)

func addresses(list ...string) event {
	return configure(func(s *Settings) { s.Addresses = ips(list...) })
}

func TestConfigure(t *testing.T) {
	tests := []struct {
		name     string
		settings []Settings
		steps    []scene
	}{
		{"nothing", v3(), mastered(scene{50 * ms, configure(func(*Settings) {}), "", 100 * ms})},
		{"an address more", v3(), mastered(
			scene{50 * ms, addresses("10.0.0.100", "10.0.0.101", "10.0.0.102"), "send 100; own 102; announce 102 x5", 150 * ms},
			scene{150 * ms, stop, "send 0; disown; master>init", never},
		)},
		{"an address less", v3(), mastered(
			scene{50 * ms, addresses("10.0.0.101"), "send 100; disown 100", 150 * ms},
			scene{150 * ms, stop, "send 0; disown; master>init", never},
		)},
		{"one for another, the new one first", v3(), mastered(
			scene{50 * ms, addresses("10.0.0.101", "10.0.0.102"), "send 100; own 102; disown 100; announce 102 x5", 150 * ms},
		)},
		{"another order", v3(), mastered(scene{50 * ms, addresses("10.0.0.101", "10.0.0.100"), "send 100", 150 * ms})},
		{"a longer interval is said before the backups miss us", v3(), mastered(
			scene{50 * ms, configure(func(s *Settings) { s.Interval = sec }), "send 100", 50*ms + sec},
			scene{50*ms + 3*sec, tick, "send 100; announce 100", 50*ms + 4*sec},
		)},
		{"a shorter interval is no sleep", v3(), mastered(
			scene{10 * ms, configure(func(s *Settings) { s.Interval = sec }), "send 100", 10*ms + sec},
			scene{900 * ms, configure(func(s *Settings) { s.Interval = 100 * ms }), "send 100", sec},
			scene{sec, tick, "send 100; announce 100", sec + 100*ms},
		)},
		{"priority", v3(), mastered(
			scene{50 * ms, configure(func(s *Settings) { s.Priority = 120 }), "send 120", 150 * ms},
		)},
		{"priority, while it is another by SetPriority", v3(), mastered(
			scene{50 * ms, priority(3), "send 3", 150 * ms},
			scene{60 * ms, configure(func(s *Settings) { s.Priority = 120 }), "", 150 * ms},
			scene{70 * ms, priority(120), "send 120", 170 * ms},
		)},
		{"unicast", v3(), mastered(
			scene{50 * ms, configure(func(s *Settings) { s.Peers = ips("10.0.0.9", "10.0.0.8") }), "send 100 x2", 150 * ms},
			scene{60 * ms, hear("10.0.0.9", 120), cede, 60*ms + down3},
		)},
		{"password", v3(v2), []scene{
			{0, start, "init>backup", down2},
			{down2, tick, seize, down2 + sec},
			{down2 + 50*ms, configure(func(s *Settings) { s.Password = "x" }), "send 100", down2 + sec + 50*ms},
		}},
		{"a backup", v3(), []scene{
			{0, start, "init>backup", down3},
			{50 * ms, addresses("10.0.0.101"), "", down3},
			{60 * ms, configure(func(s *Settings) { s.Priority = 120 }), "", down3},
			{down3, tick, "send 120; own; announce x5; backup>master", down3 + 100*ms},
		}},
		{"a learned interval stays", v3(), []scene{
			{0, start, "init>backup", down3},
			{100 * ms, hearEvery("10.0.0.9", 200, sec), "", 100*ms + down2},
			{200 * ms, configure(func(s *Settings) { s.Interval = 50 * ms }), "", 100*ms + down2},
			{1000 * ms, hearEvery("10.0.0.9", 0, sec), "", 1000*ms + down2 - 3*sec},
		}},
		{"invalid", v3(), mastered(scene{50 * ms, configure(func(s *Settings) { s.Interval = 0 }), "refused>", 100 * ms})},
		{"another version", v3(), mastered(scene{50 * ms, configure(v2), "refused>", 100 * ms})},
		{"another router ID", v3(), mastered(scene{50 * ms, configure(func(s *Settings) { s.RouterID++ }), "refused>", 100 * ms})},
		{"another source", v3(), mastered(scene{50 * ms, configure(func(s *Settings) { s.Source = ip("10.0.0.6") }), "refused>", 100 * ms})},
		{"another family", v3(), mastered(scene{50 * ms, configure(func(s *Settings) {
			s.Source, s.Addresses = ip("fe80::1"), ips("fd00::1")
		}), "refused>", 100 * ms})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { follow(t, test.settings, test.steps) })
	}
}
