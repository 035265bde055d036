package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"skein/test/harness"
)

// Skein is the real skein in a host. Its own methods Kill and Signal mean the process that balances; the variants All mean its
// children as well, whatever session they have gone to, and heirs after an upgrade: every process of this program in the host.
type Skein struct {
	*harness.Skein

	Host *Host
}

// Skein starts skein in the host and waits until it serves.
func (h *Host) Skein(hcl string, opts ...harness.Option) *Skein {
	h.lab.t.Helper()
	s := h.Launch(hcl, opts...)
	s.Await()
	return s
}

// Launch is [Host.Skein] without the waiting.
func (h *Host) Launch(hcl string, opts ...harness.Option) *Skein {
	h.lab.t.Helper()
	s := &Skein{harness.LaunchIn(h.lab.t, h.Do, hcl, opts...), h}
	// One that is still frozen at the end could not stop.
	h.lab.t.Cleanup(s.ThawAll)
	return s
}

// KillAll is kill -9 of everything at once, so that none sees another die and says a last word.
func (s *Skein) KillAll() {
	s.Host.lab.t.Helper()
	parents, children := s.family()
	for _, id := range parents {
		syscall.Kill(id, syscall.SIGSTOP)
	}
	for _, id := range append(children, parents...) {
		syscall.Kill(id, syscall.SIGKILL)
	}
	s.Kill()
}

// FreezeAll stops everything in its tracks (SIGSTOP), as a hypervisor does that pauses a machine.
func (s *Skein) FreezeAll() {
	s.Host.lab.t.Helper()
	parents, children := s.family()
	for _, id := range append(children, parents...) {
		syscall.Kill(id, syscall.SIGSTOP)
	}
}

// ThawAll lets everything go on.
func (s *Skein) ThawAll() {
	s.Host.lab.t.Helper()
	parents, children := s.family()
	for _, id := range append(parents, children...) {
		syscall.Kill(id, syscall.SIGCONT)
	}
}

// Freeze stops the process that balances, alone.
func (s *Skein) Freeze() { s.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Skein) Thaw() { s.Signal(syscall.SIGCONT) }

// Speaker is the process that speaks for the balancer, which is its child; it waits until there is one.
func (s *Skein) Speaker() int {
	t := s.Host.lab.t
	t.Helper()
	found := 0
	harness.Eventually(t, patience, "skein in "+s.Host.Name+" has a speaker", func() bool {
		_, children := s.family()
		i := slices.IndexFunc(children, func(id int) bool {
			args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
			return err == nil && slices.ContainsFunc(bytes.Split(args, []byte{0}), func(a []byte) bool { return string(a) == "speak" })
		})
		if i < 0 {
			return false
		}
		found = children[i]
		return true
	})
	return found
}

// family finds the processes of this program in the host, and those among them whose parent is one, too.
func (s *Skein) family() (parents, children []int) {
	t := s.Host.lab.t
	t.Helper()
	path := harness.Binary(t)
	program, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.Host.space.processes()
	if err != nil {
		t.Fatalf("host %s: list processes: %v", s.Host.Name, err)
	}
	ids = slices.DeleteFunc(ids, func(id int) bool {
		link := filepath.Join("/proc", strconv.Itoa(id), "exe")
		// Another test that was started since may have built it anew, in its place.
		if old, err := os.Readlink(link); err == nil && old == path+" (deleted)" {
			return false
		}
		exe, err := os.Stat(link)
		return err != nil || !os.SameFile(exe, program)
	})
	for _, id := range ids {
		if slices.Contains(ids, parentOf(id)) {
			children = append(children, id)
		} else {
			parents = append(parents, id)
		}
	}
	return parents, children
}

// parentOf reads the fourth field of /proc/PID/stat (proc(5)); the second may hold anything, in parentheses. 0 is none.
func parentOf(id int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return parent
}
