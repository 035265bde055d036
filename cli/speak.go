package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"skein/vip/speaker"
)

// speak is the process beside a balancer that has virtual addresses. It obeys the parent's channel: neither its context nor a
// signal ends it.
func (p Process) speak() *cobra.Command {
	var confined bool
	cmd := &cobra.Command{
		Use:    "speak",
		Short:  "Speak VRRP for a balancer; skein run starts it, nobody else",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			confine := []string{"skein", "speak", "--confined"}
			if confined {
				confine = nil
			}
			err := speaker.Serve(confine, p.Err)
			if errors.Is(err, speaker.ErrNoChannel) {
				return wrong{errors.New("speak is not for people: skein run starts it by itself, with a channel as descriptor 3, " +
					"when its file has vip blocks\nhint: skein run skein.hcl")}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&confined, "confined", false, "the rights that are not needed are dropped already")
	return cmd
}
