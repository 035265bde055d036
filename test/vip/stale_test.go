package vip

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"skein/test/harness"
	"skein/test/lab"
)

// Addresses that were left behind, because all processes were killed at once, are removed by the next start: also those that the
// file does not have any more, and the interface of a virtual MAC.
func TestStaleAddresses(t *testing.T) {
	for _, c := range []struct {
		name, more string
		gone       bool // the vip is not in the new file
	}{
		{"same file", "", false},
		{"without the vip", "", true},
		{"virtual MAC", "virtual_mac = true", false},
		{"virtual MAC, without the vip", "virtual_mac = true", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 2)
			dir, err := os.MkdirTemp("", "skein") // a socket's path must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			// The same state directory each time, as on a real machine.
			start := func(text string) *lab.Program {
				t.Helper()
				file := filepath.Join(dir, "skein.hcl")
				text += fmt.Sprintf("state = %q\nadmin {\n  socket = %q\n}\n", filepath.Join(dir, "state"), filepath.Join(dir, "sock"))
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				p := s.lb[0].Start(harness.Binary(t), "run", file)
				p.Says("msg=started", patience)
				return p
			}
			own := s.lb[0].Addresses()
			first := start(s.file(s.vip("front", `address = ["`+address+`/24", "fd00::100/64"]`, c.more)))
			s.owners.Wait(s.lb[0], patience)
			six := lab.Watch("fd00::100", s.lb...)
			six.Wait(s.lb[0], patience)
			children := childrenOf(t, first.PID())
			syscall.Kill(first.PID(), syscall.SIGSTOP) // so that none sees another die
			for _, id := range append(children, first.PID()) {
				syscall.Kill(id, syscall.SIGKILL)
			}
			first.Wait(patience)
			if !s.lb[0].Has(address) {
				t.Fatal("nothing was left behind")
			}
			// The other one has them meanwhile, so that the next start must not own them.
			s.launch(1, s.file(s.vip("front", `address = ["`+address+`/24", "fd00::100/64"]`, "preempt = false", c.more)))
			harness.Eventually(t, patience, "lb2 owns the addresses", func() bool { return s.lb[1].Has(address) && s.lb[1].Has("fd00::100") })
			next := s.file()
			if !c.gone {
				next = s.file(s.vip("front", `address = ["`+address+`/24", "fd00::100/64"]`, "preempt = false", c.more))
			}
			p := start(next)
			harness.Eventually(t, patience, "what was left behind is gone", func() bool { return slices.Equal(s.lb[0].Addresses(), own) })
			stay(t, s, s.lb[1], s.owners.Wait(s.lb[1], patience), 0)
			p.Term()
			if code := p.Wait(patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			s.run[1].Stop()
		})
	}
}

// childrenOf are the processes that this one has started.
func childrenOf(t *testing.T, pid int) (all []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // proc_tid_children(5)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			id, err := strconv.Atoi(w)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, id)
		}
	}
	return all
}
