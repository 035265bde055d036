package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Usage is what a process can leak.
type Usage struct {
	Descriptors int
	Goroutines  int
}

// Usage reads the present use. The connection that asks for it counts always the same.
func (s *Skein) Usage() Usage {
	s.t.Helper()
	return Usage{s.Descriptors(), int(s.Metric("go_goroutines"))}
}

// Descriptors counts the open descriptors of the process.
func (s *Skein) Descriptors() int {
	s.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(entries)
}

// Memory returns the resident set in bytes.
func (s *Skein) Memory() int64 {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Metric returns the sum of all series of one metric, or of those whose line holds all the given labels (`pool="web"`).
func (s *Skein) Metric(name string, labels ...string) float64 {
	s.t.Helper()
	var sum float64
	for line := range strings.Lines(s.Admin("/metrics")) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); !ok || base != name || !holds(series, labels) {
			continue
		}
		// A label's value may hold a space.
		n, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
		if err != nil {
			s.t.Fatalf("metric %q: %v", line, err)
		}
		sum += n
	}
	return sum
}

func holds(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// Settles fails the test unless the use comes back to what it was: a leak check. Warm skein up before the first look, with
// the connections to origins that it may keep.
func (s *Skein) Settles(before Usage) {
	s.t.Helper()
	var now Usage
	if !Soon(Patience, func() bool {
		now = s.Usage()
		return now.Descriptors <= before.Descriptors && now.Goroutines <= before.Goroutines
	}) {
		s.t.Errorf("use is %+v, was %+v before", now, before)
	}
}
