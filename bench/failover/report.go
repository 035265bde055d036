package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is everything that one run found out.
type report struct {
	date     time.Time
	rounds   int
	pairs    []pair
	versions []string
	rows     []row
}

type row struct {
	fault   string
	results []result // of the pairs
}

func newReport(rounds int, pairs []pair) *report {
	r := &report{date: time.Now(), rounds: rounds, pairs: pairs}
	for _, argv := range [][]string{{"keepalived", "--version"}, {"nginx", "-v"}} {
		out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput() // both are there, or nothing was measured
		line, _, _ := strings.Cut(string(out), "\n")
		r.versions = append(r.versions, strings.TrimSpace(line))
	}
	return r
}

const (
	begin = "<!-- failover: begin (written by go run ./bench/failover -md, do not edit) -->"
	end   = "<!-- failover: end -->"
)

// write prints the report, and puts it between the markers of a page.
func (r *report) write(page string) error {
	text := r.markdown()
	if page == "" || page == "-" {
		_, err := os.Stdout.WriteString(text)
		return err
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("read the manual: %w", err)
	}
	before, rest, ok := bytes.Cut(old, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s: no markers %q and %q", page, begin, end)
	}
	f, err := os.CreateTemp(filepath.Dir(page), ".failover-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(bytes.Join([][]byte{before, []byte(begin + "\n"), []byte(text), []byte(end), after}, nil))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), page)
}

// markdown is the section of the manual.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured: %s, %s, %d cores, Linux %s, %s; %d rounds of each fault, the two pairs in turn. Programs: skein of this commit, %s.\n\n",
		r.date.UTC().Format("2006-01-02"), processor(), runtime.NumCPU(), kernel(), runtime.Version(), r.rounds, strings.Join(r.versions, ", "))
	b.WriteString("| fault | pair | gap, median | gap, worst | failed requests per round | most in one | late ones per round | slowest |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	lag := time.Duration(0)
	for _, row := range r.rows {
		for i, res := range row.results {
			n := float64(len(res.gaps))
			gaps := slices.Sorted(slices.Values(res.gaps))
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f | %d | %.1f | %s |\n", row.fault, r.pairs[i].name(), ms(gaps[len(gaps)/2]), ms(gaps[len(gaps)-1]),
				float64(res.failed)/n, res.worst, float64(res.late)/n, ms(res.slowest))
			lag = max(lag, res.lag)
		}
	}
	fmt.Fprintf(&b, "\nThe visitor itself was never later than %s.\n", ms(lag))
	for _, p := range r.pairs {
		name, text := p.config()
		for _, c := range []*classics{r.classics()} {
			text = strings.ReplaceAll(text, c.dir+"/lb1", "/etc/lb1")
		}
		// Not marked as HCL: every hcl block of the manual is loaded by a test as an example, and this is a record.
		fmt.Fprintf(&b, "\n%s:\n\n```text\n%s```\n", name, text)
	}
	return b.String()
}

// classics are the pair whose directory is this run's alone.
func (r *report) classics() *classics {
	for _, p := range r.pairs {
		if c, ok := p.(*classics); ok {
			return c
		}
	}
	return &classics{dir: "none"}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}
