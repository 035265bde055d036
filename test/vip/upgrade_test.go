package vip

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
	"skein/test/lab"
)

var serves = regexp.MustCompile(`msg="upgrade: the new process serves" pid=(\d+)`)

// upgrade replaces the process pid of a balancer in place and returns the new one, when the old one has ended.
func (s *site) upgrade(i, pid int) int {
	s.t.Helper()
	n := len(serves.FindAllString(s.run[i].Log(), -1))
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		s.t.Fatal(err)
	}
	var all [][]string
	harness.Eventually(s.t, patience, "the new process serves", func() bool {
		all = serves.FindAllStringSubmatch(s.run[i].Log(), -1)
		return len(all) > n
	})
	next, err := strconv.Atoi(all[n][1])
	if err != nil {
		s.t.Fatal(err)
	}
	harness.Eventually(s.t, patience, "the new process says so", func() bool {
		return strings.Contains(s.run[i].Log(), fmt.Sprintf("msg=started version=devel pid=%d ", next))
	})
	harness.Eventually(s.t, patience, "the old process has ended", func() bool { return s.over(i, pid) })
	return next
}

// over reports whether a process has ended. Those that lost their parent are ours, and have to be waited for.
func (s *site) over(i, pid int) bool {
	if pid != s.run[i].PID() { // which the harness waits for
		var status syscall.WaitStatus
		syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	}
	return syscall.Kill(pid, 0) != nil
}

// Upgrades of the owner and of the backup, three in a row: nobody says that he gives up, the address is not gone for a moment,
// advertisements keep coming, and no request fails.
func TestUpgrade(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	s := newSite(t, 2)
	s.start(s.file(s.front()))
	wire := s.lan.Capture(lab.Of(lab.VRRP))
	probe := s.visitor.Probe(page, lab.Probing{Timeout: patience})
	kept := s.visitor.Probe(page, lab.Probing{Keep: true, Timeout: patience})
	probe.Answered(patience)
	since := time.Now()
	for i := range s.lb {
		pid := s.run[i].PID()
		for range 3 {
			pid = s.upgrade(i, pid)
		}
		s.ready(i)
		// The last one is not the harness' to stop.
		t.Cleanup(func() {
			syscall.Kill(pid, syscall.SIGKILL)
			harness.Soon(patience, func() bool { return s.over(i, pid) })
			s.run[i].Exit(patience) // when its speaker has closed the log, too
		})
	}
	until := time.Now()
	r, k := probe.Stop(), kept.Stop()
	if len(r.Failed()) > 0 || len(k.Failed()) > 0 {
		t.Errorf("requests have failed\nnew connections: %s\nkept ones: %s", r, k)
	}
	if h := s.owners.Between(since, until); len(h) != 1 || len(h[0].Owners) != 1 {
		t.Errorf("upgrades disturb the address:\n%s", h)
	}
	var last time.Time
	longest := time.Duration(0)
	for _, p := range wire.Packets() {
		if p.Time.Before(since) || p.Time.After(until) {
			continue
		}
		if priority(p) == 0 || p.Src != s.lb[0].Port(0).Addr() {
			t.Errorf("on the wire: %v", p)
		}
		if !last.IsZero() {
			longest = max(longest, p.Time.Sub(last))
		}
		last = p.Time
	}
	t.Logf("the longest time between two advertisements was %v", longest)
	if most := 300 * time.Millisecond; longest > most {
		t.Errorf("advertisements were %v apart, at most %v are borne by backups", longest, most)
	}
}
