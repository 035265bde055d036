package vrrp

import (
	"strings"
	"testing"
)

// pair is a group of an IPv4 and an IPv6 router of 100 ms; the IPv4 one leads.
func pair(first, second uint8) []Settings {
	a := v3(func(s *Settings) { s.Priority = first })[0]
	b := v3(func(s *Settings) { s.Priority = second })[0]
	b.Addresses, b.Source = ips("fd00::100", "fd00::101"), ip("fe80::5")
	return []Settings{a, b}
}

const (
	both     = "init>backup; 1:init>backup"
	seizeTwo = "send 100; 1:send 100; own; 1:own; announce x5; 1:announce x5; backup>master; 1:backup>master"
	cedeTwo  = "disown; 1:disown; master>backup; 1:master>backup"
)

func TestGroup(t *testing.T) {
	tests := []struct {
		name     string
		settings []Settings
		steps    []scene
	}{
		{"becomes master at once and together", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 100*ms, tick, "send 100; 1:send 100", down3 + 200*ms},
		}},
		{"one hears a master: none is", pair(100, 100), []scene{
			{0, start, both, down3},
			{100 * ms, hearOn(1, "fe80::9", 200, 0), "", down3},
			{down3, tick, "", 100*ms + down3}, // the first waits without a timer
			{400 * ms, hearOn(1, "fe80::9", 200, 0), "", 400*ms + down3},
			{400*ms + down3, tick, seizeTwo, 500*ms + down3},
		}},
		{"the one whose time had come hears a master again", pair(100, 100), []scene{
			{0, start, both, down3},
			{100 * ms, hearOn(1, "fe80::9", 200, 0), "", down3},
			{down3, tick, "", 100*ms + down3},
			{down3 + 10*ms, hear("10.0.0.9", 200), "", 100*ms + down3},
			{100*ms + down3, tick, "", 10*ms + 2*down3},
			{10*ms + 2*down3, tick, seizeTwo, 110*ms + 2*down3},
		}},
		{"one hears a better master: both are silent", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 50*ms, hearOn(1, "fe80::9", 200, 0), cedeTwo, 50*ms + 2*down3},
		}},
		{"lost by the lead: an interval more", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 50*ms, hear("10.0.0.9", 200), cedeTwo, 50*ms + 2*down3},
			{50*ms + 2*down3, tick, "", 150*ms + 2*down3},
			{150*ms + 2*down3, tick, seizeTwo, 250*ms + 2*down3},
		}},
		{"thrown out by the other, and then hears a better lead, too", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 50*ms, hearOn(1, "fe80::9", 200, 0), cedeTwo, 50*ms + 2*down3},
			{down3 + 51*ms, hear("10.0.0.9", 100), "", 50*ms + 2*down3},
			{50*ms + 2*down3, tick, "", 151*ms + 2*down3},
		}},
		{"thrown out by the other, and then hears a lead that is worse", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 50*ms, hearOn(1, "fe80::9", 200, 0), cedeTwo, 50*ms + 2*down3},
			{down3 + 51*ms, hear("10.0.0.4", 100), "", 50*ms + 2*down3},
			{50*ms + 2*down3, tick, "", 51*ms + 2*down3},
			{51*ms + 2*down3, tick, seizeTwo, 151*ms + 2*down3},
		}},
		{"a better lead, but later: it is the master's", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 50*ms, hearOn(1, "fe80::9", 200, 0), cedeTwo, 50*ms + 2*down3},
			{down3 + 150*ms, hear("10.0.0.9", 100), "", 50*ms + 2*down3},
			{50*ms + 2*down3, tick, "", 150*ms + 2*down3},
		}},
		{"the skew is the lead's", pair(100, 20), []scene{{0, start, both, down3}}},
		{"the skew is the lead's, wherever it stands", []Settings{pair(20, 100)[1], pair(100, 20)[0]}, []scene{{0, start, both, down3}}},
		{"one gives up: the other time runs", pair(100, 100), []scene{
			{0, start, both, down3},
			{200 * ms, hear("10.0.0.9", 200), "", down3},
			{210 * ms, hearOn(1, "fe80::9", 200, 0), "", 200*ms + down3},
			{220 * ms, hear("10.0.0.9", 0), "", 220*ms + skew3},
			{220 * ms, hearOn(1, "fe80::9", 0, 0), "", 220*ms + skew3},
			{220*ms + skew3, tick, seizeTwo, 320*ms + skew3},
		}},
		{"a fault of one is a fault of all", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 1, fault(1, "no carrier"), "send 0; 1:send 0; disown; 1:disown; master>fault; 1:master>fault", never},
			{down3 + 2, fault(0, "no carrier"), "", never},
			{down3 + 3, fault(1, ""), "", never},
			{down3 + 4, fault(0, ""), "fault>backup; 1:fault>backup", 2*down3 + 4},
		}},
		{"owners", pair(255, 255), []scene{
			{0, start, "send 255; 1:send 255; own; 1:own; announce x5; 1:announce x5; init>master; 1:init>master", 100 * ms},
		}},
		{"one of two is an owner: it waits for the other", pair(255, 100), []scene{
			{0, start, both, 300*ms + 390625},
			{300*ms + 390625, tick, strings.Replace(seizeTwo, "send 100", "send 255", 1), 400*ms + 390625},
		}},
		{"one slept, all slept", pair(100, 100), []scene{
			{0, start, both, down3},
			{down3, tick, seizeTwo, down3 + 100*ms},
			{down3 + 301*ms, tick, cedeTwo, 2*down3 + 301*ms},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { follow(t, test.settings, test.steps) })
	}
}

