// Package vip tests virtual addresses from the outside: two and three real skeins that share an address, on hosts of their own
// (package lab), before visitors who ask all the time, while everything fails that can fail.
//
// Start at [site], the network of most tests, and rounds_test.go, the main one. Package keepalived has the same with a neighbor
// of another make.
package vip

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

const (
	address = "10.0.0.100" // the virtual one
	page    = "http://" + address + "/"

	// patience is for what happens at once, unless the machine is busy.
	patience = harness.Patience
	// limit is how long the address may be out of service when its owner dies.
	limit = 500 * time.Millisecond
)

// site is balancers before two web servers, and a visitor, all in one network:
//
//	lb1 10.0.0.11, lb2 10.0.0.12, lb3 10.0.0.13    own 10.0.0.100 by turns
//	web1 10.0.0.21, web2 10.0.0.22                 answer on port 8080
//	visitor 10.0.0.99
type site struct {
	*lab.Lab

	t       *testing.T
	lan     *lab.Switch
	lb      []*lab.Host
	run     []*lab.Skein // what runs on each of lb; nil is nothing
	text    []string     // and its file
	web     []*lab.Host
	visitor *lab.Host
	owners  *lab.Timeline
}

// newSite makes a site with n balancers, on which nothing runs yet.
func newSite(t *testing.T, n int) *site {
	t.Helper()
	s := &site{Lab: lab.New(t), t: t, run: make([]*lab.Skein, n), text: make([]string, n)}
	s.lan = s.Switch("lan")
	for i := range n {
		s.lb = append(s.lb, s.Host(fmt.Sprintf("lb%d", i+1), s.lan.Port(fmt.Sprintf("10.0.0.%d/24", 11+i), fmt.Sprintf("fd00::%d/64", 11+i))))
	}
	for i := range 2 {
		h := s.Host(fmt.Sprintf("web%d", i+1), s.lan.Port(fmt.Sprintf("10.0.0.%d/24", 21+i), fmt.Sprintf("fd00::%d/64", 21+i)))
		h.Origin(":8080", pages())
		s.web = append(s.web, h)
	}
	s.visitor = s.Host("visitor", s.lan.Port("10.0.0.99/24", "fd00::99/64"))
	s.owners = lab.Watch(address, s.lb...)
	return s
}

// file is a configuration with these vip blocks, or others, for all balancers of a site.
func (s *site) file(blocks ...string) string {
	var b strings.Builder
	b.WriteString("servers = {\n")
	for _, h := range append(slices.Clone(s.lb), s.web...) {
		fmt.Fprintf(&b, "  %s = %q\n", h.Name, h.Port(0).Addr())
	}
	b.WriteString(`}
pool "site" {
  servers = ["10.0.0.21:8080", "10.0.0.22:8080"]
}
http "site" {
  listen = ":80"
  pool   = pool.site
}
log {
  access = "off"
}
`)
	for _, text := range blocks {
		b.WriteString(text + "\n")
	}
	return b.String()
}

// front is the vip block of most tests; more is added to it.
func (s *site) front(more ...string) string {
	return s.vip("front", `address = "`+address+`/24"`, more...)
}

// vip is a vip block of all balancers.
func (s *site) vip(name, addresses string, more ...string) string {
	var nodes []string
	for _, h := range s.lb {
		nodes = append(nodes, "server."+h.Name)
	}
	return fmt.Sprintf("vip %q {\n  %s\n  nodes = [%s]\n  %s\n}", name, addresses, strings.Join(nodes, ", "), strings.Join(more, "\n  "))
}

// start starts the balancers one after the other, all with the same file, so that lb1 owns what has lb1 in front, and waits
// until all are ready.
func (s *site) start(file string, opts ...harness.Option) {
	s.t.Helper()
	for i := range s.lb {
		s.launch(i, file, opts...)
		s.ready(i)
		if i == 0 {
			harness.Eventually(s.t, patience, "lb1 owns its addresses", func() bool { return s.status(0).all("master") })
		}
	}
}

// launch starts one balancer.
func (s *site) launch(i int, file string, opts ...harness.Option) {
	s.t.Helper()
	s.text[i] = file
	s.run[i] = s.lb[i].Skein(file, opts...)
}

// again starts one with the file that it had.
func (s *site) again(i int) {
	s.t.Helper()
	s.launch(i, s.text[i])
}

