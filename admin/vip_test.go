package admin

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeVIPs are a vip in trouble and one that is well.
func fakeVIPs() VIPs {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	prefix, peer := netip.MustParsePrefix("10.0.0.10/24"), netip.MustParseAddr("10.0.0.12")
	return VIPs{
		Speaker: &Speaker{PID: 7, Restarts: 2, Realtime: true, Beats: 100, BeatMax: 0.003},
		VIPs: []VIP{{
			Name: "front", Group: "site", Addresses: []netip.Prefix{prefix, netip.MustParsePrefix("2001:db8::10/64")}, Interface: "eth0",
			RouterID: 10, Version: 3, Interval: 0.1,
			State: "fault", Reason: "isolated", Since: noon, Priority: 4, Isolated: true, Fitness: "unfit", Unfit: `http "site": pool "web": no usable member`,
			Nodes: []VIPNode{{Name: "web1", Host: "10.0.0.11", Priority: 200, Self: true}, {Name: "web2", Host: "10.0.0.12", Priority: 190}},
			Families: []VIPFamily{
				{
					Family: 4, State: StateMaster, Since: noon, Priority: 200, Addresses: []netip.Prefix{prefix}, Held: []netip.Prefix{prefix},
					Reached: []netip.Addr{peer}, Became: map[string]uint64{StateMaster: 2, "backup": 1}, Sent: 1000, Received: 17,
					Refused: map[string]uint64{"checksum": 3},
					Late:    Histogram{Bounds: []float64{0.001, 0.01}, Counts: []uint64{990, 9, 1}, Sum: 0.5, Max: 0.02},
				},
				{Family: 6, State: "fault", Since: noon, Priority: 4, Master: netip.MustParseAddr("fe80::12"), Isolated: true},
			},
			Transitions: []VIPTransition{{Time: noon, Family: 4, From: "backup", To: StateMaster, Reason: "no advertisement"}},
			Checks:      []VIPCheck{{Known: true, Time: noon, Duration: 0.002, Error: "no usable member", Streak: 3}},
			Notify:      &VIPNotify{State: StateMaster, Time: noon, Runs: 2},
			Handover:    &VIPHandover{Running: true, Step: "leaving", Began: noon, Reason: "drained", Left: 12},
			Handovers:   map[string]uint64{"clean": 5},
		}, {Name: "back", State: "backup", Since: noon, Priority: 190, Master: peer, Fitness: "fit"}},
	}
}

// The API tells all that is known of vips, and reads back as it was.
func TestStatusVIPs(t *testing.T) {
	f := newFake(t)
	_, body := ask(f.socket.Handler, "GET", "/api/v1/status", "", nil)
	var s Status
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	addresses := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if d := cmp.Diff(f.vips, VIPs{s.VIPs, s.Speaker}, addresses, prefixes); d != "" {
		t.Error(d)
	}
	for _, want := range []string{`"vips": [`, `"router_id": 10`, `"10.0.0.10/24"`, `"master": "10.0.0.12"`, `"unfit_because": "http`, `"step": "leaving"`, `"speaker": {`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

// A node without vips says so, and has no speaker.
func TestStatusWithoutVIPs(t *testing.T) {
	f := newFake(t)
	f.vips = VIPs{}
	if _, body := ask(f.socket.Handler, "GET", "/api/v1/status", "", nil); !strings.Contains(body, `"vips": []`) || strings.Contains(body, "speaker") {
		t.Errorf("status = %s", body)
	}
	if _, body := ask(f.reader.Handler, "GET", "/metrics", "", nil); strings.Contains(body, "skein_vip") {
		t.Error("metrics of vips without any")
	}
}
