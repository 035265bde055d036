package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/admin"
)

// front is a vip of lb1 and lb2, as lb1 sees it.
func front(state, fitness string) admin.VIP {
	return admin.VIP{
		Name: "front", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24"), netip.MustParsePrefix("2001:db8::10/64")},
		State: state, Fitness: fitness, Priority: 200,
		Nodes: []admin.VIPNode{{Name: "lb1", Host: "10.0.0.11", Priority: 200, Self: true}, {Name: "lb2", Host: "10.0.0.12", Priority: 190}},
	}
}

func TestStatusVIPs(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lb2 := netip.MustParseAddr("10.0.0.12")
	master := front("master", "fit")
	master.Reason, master.Since = "no advertisement for 320ms", now.Add(-62*time.Second)
	handing := front("master", "fit")
	handing.Name, handing.Handover = "handing", &admin.VIPHandover{Running: true, Step: "leaving", Left: 1}
	backup := front("backup", "unfit")
	backup.Name, backup.Reason, backup.Master, backup.Unfit = "back", "lower priority", lb2, "http \"site\" on :80: pool \"web\": no usable member\nhint: none"
	fault := front("fault", "drained")
	fault.Name, fault.Isolated, fault.Reason, fault.Master = "fault", true, "reached none of \x1b[31m10.0.0.1", netip.MustParseAddr("10.0.0.99")
	mixed := front("backup", "fit")
	mixed.Name, mixed.Families = "mixed", []admin.VIPFamily{
		{Family: 4, State: "master", Refused: map[string]uint64{"addresses": 2, "router_id": 9}},
		{Family: 6, State: "backup", Refused: map[string]uint64{"addresses": 3, "ttl": 1}},
	}
	var b strings.Builder
	printVIPs(&b, []admin.VIP{master, handing, backup, fault, mixed}, &admin.Speaker{PID: 7, Realtime: true}, now)
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"",
		"VIP ADDRESS STATE HERE MASTER PRIORITY FITNESS SINCE REASON",
		"front 10.0.0.10/24, 2001:db8::10/64 master this node 200 fit 1m2s ago no advertisement for 320ms",
		"handing 10.0.0.10/24, 2001:db8::10/64 master, handing over (leaving, 1 connection left) this node 200 fit - -",
		"back 10.0.0.10/24, 2001:db8::10/64 backup lb2 200 unfit - lower priority; unfit: http \"site\" on :80: pool \"web\": no usable member",
		"fault 10.0.0.10/24, 2001:db8::10/64 fault, isolated 10.0.0.99 200 drained - reached none of ?[31m10.0.0.1",
		"mixed 10.0.0.10/24, 2001:db8::10/64 ipv4 master, ipv6 backup - 200 fit - -",
		"mixed: refused advertisements: addresses 5, ttl 1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for want, s := range map[string]*admin.Speaker{
		"":                                nil,
		"none runs; exec: no such file":   {Error: "exec: no such file\nhint: none", Realtime: true},
		"replaced once":                   {PID: 7, Realtime: true, Restarts: 1},
		"no real-time priority":           {PID: 7},
		"late; replaced 2 times":          {PID: 7, Restarts: 2},
		"vip \"front\": no link eth9":     {PID: 7, Realtime: true, Error: "vip \"front\": no link eth9"},
		"none runs; replaced 3 times":     {Realtime: true, Restarts: 3},
		"none runs; cannot start; replac": {Error: "cannot start", Restarts: 3},
	} {
		if got := speakerTrouble(s); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("speakerTrouble(%+v) = %q, want %q", s, got, want)
		}
	}
}

// node is an admin socket of lb1 whose vips are, at each question, the next of these; the last one stays.
func node(t *testing.T, vips ...[]admin.VIP) (socket string) {
	t.Helper()
	var asked atomic.Int64
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		i := min(int(asked.Add(1)), len(vips)) - 1
		answer(w, admin.Status{Node: "lb1", State: "serving", VIPs: vips[i]})
	})
	mux.HandleFunc("POST /api/v1/drain", func(w http.ResponseWriter, r *http.Request) {
		var q admin.DrainRequest
		_ = json.NewDecoder(r.Body).Decode(&q)
		a := admin.DrainAnswer{Servers: []string{q.Name}, Drains: make([]admin.Drain, 1)}
		a.Drains[0].Server, a.Drains[0].Owner = q.Name, q.Owner
		answer(w, a)
	})
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip(err) // the temporary directory's path is too long
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return socket
}

