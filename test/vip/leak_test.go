package vip

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// Many failovers leave nothing behind: no descriptor, no goroutine, no process. And whatever way skein ends, its speaker ends.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.start(s.file(s.front("preempt = false")))
	use := func(i int) int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.run[i].Speaker()))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round := func(n int) {
		i := s.owner()
		switch n % 3 {
		case 0:
			s.command(i, "drain", s.lb[i].Name)
			s.owners.Wait(s.lb[1-i], patience)
			s.command(i, "ready", s.lb[i].Name)
		case 1:
			s.lb[i].Port(0).Down()
			s.owners.Wait(s.lb[1-i], patience)
			s.lb[i].Port(0).Up()
		case 2:
			s.run[i].Freeze()
			s.owners.Wait(s.lb[1-i], patience)
			s.run[i].Thaw()
		}
		s.ready(i)
	}
	for n := range 6 { // each node has seen each kind
		round(n)
	}
	before := []harness.Usage{s.run[0].Usage(), s.run[1].Usage()}
	speakers := []int{use(0), use(1)}
	pids := []int{s.run[0].Speaker(), s.run[1].Speaker()}
	for n := range harness.Count(3, 12, 20) {
		round(n)
	}
	for i := range s.lb {
		s.run[i].Settles(before[i])
		if pid := s.run[i].Speaker(); pid != pids[i] {
			t.Errorf("%s has another speaker", s.lb[i].Name)
		}
		harness.Eventually(t, patience, "the speaker's descriptors", func() bool { return use(i) <= speakers[i] })
		if n := len(childrenOf(t, s.run[i].PID())); n != 1 {
			t.Errorf("%s has %d children, want the speaker alone", s.lb[i].Name, n)
		}
	}
	gone := func(how string, pid int) {
		t.Helper()
		harness.Eventually(t, patience, "no speaker after "+how, func() bool { return syscall.Kill(pid, 0) != nil })
	}
	for _, how := range []struct {
		name string
		end  func()
	}{
		{"kill -9", func() { s.run[0].Kill() }},
		{"SIGTERM", func() { s.run[0].Stop() }},
		{"a second SIGTERM", func() {
			s.run[0].Signal(syscall.SIGTERM)
			time.Sleep(20 * time.Millisecond)
			syscall.Kill(s.run[0].PID(), syscall.SIGTERM) // it may have ended
			s.run[0].Exit(patience)
		}},
		{"SIGABRT", func() { s.run[0].Signal(syscall.SIGABRT); s.run[0].Exit(patience) }},
	} {
		pid := s.run[0].Speaker()
		how.end()
		gone(how.name, pid)
		if s.lb[0].Has(address) {
			t.Errorf("%s leaves the address", how.name)
		}
		s.again(0)
		s.ready(0)
	}
	s.stop()
}
