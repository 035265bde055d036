package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// runaway is how long a thread with real-time priority may run without sleeping until the kernel kills the process: without a
// limit it would keep everybody else from its CPU, save for the 50 ms a second that the kernel reserves (sched_rt_runtime_us).
// A goroutine that changes its thread begins anew, so it can take some seconds. The softer limit of RLIMIT_RTTIME would be a SIGXCPU, of which the Go runtime takes no notice.
const runaway = time.Second

// Realtime gives all threads of this process real-time priority (SCHED_RR, the lowest: 1): whatever ordinary processes do,
// they run when they have something to do. Threads and children that are made later inherit it, so that it is for a small
// process that starts no others. It needs CAP_SYS_NICE. It may be called again.
func Realtime() error {
	limit := unix.Rlimit{Cur: uint64(runaway.Microseconds()), Max: uint64(runaway.Microseconds())}
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &limit); err != nil {
		return fmt.Errorf("set real-time priority: limit its CPU time: %w", err)
	}
	// A thread that is being made while its maker has its turn inherits nothing, and is not in the list yet: hence three
	// looks in a row that find nobody without. (syscall.AllThreadsSyscall would know all threads, but not with cgo.)
	for good := 0; good < 3; {
		changed, err := realtimeThreads()
		if err != nil {
			return fmt.Errorf("set real-time priority: %w", err)
		}
		if good++; changed {
			good = 0
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// realtimeThreads gives it to those that do not have it.
func realtimeThreads() (changed bool, err error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false, err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return false, err
		}
		is, err := unix.SchedGetAttr(id, 0)
		if err == nil && is.Policy != unix.SCHED_RR {
			changed = true
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
		}
		switch {
		case errors.Is(err, unix.ESRCH): // it has ended
		case errors.Is(err, unix.EPERM):
			return changed, fmt.Errorf("%w (run as root or grant CAP_SYS_NICE)", err)
		case err != nil:
			return changed, err
		}
	}
	return changed, nil
}