func TestGroupReasons(t *testing.T) {
	g := follow(t, pair(100, 100), []scene{
		{0, start, both, down3},
		{down3, tick, seizeTwo, down3 + 100*ms},
		{down3 + 50*ms, hearOn(1, "fe80::9", 200, 0), cedeTwo, 50*ms + 2*down3},
	})
	for i, want := range []string{"of the same group: router 10 over IPv6: fe80::9 advertises 200", "fe80::9 advertises 200"} {
		if got := g.Machines()[i].Reason(); got != want {
			t.Errorf("reason of machine %d = %q, want %q", i, got, want)
		}
	}
}

func TestNewGroupRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *Settings)
		want   string
	}{
		{"version", func(s *Settings) { s.Version = 4 }, "version 4"},
		{"router ID", func(s *Settings) { s.RouterID = 0 }, "router id 0"},
		{"no address", func(s *Settings) { s.Addresses = nil }, "0 addresses"},
		{"too many", func(s *Settings) { s.Addresses = virtual(false, 0, MaxAddresses+1) }, "78 addresses"},
		{"two families", func(s *Settings) { s.Addresses = ips("10.0.0.100", "fd00::1") }, "address fd00::1: must be of the family"},
		{"twice", func(s *Settings) { s.Addresses = ips("10.0.0.100", "10.0.0.100") }, "is there twice"},
		{"no source", func(s *Settings) { s.Source = ip("::ffff:10.0.0.5") }, "must be of the family"},
		{"peer of the other family", func(s *Settings) { s.Peers = ips("fe80::1") }, "peer fe80::1"},
		{"multicast peer", func(s *Settings) { s.Peers = ips("224.0.0.18") }, "peer 224.0.0.18"},
		{"peer is the source", func(s *Settings) { s.Peers = ips("10.0.0.5") }, "is the source"},
		{"peer twice", func(s *Settings) { s.Peers = ips("10.0.0.6", "10.0.0.6") }, "is there twice"},
		{"far multicast", func(s *Settings) { s.Far = true }, "far"},
		{"priority", func(s *Settings) { s.Priority = 0 }, "priority 0"},
		{"delay", func(s *Settings) { s.PreemptDelay = -1 }, "must not be negative"},
		{"password of version 3", func(s *Settings) { s.Password = "x" }, "password"},
		{"checksum", func(s *Settings) { s.Checksum = "crc" }, `checksum "crc"`},
		{"interval 0", func(s *Settings) { s.Interval = 0 }, "interval 0s: version 3 has 10ms - 40.95s"},
		{"interval between steps", func(s *Settings) { s.Interval = 15 * ms }, "interval 15ms"},
		{"interval too long", func(s *Settings) { s.Interval = 40960 * ms }, "interval 40.96s"},
		{"interval of version 2", func(s *Settings) { s.Version = 2 }, "version 2 has 1s - 4m15s in steps of 1s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewGroup(v3(test.change)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("NewGroup = %v, want %q", err, test.want)
			}
		})
	}
	if _, err := NewGroup(); err == nil {
		t.Error("NewGroup() = nil, want an error")
	}
	if _, err := NewGroup(v3(func(s *Settings) { s.Addresses = virtual(true, 0, MaxAddresses); s.Source = ip("fe80::1%eth0") })...); err != nil {
		t.Errorf("NewGroup with the most addresses: %v", err)
	}
}