// A drain says what becomes of the addresses, and waits for that too if it is asked to wait.
func TestDrainHandsOver(t *testing.T) {
	gone := front("backup", "drained")
	gone.Master = netip.MustParseAddr("10.0.0.12")
	running := front("master", "fit")
	running.Handover = &admin.VIPHandover{Running: true}
	list := func(v admin.VIP) []admin.VIP { return []admin.VIP{v} }
	for _, tt := range []struct {
		name string
		args []string
		vips [][]admin.VIP
		code int
		want string
	}{
		{"without vips", []string{"lb1"}, [][]admin.VIP{nil}, Done, "lb1 is drained, 0 requests running\n"},
		{
			"the owner",
			[]string{"lb1"},
			[][]admin.VIP{list(front("master", "fit")), list(gone)},
			Done,
			"lb1 is drained, 0 requests running\nfront (10.0.0.10/24, 2001:db8::10/64) is handed over to another node\n",
		},
		{"a backup", []string{"lb1"}, [][]admin.VIP{list(front("backup", "fit"))}, Done, "lb1 is drained, 0 requests running\nit owns no virtual address\n"},
		{
			"another node",
			[]string{"lb2", "--wait"},
			[][]admin.VIP{list(front("backup", "fit"))},
			Done,
			"lb2 is drained, 0 requests running\nlb2 keeps its virtual addresses: only skein drain on lb2 itself hands them over\nno work is left\n",
		},
		{"another server", []string{"web1", "--wait"}, [][]admin.VIP{list(front("master", "fit"))}, Done, "web1 is drained, 0 requests running\nno work is left\n"},
		{
			"until it is over",
			[]string{"lb1", "--wait"},
			[][]admin.VIP{list(front("master", "fit")), list(front("master", "fit")), list(running), list(gone)},
			Done,
			"lb1 is drained, 0 requests running\nfront (10.0.0.10/24, 2001:db8::10/64) is handed over to another node\nno work is left\nfront is with lb2\n",
		},
		{
			"the new owner is heard a moment later",
			[]string{"lb1", "--wait"},
			[][]admin.VIP{list(front("master", "fit")), list(front("backup", "drained")), list(front("backup", "drained")), list(gone)},
			Done,
			"lb1 is drained, 0 requests running\nfront (10.0.0.10/24, 2001:db8::10/64) is handed over to another node\nno work is left\nfront is with lb2\n",
		},
		{
			"nobody takes it",
			[]string{"lb1", "--wait"},
			[][]admin.VIP{list(front("master", "fit")), list(front("master", "drained"))},
			Done,
			"lb1 is drained, 0 requests running\nfront (10.0.0.10/24, 2001:db8::10/64) is handed over to another node\nno work is left\nfront stays here: no other node has taken it\n",
		},
		{
			"nobody is heard",
			[]string{"lb1", "--wait"},
			[][]admin.VIP{list(front("backup", "drained"))},
			Done,
			"lb1 is drained, 0 requests running\nit owns no virtual address\nno work is left\nfront is not here, and nobody says that it has it\n",
		},
		{
			"too long",
			[]string{"lb1", "--wait", "--timeout", "500ms"},
			[][]admin.VIP{list(running)},
			Failed,
			"still handing over front after 500ms; the drain stays",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			p := Process{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}
			code := Run(context.Background(), p, append([]string{"drain", "--socket", node(t, tt.vips...)}, tt.args...))
			got := out.String()
			if tt.code != Done {
				got = errs.String()
			}
			if code != tt.code || tt.code == Done && got != tt.want || !strings.Contains(got, tt.want) {
				t.Errorf("code %d, want %d; said\n%s\nwant\n%s\nerrors: %s", code, tt.code, got, tt.want, errs.String())
			}
		})
	}
}
