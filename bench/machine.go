package main

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where the figures come from; without it they mean nothing.
type Machine struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Memory float64 `json:"memory_gib"`
	Kernel string  `json:"kernel"`
	Go     string  `json:"go"`
}

func thisMachine() Machine {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version()}
	if n, err := onlineCPUs(); err == nil {
		m.Cores = n
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	}
	return m
}

// cores returns the first two cores that this process may use: one for the proxy, one for driver and origin. Without
// pinning, or with a single core, both are anyCore.
func cores(pin bool) (proxy, load int) {
	var set unix.CPUSet
	if !pin || unix.SchedGetaffinity(0, &set) != nil || set.Count() < 2 {
		return anyCore, anyCore
	}
	var found []int
	for i := 0; len(found) < 2; i++ {
		if set.IsSet(i) {
			found = append(found, i)
		}
	}
	return found[0], found[1]
}
