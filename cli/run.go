package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"skein/config"
	"skein/engine"
)

func (p Process) run() *cobra.Command {
	var name string
	var upgrade time.Duration
	cmd := &cobra.Command{
		Use:   "run [FILE]",
		Short: "Run this node",
		Long: `Run this node until it is told to stop.

FILE is ./skein.hcl, or else /etc/skein/skein.hcl. Every node runs the same file and finds its own name in it: --name, or
else the host name, or else the server that has one of this machine's addresses.

Signals: HUP reads the file again, all or nothing. TERM and INT finish running requests and stop; a second one stops at
once. USR1 opens the access log again, after its file was moved away. USR2 upgrades in place: it starts the program anew, from
the file that this process was started from, and hands over to it once it is ready.`,
		Example: "  skein run skein.hcl\n  skein run --name lb1",
		Args:    one("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Registered first: until then a HUP would kill the process.
			signals := make(chan os.Signal, 8)
			signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
			defer signal.Stop(signals)
			tune(p.Getenv)
			f := file(args)
			e, err := engine.New(cmd.Context(), engine.Options{
				Load:    func() (*config.Config, error) { return config.Load(f, options(name)) },
				Log:     p.Err,
				Access:  p.Out,
				Plain:   p.Getenv("SKEIN_SOCK") == "plain",
				Version: version(),
				Notify:  p.Getenv("NOTIFY_SOCKET"),
				Program: engine.Program{Path: itself(), Args: os.Args, Env: os.Environ(), Timeout: upgrade},
				Elder:   p.Getenv(engine.ElderVariable),
			})
			if err != nil {
				return wrong{fmt.Errorf("%s: %w", f, err)}
			}
			for _, w := range e.Config().Warnings {
				fmt.Fprintln(p.Err, config.Text([]config.Problem{w}))
			}
			ctx, stop := context.WithCancel(cmd.Context())
			obeyed := make(chan struct{})
			go func() {
				defer close(obeyed)
				obey(ctx, e, signals)
			}()
			err = e.Run(ctx)
			stop()
			<-obeyed
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "this node's name in the file (default: the host name, or the server with one of this machine's addresses)")
	cmd.Flags().DurationVar(&upgrade, "upgrade-timeout", time.Minute, "how long the new process of an upgrade (USR2) may take until it is ready")
	return cmd
}

// itself is the file that this process was started from, for an upgrade to start it again. A symbolic link is not followed: to
// point it at another version is a way to install one. If the name that the process was given leads elsewhere, the kernel's
// word counts; without either there is no upgrade.
func itself() string {
	running, err := os.Executable()
	if err != nil {
		return ""
	}
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return running
	}
	a, err1 := os.Stat(path)
	b, err2 := os.Stat(running)
	if err1 != nil || err2 != nil || !os.SameFile(a, b) {
		return running
	}
	return path
}

// obey carries out signals until ctx ends. The engine logs what comes of them.
func obey(ctx context.Context, e *engine.Engine, signals <-chan os.Signal) {
	var upgrades sync.WaitGroup
	defer upgrades.Wait()
	for {
		select {
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				_ = e.Reload(ctx)
			case syscall.SIGUSR1:
				_ = e.Reopen()
			case syscall.SIGUSR2: // takes long, and must not hold up the others
				upgrades.Go(func() { _ = e.Upgrade(ctx) })
			}
		case <-ctx.Done():
			return
		}
	}
}

// tune sets what suits this program better than Go's default. The live heap of a proxy is a few megabytes, so that at the
// default of 100 it is collected many times a second under load; at 400 a fourth as often, for a few megabytes more. An
// operator's own $GOGC is obeyed.
func tune(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
