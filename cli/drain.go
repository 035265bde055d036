package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"skein/admin"
)

func (p Process) drain() *cobra.Command {
	var (
		q       admin.DrainRequest
		lasts   time.Duration
		wait    bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "drain NAME",
		Short: "Give a server no new work",
		Long: `Give a server no new work, in any pool. What runs may finish. The drain is kept on disk and survives a restart.

NAME is a server, a node, an address, or a region, which means all its servers. A server is drained while a drain of any
owner stands; an owner has one drain for each server, and a new one replaces it. The last usable server of a pool is only
drained with --force. A drain of this very node also hands its virtual addresses over to another one.`,
		Example: "  skein drain web1 --wait --reason \"new kernel\"\n  skein drain beijing --for 10m\n  skein drain 10.0.0.11:8080",
		Args:    exactlyOne("NAME"),
	}
	client := p.socketFlag(cmd)
	f := cmd.Flags()
	f.DurationVar(&lasts, "for", 0, "end by itself after this time (default: until skein ready)")
	f.BoolVar(&wait, "wait", false, "return when no work is left on the server, and its addresses are handed over")
	f.DurationVar(&timeout, "timeout", time.Minute, "how long --wait waits; then the exit code is 1 and the drain stays")
	f.StringVar(&q.Reason, "reason", "", "a word for the others, shown by skein status")
	f.StringVar(&q.Owner, "owner", p.user(), "whose drain it is")
	f.BoolVar(&q.Force, "force", false, "even if a pool loses its last usable server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Name = args[0]
		switch {
		case lasts < 0 || lasts == 0 && f.Changed("for"):
			return wrong{fmt.Errorf("drain: --for must be above 0")}
		case lasts > 0:
			q.For = lasts.String()
		}
		c := client()
		before, err := c.Status(cmd.Context()) // a handover may be over before we could look again
		if err != nil {
			return err
		}
		a, err := c.Drain(cmd.Context(), q)
		if err != nil {
			return err
		}
		for _, d := range a.Drains {
			if d.Owner != q.Owner {
				continue
			}
			until := ""
			if !d.Expires.IsZero() {
				until = " until " + d.Expires.Local().Format(time.TimeOnly)
			}
			fmt.Fprintf(p.Out, "%s is drained%s, %s running\n", d.Server, until, count(d.Active, "request"))
		}
		printHandOver(p.Out, before, a.Servers)
		if !wait {
			return nil
		}
		return p.waitIdle(cmd.Context(), c, a.Servers, timeout)
	}
	return cmd
}

// waitIdle returns when no work is left on the servers, and this node's addresses are handed over if it is one of them.
func (p Process) waitIdle(ctx context.Context, c *admin.Client, servers []string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	var left int64
	var leaving []string
	for {
		s, err := c.Status(ctx)
		switch {
		case err == nil:
			here := drainsHere(s, servers)
			if leaving = nil; here {
				leaving = handingOver(s)
			}
			if left = active(s, servers); left == 0 && len(leaving) == 0 {
				fmt.Fprintln(p.Out, "no work is left")
				if here {
					printHandedOver(p.Out, heard(ctx, c, s))
				}
				return nil
			}
		case ctx.Err() == nil:
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			if left == 0 && len(leaving) > 0 {
				return fmt.Errorf("drain: still handing over %s after %v; the drain stays\nhint: skein status says how far it is", strings.Join(leaving, ", "), timeout)
			}
			return fmt.Errorf("drain: %s still running after %v; the drain stays", count(left, "request"), timeout)
		}
	}
}

// active is the work in progress on the servers, in all pools.
func active(s admin.Status, servers []string) (n int64) {
	for _, pl := range s.Pools {
		for _, m := range pl.Members {
			if slices.Contains(servers, m.Server) {
				n += m.Active
			}
		}
	}
	return n
}

// user is who types, so that two operators' drains do not end each other.
func (p Process) user() string {
	return strings.TrimSpace(cmp.Or(p.Getenv("SUDO_USER"), p.Getenv("USER"), p.Getenv("LOGNAME"), "operator"))
}
