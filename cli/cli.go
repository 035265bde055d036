// Package cli is the command line: one file per command.
//
// Start at [Run]; root lists the commands. The commands check their arguments and print; the work is done by package engine
// (run, demo), by package config (check, fmt) and by a running skein, which the others ask through its socket.
//
// It promises the exit codes 0 (done), 1 (failed) and 2 (wrong usage or a wrong configuration), results on standard output
// and everything else on standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"skein/admin"
	"skein/config"
)

// Exit codes.
const (
	Done   = 0
	Failed = 1
	Wrong  = 2 // usage or configuration
)

// Process is what commands know of the process that they run in.
type Process struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Terminal bool // Out is one
	Keyboard bool // In is one
}

// System is the real process.
func System() Process {
	return Process{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
		Keyboard: term.IsTerminal(int(os.Stdin.Fd())),
	}
}

// wrong marks an error as the user's: exit code 2.
type wrong struct{ error }

func (w wrong) Unwrap() error { return w.error }

// quiet ends a command with a code when all has been said.
type quiet struct{ code int }

func (quiet) Error() string { return "" }

// Run carries out a command line and returns the exit code.
func Run(ctx context.Context, p Process, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	began := false // before a command begins, every error is one of usage
	for _, c := range root.Commands() {
		run := c.RunE
		c.RunE = func(cmd *cobra.Command, args []string) error { began = true; return run(cmd, args) }
	}
	cmd, err := root.ExecuteContextC(ctx)
	var q quiet
	switch {
	case err == nil:
		return Done
	case errors.As(err, &q):
		return q.code
	}
	p.complain(cmd, err, began)
	var (
		w     wrong
		diags *config.Diagnostics
	)
	if !began || errors.As(err, &w) || errors.As(err, &diags) {
		return Wrong
	}
	return Failed
}

// complain prints an error. Diagnostics of a configuration have a form of their own.
func (p Process) complain(cmd *cobra.Command, err error, began bool) {
	var diags *config.Diagnostics
	if errors.As(err, &diags) {
		fmt.Fprintln(p.Err, diags)
		return
	}
	text := strings.TrimSpace(err.Error())
	var answer *admin.Error
	if errors.As(err, &answer) && answer.Hint != "" {
		text += "\nhint: " + answer.Hint
	}
	fmt.Fprintln(p.Err, "skein: "+text)
	if !began {
		fmt.Fprintf(p.Err, "hint: see %s --help\n", cmd.CommandPath())
	}
}

// root lists the commands.
func (p Process) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "skein",
		Short: "One website on many machines: one program, one file",
		Long: `Skein runs one website on many machines: one program, one file.

Begin with the demonstration, which needs nothing:

  skein demo

or with the smallest file, skein.hcl:

  http "site" {
    listen  = ":8080"
    servers = ["10.0.0.11:8080", "10.0.0.12:8080"]
  }

and skein run skein.hcl.`,
		Example:                    "  skein run skein.hcl\n  skein status --watch\n  skein drain web1 --wait",
		SilenceUsage:               true,
		SilenceErrors:              true,
		Args:                       noCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(unknownFlag)
	root.AddCommand(
		p.run(), p.check(), p.format(), p.reload(), p.status(), p.drain(), p.ready(), p.demo(), p.version(), p.speak(),
	)
	return root
}

// noCommand is what the root says to a word that is no command.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command: %s", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w\ndid you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

// one allows at most one argument, with an error that says what it would be.
func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("one %s at most, not %d: %s", what, len(args), strings.Join(args, " "))
		}
		return nil
	}
}

// exactlyOne wants one argument.
func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s: %s is missing", cmd.Name(), what)
		}
		return one(what)(cmd, args)
	}
}

// socketFlag adds --socket and returns how to make a client of it.
func (p Process) socketFlag(cmd *cobra.Command) func() *admin.Client {
	usual := (&config.Options{}).DefaultSocket()
	path := cmd.Flags().String("socket", "", "unix socket of the running skein (default $SKEIN_SOCKET, else "+usual+")")
	return func() *admin.Client {
		switch {
		case *path != "":
			return admin.NewClient(*path)
		case p.Getenv("SKEIN_SOCKET") != "":
			return admin.NewClient(p.Getenv("SKEIN_SOCKET"))
		}
		return admin.NewClient(usual)
	}
}
