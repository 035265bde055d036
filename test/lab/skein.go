package lab

import (
	"syscall"

	"skein/test/harness"
)

// Skein is the real skein in a host. Its own methods Kill and Signal mean the first process; the variants All mean its children
// as well.
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

// KillAll is kill -9 of skein and its children at once.
func (s *Skein) KillAll() {
	syscall.Kill(-s.PID(), syscall.SIGKILL)
	s.Kill()
}

// FreezeAll stops skein and its children in their tracks.
func (s *Skein) FreezeAll() { syscall.Kill(-s.PID(), syscall.SIGSTOP) }

// ThawAll lets them go on.
func (s *Skein) ThawAll() { syscall.Kill(-s.PID(), syscall.SIGCONT) }
