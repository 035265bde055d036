package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Lateness answers one question: do advertisements leave on time while every CPU is busy? That is
//
//	go run ./bench lateness                          # needs root; a quarter of an hour
//	go run ./bench lateness -md docs/performance.md  # and write the figures into the manual
//
// In a network of its own (see network) run a balancer under the load of many visitors, its speaker, keepalived, and, in the
// balancer's process, a goroutine with a timer. Each of the three sends something every 100 ms, and the kernel's stamps of
// those packets say how far they are apart. All are measured at the same time, under the same load. Rounds alternate
// between one in which the speaker and keepalived have real-time priority, and one in which nobody has.
const latenessCommand = "lateness"

const beat = 100 * time.Millisecond // between two advertisements of everybody

// latenessSettings are what the command line says.
type latenessSettings struct {
	rounds   int
	time     time.Duration
	idle     time.Duration
	conns    int
	markdown string
}

func parseLateness(args []string) (latenessSettings, error) {
	var s latenessSettings
	f := flag.NewFlagSet("bench lateness", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 3, "measure with and without real-time priority this often, in turn")
	f.DurationVar(&s.time, "time", time.Minute, "length of one measurement, 1s to 10m")
	f.DurationVar(&s.idle, "idle", 20*time.Second, "how long the idle processes are watched, 1s to 10m")
	f.IntVar(&s.conns, "conns", 10000, "client connections, each with a request under way all the time")
	f.StringVar(&s.markdown, "md", "", "replace the marked section of this Markdown `file`, - for standard output")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	var err error
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case s.rounds < 1 || s.rounds > 100:
		err = errors.New("-rounds must be 1 to 100")
	case s.time < time.Second || s.time > 10*time.Minute:
		err = errors.New("-time must be 1s to 10m")
	case s.idle < time.Second || s.idle > 10*time.Minute:
		err = errors.New("-idle must be 1s to 10m")
	case s.conns < 1 || s.conns > 15000:
		err = errors.New("-conns must be 1 to 15000")
	}
	if err != nil {
		fmt.Fprintln(f.Output(), "bench:", err)
	}
	return s, err
}

// latenessResult is everything that one run found out.
type latenessResult struct {
	settings latenessSettings
	date     time.Time
	machine  Machine
	programs []string
	costs    []cost
	rows     []*lateRow
	answers  []float64 // per second, of all rounds
	busy     []float64 // cores, of all rounds
}

// lateRow is one sender, in all its rounds.
type lateRow struct {
	name     string
	realtime bool
	late     []time.Duration // of each packet, to the moment that is 100 ms after the one before
	beats    []string        // what the balancer says of its own beats, one text for each round
}

// row finds a row, or makes it.
func (r *latenessResult) row(name string, realtime bool) *lateRow {
	i := slices.IndexFunc(r.rows, func(o *lateRow) bool { return o.name == name && o.realtime == realtime })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, &lateRow{name: name, realtime: realtime})
	}
	return r.rows[i]
}

