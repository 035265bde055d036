// Package saturation holds the balancer to its promise that adverts leave on time: two real skeins that share an address, at the
// shortest interval that is recommended, while ten thousand visitors keep every CPU of the machine busy.
//
// Start at [TestSaturation]. In a soak it lasts for ten minutes, twice.
package saturation

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

const (
	address  = "10.0.0.100"
	interval = 100 * time.Millisecond
)

const file = `
servers = {
  lb1 = "10.0.0.11"
  lb2 = "10.0.0.12"
}

vip "front" {
  address  = "10.0.0.100/24"
  nodes    = [server.lb1, server.lb2]
  interval = "100ms"
}

pool "site" {
  servers       = ["10.0.0.21:8080"]
  keepalive     = 2000
  max_conns     = 2000
  queue         = 10000
  queue_timeout = "60s"
}

http "site" {
  listen = ":80"
  pool   = pool.site
}

log {
  access = "off"
}
`

// A master whose CPUs are all busy stays master, and no backup takes it for dead: neither under the load of visitors alone, nor
// when other programs want the CPUs as well.
func TestSaturation(t *testing.T) {
	for _, hogs := range []int{0, 4} {
		t.Run(fmt.Sprintf("%d other programs", hogs), func(t *testing.T) { saturate(t, hogs) })
	}
}

func saturate(t *testing.T, hogs int) {
	n, last := min(10_000, room(t)), time.Duration(harness.Count(3, 15, 600))*time.Second
	if harness.Raced() { // several times the memory for each visitor
		n = 1000
	}
	l := lab.New(t)
	lan := l.Switch("lan")
	lb1, lb2 := l.Host("lb1", lan.Port("10.0.0.11/24")), l.Host("lb2", lan.Port("10.0.0.12/24"))
	web, visitor := l.Host("web", lan.Port("10.0.0.21/24")), l.Host("visitor", lan.Port("10.0.0.99/24"))
	run(t, web, roleOrigin, ":8080")
	owners := lab.Watch(address, lb1, lb2)
	a := lb1.Skein(file)
	owners.Wait(lb1, harness.Patience)
	b := lb2.Skein(file)
	is(t, a, "master")
	is(t, b, "backup")
	wire := lb2.Capture(0, lab.Of(lab.VRRP)) // far from the visitors' frames
	c := crowd{run(t, visitor, roleVisitors, address+":80", fmt.Sprint(n)), t}
	c.come(n)
	for range hogs {
		run(t, visitor, roleHog)
	}
	before, idle := is(t, a, "master"), idleTime(t)
	begin := time.Now()
	_, asked, _, _ := c.count()

	for time.Since(begin) < last { // it is a measurement of time itself
		time.Sleep(min(time.Second, last))
		if !c.Running() {
			t.Fatal("the visitors have ended")
		}
	}

	took := time.Since(begin)
	free := float64(idleTime(t)-idle) / float64(took)
	open, answered, failed, why := c.count()
	after, other := is(t, a, "master"), is(t, b, "backup")
	if h := owners.Between(begin, time.Now()); len(h.Gaps())+len(h.Doubles()) > 0 {
		t.Errorf("the address has moved:\n%s", h)
	}
	if got, want := after.VIPs[0].Families[0].Became, before.VIPs[0].Families[0].Became; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("transitions of lb1 = %v, want %v", got, want)
	}
	if got := other.VIPs[0].Families[0].Became["master"]; got != 0 {
		t.Errorf("lb2 became master %d times, want 0", got)
	}
	for _, s := range []status{after, other} {
		if s.VIPs[0].Fitness != "fit" || s.Speaker.Restarts != 0 {
			t.Errorf("fitness = %s (%s), restarts of the speaker = %d; want fit and 0", s.VIPs[0].Fitness, s.VIPs[0].Unfit, s.Speaker.Restarts)
		}
	}
	if failed > 0 {
		t.Errorf("%d requests have failed: %s", failed, why)
	}
	gaps := distances(t, wire, begin)
	if worst := gaps[len(gaps)-1]; worst > 3*interval {
		t.Errorf("two adverts were %v apart, want at most %v", worst, 3*interval)
	}
	at := func(share float64) time.Duration {
		return gaps[min(int(share*float64(len(gaps))), len(gaps)-1)].Round(time.Microsecond)
	}
	t.Logf("%d visitors (%d at the end), %d other programs, %v: %.0f answers/s, %.2f CPUs idle; real-time %v\n"+
		"distances of %d adverts: least %v, median %v, p99 %v, p99.9 %v, largest %v\n"+
		"beats of lb1: %d, %d late, at most %v; of lb2: %d, %d late, at most %v",
		n, open, hogs, took.Round(time.Second), float64(answered-asked)/took.Seconds(), free, after.Speaker.Realtime,
		len(gaps)+1, at(0), at(0.5), at(0.99), at(0.999), at(1),
		after.Speaker.Beats, after.Speaker.BeatsLate, seconds(after.Speaker.BeatMax), other.Speaker.Beats, other.Speaker.BeatsLate, seconds(other.Speaker.BeatMax))
}

// distances are those between adverts of lb1, sorted. None of them may say that it lets go.
func distances(t *testing.T, wire *lab.Capture, begin time.Time) []time.Duration {
	t.Helper()
	var gaps []time.Duration
	last := time.Time{}
	for _, p := range wire.Packets() {
		switch message := p.VRRP(); {
		case p.Time.Before(begin) || p.Out:
			continue
		case p.Src != netip.MustParseAddr("10.0.0.11") || len(message) < 8 || message[2] != 200:
			t.Errorf("an advert that should not be: %s", p)
		}
		if !last.IsZero() {
			gaps = append(gaps, p.Time.Sub(last))
		}
		last = p.Time
	}
	if n := wire.Lost(); n > 0 {
		t.Fatalf("the capture has lost %d frames", n)
	}
	if len(gaps) == 0 {
		t.Fatal("there are no adverts")
	}
	if silence := time.Since(last); silence > interval { // at the end
		gaps = append(gaps, silence)
	}
	slices.Sort(gaps)
	return gaps
}

// status is what the admin API says, as far as it matters here.
type status struct {
	VIPs []struct {
		State    string
		Reason   string
		Fitness  string
		Unfit    string `json:"unfit_because"`
		Families []struct{ Became map[string]int }
	}
	Speaker struct {
		Restarts  int
		Realtime  bool
		Beats     int
		BeatsLate int     `json:"beats_late"`
		BeatMax   float64 `json:"beat_max_seconds"`
	}
}

// is waits until a balancer is fit and in a state.
func is(t *testing.T, s *lab.Skein, state string) status {
	t.Helper()
	var now status
	if !harness.Soon(harness.Patience, func() bool {
		now = status{}
		if err := json.Unmarshal([]byte(s.Admin("/api/v1/status")), &now); err != nil {
			t.Fatal(err)
		}
		return len(now.VIPs) == 1 && now.VIPs[0].State == state && now.VIPs[0].Fitness == "fit"
	}) {
		t.Fatalf("%s is not %s and fit: %+v", s.Host.Name, state, now)
	}
	return now
}

// idleTime is how long the CPUs of the machine had nothing to do, in all (proc_stat(5)).
func idleTime(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var cpu string
	var user, nice, system, idle, iowait int64
	if _, err := fmt.Sscan(strings.SplitN(string(b), "\n", 2)[0], &cpu, &user, &nice, &system, &idle, &iowait); err != nil {
		t.Fatalf("read /proc/stat: %v", err)
	}
	return time.Duration(idle+iowait) * 10 * time.Millisecond
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}
