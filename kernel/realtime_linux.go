package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Limits of a thread with real-time priority that never sleeps: then the Go runtime ends the process with a trace, and if it
// cannot, the kernel kills it. Without them such a thread would keep everybody else from its CPU, save for the 50 ms a second
// that the kernel reserves (sched_rt_runtime_us).
const (
	runawayWarning = 1_000_000 // µs; SIGXCPU
	runawayLimit   = 2_000_000 // µs; SIGKILL
)

// Realtime gives all threads of this process real-time priority (SCHED_RR, the lowest: 1): whatever ordinary processes do,
// they run when they have something to do. Threads and children that are made later inherit it, so that it is for a small
// process that starts no others. It needs CAP_SYS_NICE.
func Realtime() error {
	limit := unix.Rlimit{Cur: runawayWarning, Max: runawayLimit}
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &limit); err != nil {
		return fmt.Errorf("set real-time priority: limit its CPU time: %w", err)
	}
	// A thread that is made by one that had its turn inherits; one that is made by another is found by the next look. So
	// when a look finds none that is new, there is none.
	done := make(map[int]bool)
	for {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("set real-time priority: %w", err)
		}
		before := len(done)
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || done[id] {
				continue
			}
			done[id] = true
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
			if errors.Is(err, unix.ESRCH) {
				continue // it has ended
			}
			if errors.Is(err, unix.EPERM) {
				return fmt.Errorf("set real-time priority: %w (run as root or grant CAP_SYS_NICE)", err)
			}
			if err != nil {
				return fmt.Errorf("set real-time priority: %w", err)
			}
		}
		if len(done) == before {
			return nil
		}
	}
}