// lateness is the whole measurement.
func lateness(ctx context.Context, s latenessSettings) (err error) {
	// The network belongs to this thread, and processes inherit it; see also run.
	runtime.LockOSThread()
	h := &harness{settings: Settings{Conns: s.conns}, proxyCore: anyCore, loadCore: anyCore}
	if h.self, err = os.Executable(); err != nil {
		return err
	}
	if h.dir, err = os.MkdirTemp("", "skein-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	r := &latenessResult{settings: s, date: time.Now(), machine: thisMachine()}
	if r.programs, err = latenessPrograms(ctx, h); err != nil {
		return err
	}
	n, err := newNetwork()
	if err != nil {
		return err
	}
	defer n.close()
	if err := h.startOrigin(); err != nil {
		return err
	}
	defer h.origin.stop()
	defer h.hold.Close()
	if r.costs, err = measureCosts(ctx, h, n, s.idle); err != nil {
		return err
	}
	for i := range 2 * s.rounds {
		fmt.Fprintf(os.Stderr, "\rround %d of %d   ", i+1, 2*s.rounds)
		if err := r.round(ctx, h, n, i%2 == 0); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr)
	return r.write(os.Stdout)
}

// latenessPrograms builds skein and finds keepalived, without which nothing is compared.
func latenessPrograms(ctx context.Context, h *harness) ([]string, error) {
	skein := filepath.Join(h.dir, "skein")
	if err := build(ctx, skein); err != nil {
		return nil, err
	}
	k := keepalivedProgram()
	version, err := k.find()
	if err != nil {
		return nil, err
	}
	version, _, _ = strings.Cut(version, "\n")
	return []string{"skein of this source", version}, nil
}

// round puts the load on the balancer once and adds what it saw.
func (r *latenessResult) round(ctx context.Context, h *harness, n *network, realtime bool) error {
	b, err := h.startBalancer(n, master, realtime, h.self, balancerCommand)
	if err != nil {
		return err
	}
	defer b.stop()
	k, err := h.startKeepalived(n, master, realtime)
	if err != nil {
		return err
	}
	defer k.stop()
	if err := ready(ctx, b.process, b.address, false); err != nil {
		return err
	}
	if err := b.isMaster(ctx); err != nil {
		return err
	}
	w, err := n.watch()
	if err != nil {
		return err
	}
	defer w.stop()
	const warm = 5 * time.Second
	before, err := machineCPU()
	if err != nil {
		return err
	}
	begin := time.Now()
	result, err := h.drive(ctx, Load{
		Mode: Closed, Address: b.address, Path: "/", Length: smallSize, Conns: r.settings.conns,
		Warmup: warm, WarmupRequests: 2 * int64(r.settings.conns), Time: r.settings.time,
	})
	if err != nil {
		return err
	}
	end := time.Now()
	after, err := machineCPU()
	if err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d requests have failed: %s", result.Errors, result.Error)
	}
	r.answers = append(r.answers, result.Rate())
	r.busy = append(r.busy, per((after-before).Seconds(), end.Sub(begin).Seconds()))
	w.stop()
	if err := w.err(); err != nil {
		return err
	}
	// The counted time is the last of the run.
	seen := w.late(end.Add(-result.Elapsed), end)
	for _, s := range senders() {
		if len(seen[s.kind]) < int(r.settings.time/beat)/2 {
			return fmt.Errorf("%s: %d packets in %v: it does not run", s.name, len(seen[s.kind]), r.settings.time)
		}
		row := r.row(s.name, realtime && s.canRealtime)
		row.late = append(row.late, seen[s.kind]...)
	}
	beats, is, err := b.beats(ctx)
	if err != nil {
		return err
	}
	if is != realtime {
		return fmt.Errorf("the speaker has real-time priority: %v, want %v", is, realtime)
	}
	row := r.row("beats of the balancer (every 50 ms)", false)
	row.beats = append(row.beats, beats)
	return nil
}

// quantile is the smallest of the sorted durations that share of them do not exceed.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

const (
	latenessBegin = "<!-- bench lateness: begin (written by go run ./bench lateness -md, do not edit) -->"
	latenessEnd   = "<!-- bench lateness: end -->"
)

// write prints the result, or puts it into a page.
func (r *latenessResult) write(out io.Writer) error {
	section := []byte(r.markdownSection())
	switch name := r.settings.markdown; name {
	case "", "-":
		_, err := out.Write(section)
		return err
	default:
		page, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read manual page: %w", err)
		}
		if page, err = replaceBetween(page, section, latenessBegin, latenessEnd); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return save(out, name, page)
	}
}

// markdownSection is what the manual shows.
func (r *latenessResult) markdownSection() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured: %s, %s, %d cores, Linux %s, %s; nothing pinned; %d rounds of %v each.\nPrograms: %s.\n",
		r.date.UTC().Format("2006-01-02"), r.machine.CPU, r.machine.Cores, r.machine.Kernel, r.machine.Go, r.settings.rounds, r.settings.time,
		strings.Join(r.programs, ", "))
	fmt.Fprintf(&b, "Load: %d connections with a request under way each, %.0f to %.0f answers a second, %.2f to %.2f of %d cores busy.\n\n",
		r.settings.conns, slices.Min(r.answers), slices.Max(r.answers), slices.Min(r.busy), slices.Max(r.busy), r.machine.Cores)
	lines := [][]string{{"how much later than 100 ms after the last, ms", "packets", "median", "p99", "p99.9", "max", "priority"}}
	for _, row := range r.rows {
		if len(row.late) == 0 {
			continue
		}
		priority := "normal"
		if row.realtime {
			priority = "real-time"
		}
		sorted := slices.Sorted(slices.Values(row.late))
		lines = append(lines, []string{
			row.name, fmt.Sprint(len(sorted)), millis(quantile(sorted, 0.5)), millis(quantile(sorted, 0.99)), millis(quantile(sorted, 0.999)),
			millis(sorted[len(sorted)-1]), priority,
		})
	}
	b.WriteString(markdownTable(lines))
	for _, row := range r.rows {
		if len(row.beats) > 0 {
			fmt.Fprintf(&b, "\n%s, as `skein status --json` has them, by round: %s.\n", capital(row.name), strings.Join(row.beats, "; "))
		}
	}
	lines = [][]string{{"idle", "CPU, % of a core", "RSS, MiB", "wake-ups, /s"}}
	for _, c := range r.costs {
		lines = append(lines, []string{c.name, fmt.Sprintf("%.2f", 100*c.cpu), fmt.Sprintf("%.1f", float64(c.memory.RSS)/(1<<20)), fmt.Sprintf("%.0f", c.wakes)})
	}
	b.WriteString("\n" + markdownTable(lines))
	return b.String()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
