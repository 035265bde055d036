package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p Process) reload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running skein read its file again",
		Long: `Make the running skein read its file again, and wait until the new configuration is in force.

A reload happens as a whole or not at all: if the file has a mistake, it is printed with its place, the exit code is 1 and
the running configuration stays. Nothing that has not changed is disturbed.`,
		Example: "  skein reload",
		Args:    cobra.NoArgs,
	}
	client := p.socketFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := client().Reload(cmd.Context())
		if err != nil {
			return err
		}
		fmt.Fprintf(p.Out, "reloaded, hash %.12s\n", r.Hash)
		return nil
	}
	return cmd
}
