// Failover compares a pair of skeins with what one would otherwise take from Debian, keepalived and nginx on two machines: how long
// is a site away, and how many requests fail, when a balancer dies, is cut off, stands still or is stopped?
//
//	go run ./bench/failover                          # twenty rounds of each fault, about ten minutes
//	go run ./bench/failover -md docs/performance.md  # and write the figures into the manual
//
// Start reading at faults in schedule.go, then pair.go, the two who are compared. Hosts are network namespaces (package lab), and
// so it needs root. Both pairs are there all the time, and every fault strikes one after the other, so that what disturbs the
// machine disturbs both. A visitor asks every 5 ms on a new connection; that is the only judge.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"testing"
)

// settings are what the command line says.
type settings struct {
	rounds   int
	run      string
	markdown string
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 20, "how often every fault strikes each pair")
	flag.StringVar(&s.run, "run", "", "only faults whose `name` matches this regular expression")
	flag.StringVar(&s.markdown, "md", "", "replace the marked section of this Markdown `file`, - for standard output")
	flag.Parse()
	pattern, err := regexp.Compile(s.run)
	if err != nil || flag.NArg() > 0 || s.rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	b := &bench{}
	done := make(chan struct{})
	go func() { // a goroutine, as in a test: Fatal ends it
		defer close(done)
		defer b.clean()
		b.failed = true // until the end is reached
		r := measure(b, s.rounds, pattern)
		if err := r.write(s.markdown); err != nil {
			b.Fatal(err)
		}
		b.failed = false
	}()
	<-done
	if b.failed {
		os.Exit(1)
	}
}

// bench is what packages lab and harness want of a test: they log, fail and clean up by it. What else a test can they do not
// use.
type bench struct {
	testing.TB // nil; it has a method that nobody else may have

	cleanups []func()
	failed   bool
}

// Helper implements [testing.TB].
func (*bench) Helper() {}

// Name implements [testing.TB].
func (*bench) Name() string { return "failover" }

// Cleanup implements [testing.TB].
func (b *bench) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

// Failed implements [testing.TB]. Only who reports more after a failure asks, at the end.
func (b *bench) Failed() bool { return false }

// Log implements [testing.TB].
func (*bench) Log(args ...any) { fmt.Fprintln(os.Stderr, args...) }

// Logf implements [testing.TB].
func (*bench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Error implements [testing.TB].
func (b *bench) Error(args ...any) { b.failed = true; b.Log(args...) }

// Errorf implements [testing.TB].
func (b *bench) Errorf(format string, args ...any) { b.failed = true; b.Logf(format, args...) }

// Fatal implements [testing.TB].
func (b *bench) Fatal(args ...any) { b.Error(args...); runtime.Goexit() }

// Fatalf implements [testing.TB].
func (b *bench) Fatalf(format string, args ...any) { b.Errorf(format, args...); runtime.Goexit() }

// Skip implements [testing.TB].
func (b *bench) Skip(args ...any) { b.Fatal(args...) }

// TempDir implements [testing.TB].
func (b *bench) TempDir() string {
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// clean undoes everything, in reverse.
func (b *bench) clean() {
	for len(b.cleanups) > 0 {
		last := len(b.cleanups) - 1
		f := b.cleanups[last]
		b.cleanups = b.cleanups[:last]
		f()
	}
}
