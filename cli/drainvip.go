package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"skein/admin"
)

// drainsHere reports whether this node is among the drained servers and has virtual addresses to give away.
func drainsHere(s admin.Status, servers []string) bool {
	return len(s.VIPs) > 0 && s.Node != "" && slices.Contains(servers, s.Node)
}

// printHandOver says what a drain of servers means for virtual addresses; s is how it was before.
func printHandOver(w io.Writer, s admin.Status, servers []string) {
	here, owns := drainsHere(s, servers), false
	var others []string
	for _, v := range s.VIPs {
		if here && v.State == admin.StateMaster {
			owns = true
			fmt.Fprintf(w, "%s (%s) is handed over to another node\n", v.Name, vipAddresses(v))
		}
		for _, n := range v.Nodes {
			if !n.Self && slices.Contains(servers, n.Name) && !slices.Contains(others, n.Name) {
				others = append(others, n.Name)
			}
		}
	}
	if here && !owns {
		fmt.Fprintln(w, "it owns no virtual address")
	}
	for _, n := range others {
		fmt.Fprintf(w, "%s keeps its virtual addresses: only skein drain on %s itself hands them over\n", n, n)
	}
}

// handingOver is the vips that are not handed over yet. The fitness becomes that of a drained node when the handover is over.
func handingOver(s admin.Status) (names []string) {
	for _, v := range s.VIPs {
		if v.Fitness != admin.FitnessDrained || v.Handover != nil && v.Handover.Running {
			names = append(names, v.Name)
		}
	}
	return names
}

// heard waits until the new owners are known, which are silent until their first advertisement, and returns the status then. Not
// for long: there may be none.
func heard(ctx context.Context, c *admin.Client, s admin.Status) admin.Status {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for slices.ContainsFunc(s.VIPs, func(v admin.VIP) bool { return vipMaster(v) == "-" }) {
		select {
		case <-ctx.Done():
			return s
		case <-t.C:
		}
		if next, err := c.Status(ctx); err == nil {
			s = next
		}
	}
	return s
}

// printHandedOver says who has the addresses now.
func printHandedOver(w io.Writer, s admin.Status) {
	for _, v := range s.VIPs {
		switch master := vipMaster(v); {
		case v.State == admin.StateMaster:
			fmt.Fprintf(w, "%s stays here: no other node has taken it\n", v.Name)
		case master == "-":
			fmt.Fprintf(w, "%s is not here, and nobody says that it has it\n", v.Name)
		default:
			fmt.Fprintf(w, "%s is with %s\n", v.Name, master)
		}
	}
}
