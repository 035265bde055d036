package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// meter reads the kernel's account of the processes that take part. The driver reads it at both ends of the counted time,
// so that starting, warming up and stopping cost no proxy anything.
type meter struct {
	proxy  []int // processes of the proxy: nginx has two
	origin int

	begin                 time.Time
	cpu, atOrigin, driver time.Duration
	busy                  time.Duration
}

func newMeter(group, origin int) (*meter, error) {
	m := &meter{origin: origin}
	if group > 0 {
		var err error
		if m.proxy, err = members(group); err != nil {
			return nil, err
		}
		if len(m.proxy) == 0 {
			return nil, fmt.Errorf("no process in the proxy's group %d", group)
		}
	}
	return m, nil
}

// start begins the counted time.
func (m *meter) start() error {
	var err error
	m.begin = time.Now()
	m.cpu, m.atOrigin, m.driver, m.busy, err = m.read()
	return err
}

// stop ends the counted time and writes it into r.
func (m *meter) stop(r *Result) error {
	cpu, origin, driver, busy, err := m.read()
	if err != nil {
		return err
	}
	r.Elapsed = time.Since(m.begin)
	r.CPU, r.Origin, r.Driver = cpu-m.cpu, origin-m.atOrigin, driver-m.driver
	ours := r.CPU + r.Origin + r.Driver
	cores, err := onlineCPUs()
	if err != nil {
		return err
	}
	r.Others = max(0, per((busy-m.busy-ours).Seconds(), r.Elapsed.Seconds()*float64(cores)))
	return nil
}

func (m *meter) read() (proxy, origin, driver, busy time.Duration, err error) {
	for _, pid := range m.proxy {
		t, err := processCPU(pid)
		if err != nil {
			return 0, 0, 0, 0, fmt.Errorf("read CPU clock of proxy process %d: %w", pid, err)
		}
		proxy += t
	}
	if m.origin > 0 {
		if origin, err = processCPU(m.origin); err != nil {
			return 0, 0, 0, 0, fmt.Errorf("read CPU clock of origin: %w", err)
		}
	}
	if driver, err = processCPU(os.Getpid()); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("read CPU clock of driver: %w", err)
	}
	driver += childrenCPU()
	busy, err = machineCPU()
	return proxy, origin, driver, busy, err
}

// processCPU returns the CPU time of a process, all its threads, also the ended ones, to the nanosecond: the clock that
// clock_getcpuclockid(3) names. /proc/PID/stat counts in ticks of 10 ms, and /proc/PID/task loses threads that end.
func processCPU(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// childrenCPU returns the CPU time of programs that this process has run to their end.
func childrenCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machineCPU returns the time that all cores were not idle, in ticks of 10 ms: good enough to warn of other work.
func machineCPU() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := strings.Fields(string(line))
	var ticks int64
	for i, f := range fields {
		// cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user already.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// onlineCPUs counts the cores of the machine; runtime.NumCPU counts those that this process may use.
func onlineCPUs() (int, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	n := bytes.Count(stat, []byte("\ncpu"))
	return max(n, 1), nil
}

// members returns the processes of a group.
func members(group int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (comm) state ppid pgrp ...; comm may contain anything, so count from the last bracket.
		_, rest, ok := strings.Cut(string(b[max(0, bytes.LastIndexByte(b, ')')):]), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 3 || fields[2] != strconv.Itoa(group) || fields[0] == "Z" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, nil
}

// memory adds up the memory of processes.
func memory(pids []int) (Memory, error) {
	var sum Memory
	for _, pid := range pids {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return sum, err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var kib int64
			if n, _ := fmt.Sscanf(lines.Text(), "Rss: %d kB", &kib); n == 1 {
				sum.RSS += kib << 10
			}
			if n, _ := fmt.Sscanf(lines.Text(), "Pss: %d kB", &kib); n == 1 {
				sum.PSS += kib << 10
			}
		}
		if err := f.Close(); err != nil {
			return sum, err
		}
	}
	return sum, nil
}
