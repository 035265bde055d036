package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// harness runs the scenarios: it starts processes, has drivers measure them in turn, and stops everything.
type harness struct {
	settings  Settings
	self      string // this program
	dir       string // temporary, removed in the end
	proxyCore int
	loadCore  int
	present   []proxy
	origin    *process
	hold      *os.File // the origin's input: it answers until this is closed, whatever becomes of us
	port      int      // of the origin
	started   int      // processes so far, for the names of their directories
}

// against are the rows that the others are divided by.
var against = []string{"nginx", "haproxy", "caddy"}

// run is the whole benchmark.
func run(ctx context.Context, s Settings) (err error) {
	// The kernel tells our processes when the thread that started them ends; this one lives until the end.
	runtime.LockOSThread()
	h := &harness{settings: s}
	if h.self, err = os.Executable(); err != nil {
		return err
	}
	if h.dir, err = os.MkdirTemp("", "skein-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	// Nginx's worker gives up root and still has to reach its directory.
	if err := os.Chmod(h.dir, 0o755); err != nil {
		return err
	}
	h.proxyCore, h.loadCore = cores(s.Pin)
	chosen, err := choose(s.Run)
	if err != nil {
		return err
	}
	report := Report{Date: time.Now(), Machine: thisMachine(), Settings: s, Pinned: h.proxyCore != anyCore}
	h.find(ctx, &report)
	if len(h.present) == 0 {
		return errors.New("no proxy to measure")
	}
	if err := h.startOrigin(); err != nil {
		return err
	}
	defer h.origin.stop()
	defer h.hold.Close()
	for _, sc := range chosen {
		table, err := h.measure(ctx, sc)
		if err != nil {
			return err
		}
		if len(table.Rows) > 0 {
			report.Tables = append(report.Tables, table)
			fmt.Fprintf(os.Stderr, "\r%-70s\r", "")
		}
	}
	report.Verdicts = judge(report.Tables, targets())
	return report.write(os.Stdout)
}

// choose returns the scenarios whose name the expression matches.
func choose(expression string) ([]scenario, error) {
	wanted, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(scenarios(), func(s scenario) bool { return !wanted.MatchString(s.name) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no scenario matches %q", expression)
	}
	return chosen, nil
}

// find builds skein and looks for the others. What is missing is said and left out.
func (h *harness) find(ctx context.Context, report *Report) {
	for _, p := range proxies() {
		version, err := "", error(nil)
		if p.name == "skein" {
			p.program = filepath.Join(h.dir, "skein")
			err = build(ctx, p.program)
		}
		if err == nil {
			version, err = p.find()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: %v; going on without %s\n", err, p.name)
			report.Missing = append(report.Missing, p.name)
			continue
		}
		h.present = append(h.present, p)
		report.Programs = append(report.Programs, Program{
			Name: p.name, Version: version,
			Config: p.config(setup{Dir: "/tmp/bench", Listen: "127.0.0.1:8080", Origin: 8081}),
		})
	}
}

// build makes skein from the module that the bench was started in.
func build(ctx context.Context, program string) error {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return errors.New("build skein: run the bench inside skein's source, with go in the PATH")
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir = strings.TrimSpace(string(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.SplitN(strings.TrimSpace(string(out)), "\n", 3)
		return fmt.Errorf("build skein: %w: %s", err, strings.Join(lines[:min(2, len(lines))], " "))
	}
	return nil
}

// startOrigin starts the origin and learns its port.
func (h *harness) startOrigin() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	in, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	h.hold = hold
	h.origin, err = start(h.self, "origin", h.dir, h.loadCore, in, w, nil, h.self, originCommand)
	_ = in.Close()
	_ = w.Close()
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		h.origin.stop()
		return h.origin.explain("did not start")
	}
	h.port, err = strconv.Atoi(strings.TrimSpace(line))
	return err
}

// instance is a proxy that runs.
type instance struct {
	*process
	address string
}

// launch starts a contender and waits until it answers.
func (h *harness) launch(ctx context.Context, c contender) (*instance, error) {
	h.started++
	s := c.setup
	s.Dir = filepath.Join(h.dir, fmt.Sprintf("%d-%s", h.started, c.proxy.name))
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		return nil, err
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.Listen, s.Origin = listen, h.port
	if s.Log != "" {
		s.Log = filepath.Join(s.Dir, s.Log)
	}
	argv, err := c.proxy.write(s)
	if err != nil {
		return nil, err
	}
	var env []string
	if c.proxy.env != nil {
		env = c.proxy.env(s.Dir)
	}
	if c.proxy.inGo && h.settings.GOMAXPROCS > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(h.settings.GOMAXPROCS))
	}
	p, err := start(h.self, c.proxy.name, s.Dir, h.proxyCore, nil, nil, env, argv...)
	if err != nil {
		return nil, err
	}
	if err := ready(ctx, p, listen, s.TLS); err != nil {
		p.stop()
		return nil, err
	}
	return &instance{p, listen}, nil
}

// freeAddress finds a port that nobody uses now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ready waits for the proxy's first answer.
func ready(ctx context.Context, p *process, address string, secure bool) error {
	const patience = 20 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c, err := net.DialTimeout("tcp4", address, time.Second)
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			if secure {
				c = tls.Client(c, clientTLS("http/1.1"))
			}
			_, _ = c.Write(request("/", true))
			head := make([]byte, len("HTTP/1.1 200"))
			_, err = io.ReadFull(c, head)
			_ = c.Close()
			if err == nil && string(head) == "HTTP/1.1 200" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return p.explain("ended at once")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return p.explain(fmt.Sprintf("did not answer within %v", patience))
}

// drive has a driver process put the load on a proxy.
func (h *harness) drive(ctx context.Context, load Load) (Result, error) {
	load.Origin = h.origin.group()
	in, err := json.Marshal(load)
	if err != nil {
		return Result{}, err
	}
	var out bytes.Buffer
	p, err := start(h.self, "driver", h.dir, h.loadCore, bytes.NewReader(in), &out, nil, h.self, driverCommand)
	if err != nil {
		return Result{}, err
	}
	limit, cancel := context.WithTimeout(ctx, 3*(load.Warmup+load.Time)+maxWarmup+3*stalled)
	defer cancel()
	if err := p.wait(limit); err != nil {
		return Result{}, err
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return Result{}, fmt.Errorf("read the driver's result: %w", err)
	}
	return r, nil
}
