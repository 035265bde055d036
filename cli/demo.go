package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"skein/cli/demo"
)

func (p Process) demo() *cobra.Command {
	var (
		listen string
		lasts  time.Duration
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: three servers and a balancer in one process",
		Long: `See it work. Three small site servers and a balancer run in this process, on free loopback ports: nothing else is needed,
no file and no root. Open the printed address in a browser, kill and drain servers there or by typing here, and watch.`,
		Example: "  skein demo\n  skein demo --for 5s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tune(p.Getenv)
			ctx := cmd.Context()
			if lasts > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, lasts)
				defer cancel()
			}
			return demo.Run(ctx, demo.Options{Listen: listen, In: p.In, Out: p.Out, Version: version()})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "loopback address of the balancer (default 127.0.0.1:8080, or another port if that is taken)")
	cmd.Flags().DurationVar(&lasts, "for", 0, "end by itself after this time")
	return cmd
}
