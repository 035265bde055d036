package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"skein/config"
	"skein/engine"
)

func (p Process) run() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "run [FILE]",
		Short: "Run this node",
		Long: `Run this node until it is told to stop.

FILE is ./skein.hcl, or else /etc/skein/skein.hcl. Every node runs the same file and finds its own name in it: --name, or
else the host name, or else the server that has one of this machine's addresses.

Signals: HUP reads the file again, all or nothing. TERM and INT finish running requests and stop; a second one stops at
once. USR1 opens the access log again, after its file was moved away.`,
		Example: "  skein run skein.hcl\n  skein run --name lb1",
		Args:    one("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Registered first: until then a HUP would kill the process.
			signals := make(chan os.Signal, 8)
			signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
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
	return cmd
}

// obey carries out signals until ctx ends. The engine logs what comes of them.
func obey(ctx context.Context, e *engine.Engine, signals <-chan os.Signal) {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				_ = e.Reload(ctx)
			} else {
				_ = e.Reopen()
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
