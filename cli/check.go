package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"skein/config"
	"skein/kernel"
	"skein/vip"
)

func (p Process) check() *cobra.Command {
	var (
		node             string
		asJSON, all, try bool
	)
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration",
		Long: `Check a configuration and print every mistake with its place. The exit code is 2 if there is any.

What only one node can judge (addresses to listen on, env, file and secret) is judged for this machine's node. --node checks
for another one, --all for each that the file places a block on, and --here also tries on this machine what the file asks
for: whether its addresses can be listened on, its virtual addresses be owned, the names of its servers be resolved, and their unix
sockets be used. Run it as the user that skein runs as.`,
		Example: "  skein check skein.hcl\n  skein check --all --json\n  skein check --here",
		Args:    one("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, o := file(args), options(node)
			var (
				found []config.Problem
				c     *config.Config
				err   error
			)
			switch {
			case all:
				found, err = config.CheckAll(f, o)
			default:
				o.Elsewhere = node != ""
				if c, err = config.Load(f, o); c != nil {
					found = c.Warnings
				}
			}
			if c != nil && try {
				found = append(found, here(cmd.Context(), c)...)
			}
			return p.found(f, found, err, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of problems as JSON")
	cmd.Flags().StringVar(&node, "node", "", "check as this node")
	cmd.Flags().BoolVar(&all, "all", false, "check as every node that the file places a block on")
	cmd.Flags().BoolVar(&try, "here", false, "also try on this machine: listen and resolve")
	cmd.MarkFlagsMutuallyExclusive("node", "all", "here")
	return cmd
}

// found prints what a check found.
func (p Process) found(file string, problems []config.Problem, err error, asJSON bool) error {
	var d *config.Diagnostics
	if err != nil && !errors.As(err, &d) {
		return err
	}
	if asJSON {
		if d != nil {
			problems = d.Problems
		}
		if problems == nil {
			problems = []config.Problem{}
		}
		if err := writeJSON(p.Out, problems); err != nil {
			return err
		}
		if bad(problems) {
			return quiet{Wrong}
		}
		return nil
	}
	if d != nil {
		return d
	}
	if len(problems) > 0 {
		fmt.Fprintln(p.Err, config.Text(problems))
	}
	if bad(problems) {
		return quiet{Wrong}
	}
	fmt.Fprintf(p.Out, "%s is right\n", file)
	return nil
}

func bad(problems []config.Problem) bool {
	for _, p := range problems {
		if p.Severity == config.SeverityError {
			return true
		}
	}
	return false
}

// here tries what the configuration asks of this machine. An address that is in use may be in use by a skein that runs this
// very file, so that it is only a warning.
func here(ctx context.Context, c *config.Config) (found []config.Problem) {
	seen := map[string]bool{}
	for _, h := range c.HTTP {
		for _, address := range slices.Concat(h.Listen, h.Redirect) {
			if seen[address] {
				continue
			}
			seen[address] = true
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
			if err == nil {
				_ = l.Close()
				continue
			}
			found = append(found, config.Problem{
				Severity: config.SeverityWarning, Summary: "Address cannot be listened on now",
				Detail: err.Error() + ".", File: h.Pos.File, Line: h.Pos.Line, Column: 1, Block: fmt.Sprintf("http %q", h.Name),
			})
		}
	}
	if err := ownable(ctx, c); err != nil {
		p := config.Problem{
			Severity: config.SeverityWarning, Summary: "Virtual addresses cannot be owned here now", Detail: err.Error() + ".",
			File: c.VIPs[0].Pos.File, Line: c.VIPs[0].Pos.Line, Column: 1, Block: fmt.Sprintf("vip %q", c.VIPs[0].Name),
		}
		if f := (*vip.Fault)(nil); errors.As(err, &f) {
			p.File, p.Line, p.Block, p.Detail = f.File, f.Line, fmt.Sprintf("vip %q", f.VIP), f.Text+"."
		}
		found = append(found, p)
	}
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, pl := range c.Pools {
		for _, m := range pl.Members {
			host := m.Server.Host
			if path := m.Server.Unix; path != "" {
				if seen["name "+path] {
					continue
				}
				seen["name "+path] = true
				summary, detail := "Unix socket not there now", ""
				if _, err := os.Stat(path); err != nil {
					detail = err.Error() + "."
				} else if err := syscall.Access(path, 2); err != nil { // W_OK is what connect(2) asks for
					summary = "Unix socket may not be used"
					detail = fmt.Sprintf("%s: %s. Its owner lets others in, as listen.group and listen.mode of php-fpm do.", path, err)
				}
				if detail != "" {
					found = append(found, config.Problem{
						Severity: config.SeverityWarning, Summary: summary,
						Detail: detail, File: pl.Pos.File, Line: pl.Pos.Line, Column: 1, Block: fmt.Sprintf("pool %q", pl.Name),
					})
				}
				continue
			}
			if seen["name "+host] || net.ParseIP(host) != nil {
				continue
			}
			seen["name "+host] = true
			if _, err := net.DefaultResolver.LookupHost(limit, host); err != nil {
				found = append(found, config.Problem{
					Severity: config.SeverityWarning, Summary: "Server's name cannot be resolved now",
					Detail: err.Error() + ".", File: pl.Pos.File, Line: pl.Pos.Line, Column: 1, Block: fmt.Sprintf("pool %q", pl.Name),
				})
			}
		}
	}
	return found
}

// ownable says why this machine could not own the node's virtual addresses: interfaces, their networks, rights.
func ownable(ctx context.Context, c *config.Config) error {
	_, discard, err := vip.New(slog.New(slog.DiscardHandler), vip.Options{Net: kernel.New()}).Prepare(ctx, c, nil)
	if err == nil {
		discard()
	}
	return err
}

// writeJSON prints v for machines.
func writeJSON(w interface{ Write([]byte) (int, error) }, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
