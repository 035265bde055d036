package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"skein/admin"
)

func (p Process) ready() *cobra.Command {
	var q admin.ReadyRequest
	cmd := &cobra.Command{
		Use:   "ready NAME",
		Short: "End a drain",
		Long: `End your drain of a server, a node, or all servers of a region. A server takes work again when no drain of any owner
stands; --owner ends somebody else's, and --all every one.`,
		Example: "  skein ready web1\n  skein ready beijing --all",
		Args:    exactlyOne("NAME"),
	}
	client := p.socketFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Owner, "owner", p.user(), "whose drain ends")
	f.BoolVar(&q.All, "all", false, "end the drains of all owners")
	cmd.MarkFlagsMutuallyExclusive("owner", "all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Name = args[0]
		if q.All {
			q.Owner = ""
		}
		a, err := client().Ready(cmd.Context(), q)
		if err != nil {
			return err
		}
		held := map[string][]string{}
		for _, d := range a.Drains {
			held[d.Server] = append(held[d.Server], d.Owner)
		}
		for _, s := range a.Servers {
			if owners := held[s]; len(owners) > 0 {
				fmt.Fprintf(p.Out, "%s is still drained by %s\n", s, strings.Join(owners, ", "))
			} else {
				fmt.Fprintf(p.Out, "%s is ready\n", s)
			}
		}
		return nil
	}
	return cmd
}
