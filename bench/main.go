// Bench compares skein with the balancers that a user would otherwise take from Debian: nginx, HAProxy and Caddy.
//
//	go run ./bench                          # everything, about ten minutes
//	go run ./bench -run 'keepalive|large'   # some scenarios
//	go run ./bench -md docs/performance.md  # and write the figures into the manual
//	go run ./bench lateness                 # another question: do VRRP's advertisements leave on time? see lateness.go
//
// Start reading at scenario.go, the list of what is measured, then proxy.go, the list of who is measured. Three kinds of
// process take part, so that the kernel keeps their costs apart: the origin (origin.go) answers, the driver (driver.go)
// asks and checks every answer, and the proxy stands between. The main figure is the CPU time that the proxy's own
// processes used per unit of work: unlike requests per second it does not depend on how fast the origin and the driver are.
//
// Bench talks to loopback addresses only, bounds every count and time, and never fails because something was slow:
// a missed target is a word in the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// Settings are what the command line says.
type Settings struct {
	Run        string        `json:"run"`         // regular expression over the names of scenarios
	Rounds     int           `json:"rounds"`      // how often every proxy is measured
	Time       time.Duration `json:"time"`        // length of one measurement, ns in JSON
	Conns      int           `json:"conns"`       // client connections of the closed loops
	Rate       float64       `json:"rate"`        // requests per second of the open loop, 0 = half of what nginx and skein can
	Clients    int           `json:"clients"`     // connections of the idle scenario
	Pin        bool          `json:"pin"`         // proxy on one core, driver and origin on another
	GOMAXPROCS int           `json:"go_maxprocs"` // for the proxies written in Go, 0 = Go's own choice
	JSON       string        `json:"-"`           // file for the figures, - for standard output
	Markdown   string        `json:"-"`           // file whose marked section is replaced, - for standard output
}

func main() {
	// The program starts itself for the other two kinds of process; these words are not for users.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case originCommand:
			exit(originMain(os.Stdin, os.Stdout))
		case driverCommand:
			exit(driverMain(os.Stdin, os.Stdout))
		case placedCommand:
			exit(placedMain(os.Args[2:]))
		case balancerCommand:
			exit(balancerMain(os.Args[2:]))
		case speakCommand:
			speakMain(os.Args[1:])
		case humbleCommand:
			exit(humbleMain(os.Args[2:]))
		case latenessCommand:
			latenessMain(os.Args[2:])
		}
	}
	settings, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		exit(nil)
	}
	if err != nil {
		os.Exit(2)
	}
	interruptible(func(ctx context.Context) error { return run(ctx, settings) })
}

// interruptible runs the benchmark until a signal ends it in order, and exits.
func interruptible(run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx)
	stop()
	exit(err)
}

// latenessMain is go run ./bench lateness.
func latenessMain(args []string) {
	s, err := parseLateness(args)
	if errors.Is(err, flag.ErrHelp) {
		exit(nil)
	}
	if err != nil {
		os.Exit(2)
	}
	interruptible(func(ctx context.Context) error { return lateness(ctx, s) })
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// parse reads the command line. The flag package has already told the user what is wrong with it.
func parse(args []string) (Settings, error) {
	var s Settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.Run, "run", "", "measure only the scenarios whose `name` matches this regular expression")
	f.IntVar(&s.Rounds, "rounds", 5, "measure every proxy this often, in turn")
	f.DurationVar(&s.Time, "time", 2*time.Second, "length of one measurement, 100ms to 1m")
	f.IntVar(&s.Conns, "conns", 16, "client connections in the closed loops")
	f.Float64Var(&s.Rate, "rate", 0, "requests per second of the latency scenario (default: half of what the slower of nginx and skein can)")
	f.IntVar(&s.Clients, "clients", 10000, "connections in the idle scenario")
	f.BoolVar(&s.Pin, "pin", true, "keep the proxy on the first core, the driver and the origin on the second")
	f.IntVar(&s.GOMAXPROCS, "gomaxprocs", 0, "GOMAXPROCS of the proxies written in Go (default: Go's own choice, 1 when pinned)")
	f.StringVar(&s.JSON, "json", "", "write all figures as JSON into this `file`, - for standard output")
	f.StringVar(&s.Markdown, "md", "", "replace the marked section of this Markdown `file`, - for standard output")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "Usage: go run ./bench [flags]\n       go run ./bench lateness [flags]\n\nCompares skein with nginx, HAProxy and Caddy on this machine.\n\n")
		f.PrintDefaults()
		fmt.Fprintln(f.Output(), "\nScenarios:")
		for _, s := range scenarios() {
			fmt.Fprintf(f.Output(), "  %-10s %s\n", s.name, s.title)
		}
	}
	if err := f.Parse(args); err != nil {
		return s, err
	}
	wrong := func(format string, args ...any) (Settings, error) {
		err := fmt.Errorf(format, args...)
		fmt.Fprintln(f.Output(), "bench:", err)
		return s, err
	}
	_, err := regexp.Compile(s.Run)
	switch {
	case err != nil:
		return wrong("-run: %v", err)
	case f.NArg() > 0:
		return wrong("unexpected argument %q", f.Arg(0))
	case s.Rounds < 1 || s.Rounds > 100:
		return wrong("-rounds must be 1 to 100")
	case s.Time < 100*time.Millisecond || s.Time > time.Minute:
		return wrong("-time must be 100ms to 1m")
	case s.Conns < 1 || s.Conns > 1000:
		return wrong("-conns must be 1 to 1000")
	case s.Clients < 1 || s.Clients > 15000:
		return wrong("-clients must be 1 to 15000")
	case s.Rate < 0 || s.Rate > 1e6:
		return wrong("-rate must be 0 to 1000000")
	}
	return s, nil
}