// ready waits until a balancer could own its addresses, or does.
func (s *site) ready(i int) {
	s.t.Helper()
	var now status
	if !harness.Soon(patience, func() bool {
		now = s.status(i)
		return len(now.VIPs) > 0 && !slices.ContainsFunc(now.VIPs, func(v vip) bool {
			return v.Fitness != "fit" || v.State != "master" && v.State != "backup" || v.Handover != nil && v.Handover.Running
		})
	}) {
		s.t.Fatalf("%s is not ready: %+v", s.lb[i].Name, now)
	}
}

// owner is who has the address now; it waits until that is exactly one.
func (s *site) owner() int {
	s.t.Helper()
	var names []string
	if !harness.Soon(patience, func() bool {
		names = s.owners.Owners(time.Now())
		return len(names) == 1
	}) {
		s.t.Fatalf("the owners are %v\n%s", names, s.owners)
	}
	return s.index(names[0])
}

func (s *site) index(name string) int {
	return slices.IndexFunc(s.lb, func(h *lab.Host) bool { return h.Name == name })
}

// status is what the admin API says of one balancer.
func (s *site) status(i int) status {
	s.t.Helper()
	var now status
	if err := json.Unmarshal([]byte(s.run[i].Admin("/api/v1/status")), &now); err != nil {
		s.t.Fatal(err)
	}
	return now
}

// waits waits until the status of a balancer is as it should be.
func (s *site) waits(i int, within time.Duration, what string, ok func(status) bool) {
	s.t.Helper()
	var now status
	if !harness.Soon(within, func() bool {
		now = s.status(i)
		return ok(now)
	}) {
		s.t.Fatalf("%s: %s: not within %v: %+v", s.lb[i].Name, what, within, now)
	}
}

// command runs a skein command against one balancer, and fails the test unless its exit code is 0.
func (s *site) command(i int, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(harness.Binary(s.t), args...) // not what s.run[i] was started by, which may be setpriv
	cmd.Env = append(os.Environ(), "SKEIN_SOCKET="+s.run[i].Socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("skein %s on %s: %v\n%s", strings.Join(args, " "), s.lb[i].Name, err, out)
	}
	return string(out)
}

// stop ends all balancers politely, the backups first, so that no handover waits for another one.
func (s *site) stop() {
	s.t.Helper()
	for _, r := range slices.Backward(s.run) {
		if r != nil {
			r.Stop()
		}
	}
}

// status is the part of the admin API's that tests look at.
type status struct {
	VIPs    []vip
	Speaker struct {
		PID       int
		Restarts  int
		Realtime  bool
		Error     string
		Beats     int
		BeatsLate int     `json:"beats_late"`
		BeatMax   float64 `json:"beat_max_seconds"`
	}
}

type vip struct {
	Name, State, Reason, Fitness string

	Unfit     string `json:"unfit_because"`
	Priority  int
	Isolated  bool
	Interface string
	Families  []struct {
		Family  int
		State   string
		Refused map[string]int `json:"adverts_refused"`
		Slept   int
		Became  map[string]int
		Late    struct {
			Bounds []float64 `json:"bounds_seconds"`
			Counts []int
			Max    float64 `json:"max_seconds"`
		}
	}
	Transitions []struct{ From, To, Reason string }
	Handover    *struct {
		Running bool
		Step    string
		Result  string
		Left    int `json:"connections_left"`
	}
	Notify *struct {
		Error                 string
		Runs, Failed, Skipped int
	}
}

// of is one vip.
func (s status) of(name string) vip {
	i := slices.IndexFunc(s.VIPs, func(v vip) bool { return v.Name == name })
	if i < 0 {
		return vip{}
	}
	return s.VIPs[i]
}

// all reports whether all vips are in this state.
func (s status) all(state string) bool {
	return len(s.VIPs) > 0 && !slices.ContainsFunc(s.VIPs, func(v vip) bool { return v.State != state })
}

// slow answers after a second, with its whole text.
func slow(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(time.Second) // this is the work that the server pretends to do
	fmt.Fprint(w, "at last")
}

// priority is that of a VRRP packet, -1 if it is none. It is the third byte in all versions.
func priority(p lab.Packet) int {
	b := p.VRRP()
	if len(b) < 8 {
		return -1
	}
	return int(b[2])
}

// median and worst of durations; zero without any.
func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func worst(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Max(all)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }

// moves counts how often the address came to another host.
func moves(h lab.History) (n int) {
	last := ""
	for _, s := range h {
		if len(s.Owners) != 1 {
			continue
		}
		if last != "" && s.Owners[0] != last {
			n++
		}
		last = s.Owners[0]
	}
	return n
}

// overlap is how long two hosts may have the address while it moves. A new owner speaks and adds it, and the old one removes it when
// it has heard that: well below a millisecond, unless the kernel is very busy.
const overlap = 100 * time.Millisecond
