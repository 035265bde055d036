// Package keepalived proves that skein and keepalived 2.2.7 are each other's partner in VRRP: the real programs, one on each of two
// hosts of a lab, in both orders. What they say is compared byte for byte with what keepalived was recorded to say, and when they
// say it with the bounds of the protocol.
//
// Start at [newSite], which makes the hosts lb1 and lb2 and a visitor, and at [router], which is what both programs are told.
//
// Times are those of the frames as the kernel saw them on the switch, and of the kernel's own word on who has an address;
// never those at which the test looked. Where keepalived finds fault in its log with what skein sends, a test fails, unless
// that is what the case is about.
package keepalived

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"skein/test/lab"
)

// TestMain runs more cases at once than there are CPUs: they wait for timers nearly all the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if !flagGiven("test.parallel") {
		flag.Set("test.parallel", "6")
	}
	os.Exit(m.Run())
}

func flagGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// slack is what may be added to a bound of the protocol, beside a tenth of it and the time that the machine was late: packets travel,
// and programs have more to do than to count time.
const slack = 40 * time.Millisecond

// The programs.
const (
	skein      = "skein"
	keepalived = "keepalived"
)

// pairs are the programs on lb1 and lb2.
func pairs() [][2]string {
	return [][2]string{{skein, keepalived}, {keepalived, skein}}
}

// each runs a case for each pair, in parallel with others.
func each(t *testing.T, f func(t *testing.T, pair [2]string)) {
	for _, pair := range pairs() {
		t.Run(pair[0]+"-"+pair[1], func(t *testing.T) {
			t.Parallel()
			f(t, pair)
		})
	}
}

// site is a network with two nodes and a visitor.
type site struct {
	t       *testing.T
	lab     *lab.Lab
	lan     *lab.Switch
	nodes   [2]*node
	visitor *lab.Host
	wire    *lab.Capture  // VRRP, ARP and ICMPv6 on the first switch
	owners  *lab.Timeline // of the first address
	clock   *clock
}

// newSite makes the hosts and starts nothing. Each has ports (at least one), each on a switch of its own.
func newSite(t *testing.T, pair [2]string, watch string, ports int) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("the programs wait for each other for two minutes in all")
	}
	l := lab.New(t)
	s := &site{t: t, lab: l, clock: newClock()}
	t.Cleanup(s.clock.stop)
	var switches []*lab.Switch
	for n := range ports {
		switches = append(switches, l.Switch(fmt.Sprintf("lan%d", n)))
	}
	s.lan = switches[0]
	host := func(name string, last int) *lab.Host {
		var all []*lab.Port
		for n, sw := range switches {
			all = append(all, sw.Port(fmt.Sprintf("10.0.%d.%d/24", n, last), fmt.Sprintf("fd00:0:0:%d::%d/64", n, last)))
		}
		return l.Host(name, all...)
	}
	for n := range s.nodes {
		s.nodes[n] = &node{site: s, number: n, program: pair[n], host: host(fmt.Sprintf("lb%d", n+1), 11+n)}
	}
	s.visitor = host("visitor", 99)
	s.wire = s.lan.Capture(lab.Of(lab.VRRP, lab.ARP, lab.ICMPv6))
	s.owners = lab.Watch(watch, s.nodes[0].host, s.nodes[1].host)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last adverts:\n%s", s.tail(60))
			t.Logf("the machine was late by %v in all", s.clock.stalled(time.Time{}, time.Now()))
		}
	})
	return s
}

// start starts both nodes with the same router, the one of the lower priority first, and waits until the other one is the owner.
func (s *site) start(r router) (high, low *node) {
	s.t.Helper()
	h, l := r.first()
	high, low = s.nodes[h], s.nodes[l]
	low.start(r)
	high.start(r)
	s.settled(high)
	return high, low
}

// settled waits until n alone owns the address, and speaks alone.
func (s *site) settled(n *node) {
	s.t.Helper()
	since := s.owners.Wait(n.host, settling)
	s.wire.Wait(func(p lab.Packet) bool { return p.VRRP() != nil && p.Time.After(since) && n.sent(p) }, settling)
}

// settling bounds waits for what a case needs before it can begin; a version 2 router needs four seconds for each step.
const settling = 20 * time.Second

// bounded fails the test if something took longer than the protocol allows.
func (s *site) bounded(what string, from, to time.Time, bound time.Duration) {
	s.t.Helper()
	took, late := to.Sub(from), s.clock.late(from, to)
	if took < 0 || took > bound+bound/10+slack+late {
		s.t.Errorf("%s after %v, want at most %v (the machine was late by %v)", what, took, bound, late)
		return
	}
	s.t.Logf("%s after %v, of at most %v (the machine was late by %v)", what, took, bound, late)
}

// single fails the test if two nodes owned the address for longer than it takes to hand it over.
func (s *site) single(from, to time.Time) {
	s.t.Helper()
	for _, d := range s.owners.Between(from, to).Doubles() {
		if d.Duration() > slack+s.clock.late(d.From, d.To) {
			s.t.Errorf("two owners for %v:\n%s", d.Duration(), s.owners)
		}
	}
}

// tail describes the last frames of VRRP.
func (s *site) tail(n int) string {
	var lines []string
	for _, p := range s.wire.Packets() {
		if p.VRRP() != nil {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
