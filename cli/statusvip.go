package cli

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"skein/admin"
)

// printVIPs writes the table of virtual addresses, if there are any.
func printVIPs(w io.Writer, all []admin.VIP, speaker *admin.Speaker, now time.Time) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VIP\tADDRESS\tSTATE HERE\tMASTER\tPRIORITY\tFITNESS\tSINCE\tREASON")
	for _, v := range all {
		since := "-"
		if !v.Since.IsZero() {
			since = age(now.Sub(v.Since)) + " ago"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", v.Name, vipAddresses(v), vipState(v), vipMaster(v), v.Priority, v.Fitness, since, vipReason(v))
	}
	t.Flush()
	for _, v := range all {
		if list := vipRefused(v); list != "" {
			fmt.Fprintf(w, "%s: refused advertisements: %s\n", v.Name, list)
		}
	}
	if trouble := speakerTrouble(speaker); trouble != "" {
		fmt.Fprintf(w, "speaker: %s\n", trouble)
	}
}

func vipAddresses(v admin.VIP) string {
	list := make([]string, len(v.Addresses))
	for i, a := range v.Addresses {
		list[i] = a.String()
	}
	return strings.Join(list, ", ")
}

// vipState is the state here. Families move together; that they differ is worth to be seen.
func vipState(v admin.VIP) string {
	s := v.State
	differ := slices.ContainsFunc(v.Families, func(f admin.VIPFamily) bool { return f.State != v.State })
	if differ {
		var each []string
		for _, f := range v.Families {
			each = append(each, fmt.Sprintf("ipv%d %s", f.Family, f.State))
		}
		s = strings.Join(each, ", ")
	}
	if v.Isolated {
		s += ", isolated"
	}
	if h := v.Handover; h != nil && h.Running {
		s += fmt.Sprintf(", handing over (%s, %s left)", h.Step, count(int64(h.Left), "connection"))
	}
	return s
}

// vipMaster names who advertises, as the file does.
func vipMaster(v admin.VIP) string {
	switch {
	case v.State == admin.StateMaster:
		return "this node"
	case !v.Master.IsValid():
		return "-"
	}
	for _, n := range v.Nodes {
		if host, err := netip.ParseAddr(n.Host); err == nil && host.Unmap() == v.Master.Unmap() {
			return n.Name
		}
	}
	return v.Master.String()
}

// vipReason says why the state is so, and why the node is not fit.
func vipReason(v admin.VIP) string {
	s := v.Reason
	if v.Unfit != "" {
		if s != "" {
			s += "; "
		}
		s += v.Fitness + ": " + v.Unfit
	}
	if s == "" {
		return "-"
	}
	first, _, _ := strings.Cut(s, "\n")
	return printable(first)
}

// vipRefused counts what was not taken of others, by reason: two nodes that refuse each other's word both own the addresses.
// Another router ID is another virtual router's, and no trouble.
func vipRefused(v admin.VIP) string {
	sum := map[string]uint64{}
	for _, f := range v.Families {
		for reason, n := range f.Refused {
			if n > 0 && reason != "router_id" {
				sum[reason] += n
			}
		}
	}
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(sum)) {
		list = append(list, fmt.Sprintf("%s %d", printable(reason), sum[reason]))
	}
	return strings.Join(list, ", ")
}

// speakerTrouble is what somebody should know of the process that speaks VRRP; "" if all is well.
func speakerTrouble(s *admin.Speaker) string {
	if s == nil {
		return ""
	}
	var list []string
	if s.PID == 0 {
		list = append(list, "none runs")
	}
	if s.Error != "" {
		first, _, _ := strings.Cut(s.Error, "\n")
		list = append(list, printable(first))
	}
	if s.PID != 0 && !s.Realtime {
		list = append(list, "no real-time priority (CAP_SYS_NICE), so that a busy machine may make it late")
	}
	if s.Restarts > 0 {
		list = append(list, fmt.Sprintf("replaced %s", times(s.Restarts)))
	}
	return strings.Join(list, "; ")
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
