// Package engine runs a configuration: it loads the file, lets every service prepare, makes all of it live at once, and does
// the same again at each reload.
//
// Start at [New] and [Engine.Run]; services.go is the one list of what runs and of what is wired to what; reload.go holds the
// two promises of a reload; upgrade.go replaces the process by one of a newer program.
//
// It does no work on requests and knows nothing of HCL. Signals belong to package cli.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"skein/admin"
	"skein/config"
	"skein/internal/listen"
	"skein/pool"
)

// Service is one part of Skein that listens or acts.
type Service interface {
	// Prepare does everything for the next config that can fail (parse, resolve, open sockets) and changes nothing live.
	// Exactly one of commit and discard is then called; neither can fail.
	Prepare(ctx context.Context, c *config.Config, p *pool.Set) (commit, discard func(), err error)
	// Run works until ctx ends.
	Run(ctx context.Context) error
}

// Options are what an Engine needs to know of its process.
type Options struct {
	// Load reads the configuration; it is called at the start and at each reload.
	Load func() (*config.Config, error)
	// Log takes log lines; their level and format follow the log block.
	Log io.Writer
	// Access takes the access log where the log block names no file.
	Access io.Writer
	// Plain makes all I/O with visitors and members go through net.Conn, without write-then-park; for tests.
	Plain   bool
	Version string
	// Notify is systemd's notification socket, $NOTIFY_SOCKET; "" is none.
	Notify string
	// Program is what an upgrade starts; without a path there is none.
	Program Program
	// Elder is $SKEIN_UPGRADE: the descriptor of the process that this one replaces; "" is none.
	Elder string
}

// Engine is one running Skein.
type Engine struct {
	o       Options
	log     *slog.Logger
	logs    *logs
	started time.Time
	parts   parts
	serving atomic.Bool // Run runs and has not been told to stop
	stopped atomic.Bool // Run has been told to stop
	live    atomic.Pointer[live]
	last    atomic.Pointer[admin.Reload]

	sockets   *listen.Set
	elder     *listen.Elder // whom this process replaces; nil without
	upgrading atomic.Bool
	replaced  atomic.Bool             // by an heir, which serves now
	running   atomic.Pointer[running] // of Run; nil before

	reload sync.Mutex // one change of configuration at a time
}

// running is the life of Run.
type running struct {
	ctx  context.Context
	stop context.CancelFunc
}

// live is the configuration that is in force.
type live struct {
	config *config.Config
	set    *pool.Set
}

// New loads the configuration and makes it live: all sockets are open when it returns, and nothing runs yet. After an error
// nothing is left open.
func New(ctx context.Context, o Options) (*Engine, error) {
	c, err := o.Load()
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, started: time.Now()}
	e.logs, e.log = newLogs(o.Log)
	e.logs.apply(c.Log)
	if err := e.openSockets(); err != nil {
		return nil, err
	}
	if e.parts, err = e.wire(c); err != nil {
		e.closeSockets()
		return nil, err
	}
	if e.elder != nil {
		e.parts.freeze() // the elder keeps the drains until it lets go
	}
	e.live.Store(&live{config: c, set: pool.NewSet()})
	if err := e.change(ctx, c); err != nil {
		e.closeSockets()
		return nil, err
	}
	e.last.Store(&admin.Reload{Time: time.Now(), OK: true, Hash: c.Hash})
	return e, nil
}

// Run works until ctx ends or a service breaks. Virtual addresses are handed over first, while everything still works. Then
// services that serve visitors end and finish their work while the supporting ones (health, drains, the admin socket) still
// run.
func (e *Engine) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	work, stopWork := context.WithCancel(background)
	defer stopWork()
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	e.running.Store(&running{front, stopFront})

	support := e.start(background, e.parts.support, stopFront)
	services := e.start(work, e.parts.services, stopFront)
	if e.takeOver(front) {
		c := e.live.Load().config
		e.log.Info("started", "version", e.o.Version, "pid", os.Getpid(), "node", c.Node, "file", c.File, "hash", short(c.Hash), "open_files", openFiles())
		e.notify(e.ready())
	}

	<-front.Done()
	e.serving.Store(false)
	e.stopped.Store(true)
	if e.replaced.Load() {
		e.log.Info("replaced: running requests are finished first")
	} else {
		e.notify("STOPPING=1")
		e.log.Info("stopping: running requests are finished first")
		// Visitors come to our addresses until another node has them.
		e.parts.handOver(background)
	}
	stopWork()
	err := services.wait()
	stop()
	err = errors.Join(err, support.wait())
	e.log.Info("stopped")
	return err
}

// Reopen opens the access log again, after its file was moved away.
func (e *Engine) Reopen() error {
	if err := e.parts.reopen(); err != nil {
		e.log.Error("access log was not reopened", "error", err)
		return err
	}
	e.log.Info("access log was reopened")
	return nil
}

// Config is the configuration that is in force.
func (e *Engine) Config() *config.Config { return e.live.Load().config }

// group is services that run.
type group struct {
	done chan struct{}

	mu  sync.Mutex // guards err
	err error
}

// start runs each service of the list. One that ends with an error before its time calls failed: a balancer without one of
// its parts is better restarted than limping.
func (e *Engine) start(ctx context.Context, list []part, failed func()) *group {
	g := &group{done: make(chan struct{})}
	var all sync.WaitGroup
	for _, s := range list {
		all.Go(func() {
			err := s.service.Run(ctx)
			if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return
			}
			g.mu.Lock()
			g.err = errors.Join(g.err, fmt.Errorf("%s: %w", s.name, err))
			g.mu.Unlock()
			failed()
		})
	}
	go func() { all.Wait(); close(g.done) }()
	return g
}

func (g *group) wait() error {
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// short is the beginning of a hash, enough to tell configurations apart by eye.
func short(hash string) string { return hash[:min(12, len(hash))] }

// openFiles is how many descriptors the process may have. Go has raised its soft limit to the hard one before main.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}
