package keepalived

import (
	"testing"
	"time"

	"skein/test/lab"
)

// Test 15: a master that gets and loses addresses, and whole virtual routers, stays the master of the others: the kernel has them all the
// time, a visitor who asks every 5 ms is answered, and the neighbour hears neither a priority 0 nor a pause.
func TestReload(t *testing.T) {
	t.Parallel()
	r := plain()
	s := newSite(t, [2]string{skein, keepalived}, r.address(), 1)
	high, low := s.nodes[0], s.nodes[1]
	more := r
	more.addresses = append(more.addresses, "10.0.0.101/24")
	second := r
	second.name, second.id, second.addresses = "second", 52, []string{"10.0.0.110/24"}
	added, other := lab.Watch("10.0.0.101", high.host), lab.Watch("10.0.0.110", high.host, low.host)

	// keepalived takes both lists of addresses only if it looks at the first one alone.
	r.skipCheck, more.skipCheck, second.skipCheck = true, true, true
	low.start(r)
	high.start(r)
	s.settled(high)
	for _, n := range s.nodes {
		n.host.Origin(":80", nil)
	}
	probe := s.visitor.Probe("http://"+r.address()+"/", lab.Probing{})
	probe.Answered(settling)
	begin := time.Now()

	low.reload(r, second)
	other.Wait(low.host, settling)
	high.reload(r, second) // a router more, where a keepalived is the master of it
	other.Wait(high.host, settling)
	low.reload(more, second)
	high.reload(more, second) // an address more
	added.Wait(high.host, settling)
	kept := time.Now()
	high.reload(r, second) // an address less
	low.reload(r, second)
	if gone := added.Between(time.Time{}, time.Now()); len(gone[len(gone)-1].Owners) > 0 {
		added.Wait(high.host, 0)
		t.Errorf("10.0.0.101 stays:\n%s", gone)
	}
	if gaps := other.Between(kept, time.Now()).Gaps(); len(gaps) > 0 {
		t.Errorf("the second router has lost its address for %v", gaps)
	}
	gone := time.Now()
	high.reload(r) // a router less: the other one takes it over
	zero := high.givesUp(second, gone)
	s.bounded("lb2 takes the second router over", zero.Time, low.speaks(second, zero.Time).Time, second.skew(1, second.interval)+20*time.Millisecond)
	other.Wait(low.host, settling)
	end := time.Now()
	report := probe.Stop().Between(begin, end)
	if failed := report.Failed(); len(failed) > 0 || len(report.Servers()) != 1 {
		t.Errorf("a visitor notices the reloads: %d requests failed, %v have answered\n%v", len(failed), report.Servers(), report)
	}

	if h := s.owners.Between(begin, end); len(h) != 1 {
		t.Errorf("%s is not owned by lb1 all the time:\n%s", r.address(), h)
	}
	s.goesOn(r, high, begin, end)
	for _, a := range low.adverts(r.id, begin, end) {
		t.Errorf("lb2 speaks beside a master: %v", a)
	}
}
