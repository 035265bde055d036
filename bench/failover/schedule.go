package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// fault is what happens to the owner of the address.
type fault struct {
	name string
	dead bool // the machine keeps the address, and cannot use it
	do   func(p pair, i int)
	undo func(p pair, i int)
}

// standstill is how long SIGSTOP lasts.
const standstill = 4 * time.Second

func faults() []fault {
	return []fault{
		// First: what stands still leaves connections behind, for whose end a stop waits.
		{name: "stop", do: func(p pair, i int) { p.stop(i) }, undo: func(p pair, i int) { p.start(i) }},
		{name: "kill -9 of the balancer", do: func(p pair, i int) { p.kill(i) }, undo: func(p pair, i int) { p.revive(i) }},
		{name: "power failure", dead: true, do: func(p pair, i int) { p.on().lb[i].PowerOff(); p.dead(i) }, undo: func(p pair, i int) {
			p.on().lb[i].PowerOn()
			p.start(i)
		}},
		{name: "link down", do: func(p pair, i int) { p.on().lb[i].Port(0).Down() }, undo: func(p pair, i int) {
			p.on().lb[i].Port(0).Up()
			p.settle(i)
		}},
		{name: "SIGSTOP of the balancer, 4 s", do: func(p pair, i int) { p.freeze(i) }, undo: func(p pair, i int) {
			p.thaw(i)
			p.settle(i)
		}},
		{name: "SIGSTOP of everything, 4 s", dead: true, do: func(p pair, i int) { p.freezeAll(i) }, undo: func(p pair, i int) {
			p.thawAll(i)
			p.settle(i)
		}},
	}
}

// result is what a visitor saw of one fault of one pair.
type result struct {
	gaps          []time.Duration
	asked, failed int
	late          int // answered after a tenth of a second and more
	worst         int // failed in one round
	slowest       time.Duration
	lag           time.Duration // of the visitor itself
}

// measure lets every fault strike both pairs in turn.
func measure(b *bench, rounds int, only *regexp.Regexp) *report {
	pairs := []pair{newSkeins(b), newClassics(b)}
	for _, p := range pairs {
		p.start(0)
		p.on().owners.Wait(p.on().lb[0], patience)
		p.start(1)
	}
	r := newReport(rounds, pairs)
	for _, f := range faults() {
		if !only.MatchString(f.name) {
			continue
		}
		row := row{fault: f.name, results: make([]result, len(pairs))}
		for n := range rounds {
			for i, p := range pairs {
				fmt.Fprintf(os.Stderr, "\r%-70s", fmt.Sprintf("%s, round %d of %d: %s", f.name, n+1, rounds, p.name()))
				row.results[i].round(f, p)
			}
		}
		r.rows = append(r.rows, row)
	}
	fmt.Fprintf(os.Stderr, "\r%70s\r", "")
	for _, p := range pairs {
		p.end()
	}
	return r
}

// round is one fault and its end.
func (r *result) round(f fault, p pair) {
	m := p.on()
	i := m.owner()
	probe := m.visitor.Probe("http://"+address+"/", lab.Probing{Timeout: 3 * time.Second})
	probe.Answered(patience)
	if f.dead {
		m.owners.Exclude(m.lb[i])
	}
	began := time.Now()
	f.do(p, i)
	// Those who do not notice a balancer that stands still keep the address.
	harness.Soon(standstill-time.Since(began), func() bool { return len(m.owners.Owners(time.Now())) == 1 && m.owner() != i })
	if f.name != "stop" {
		time.Sleep(time.Until(began.Add(min(standstill, 2*time.Second))))
	}
	if f.name == "SIGSTOP of the balancer, 4 s" || f.name == "SIGSTOP of everything, 4 s" {
		time.Sleep(time.Until(began.Add(standstill)))
	}
	f.undo(p, i)
	if f.dead {
		// Who stood still may win it back.
		harness.Eventually(m.t, patience, "one has the address", func() bool { return m.lb[0].Has(address) != m.lb[1].Has(address) })
		m.owners.Include(m.lb[i])
	}
	probe.Answered(patience)
	all := probe.Stop()
	r.gaps = append(r.gaps, all.Gap())
	r.asked += len(all.Requests)
	failed := len(all.Failed())
	r.failed += failed
	r.worst = max(r.worst, failed)
	r.late += len(all.Late(100 * time.Millisecond))
	for _, q := range all.Late(0) {
		r.slowest = max(r.slowest, q.Took())
	}
	r.lag = max(r.lag, all.Lag)
}

func dial(to string) (net.Conn, error) { return net.DialTimeout("tcp", to, time.Second) }
