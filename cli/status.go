package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skein/admin"
)

func (p Process) status() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show pools, members, virtual addresses and drains of the running skein",
		Long: `Show what the running skein knows: its configuration, where it listens, and each member with its state.

States: up; standby (fit, but others come first: a backup, or a member in another region); down (its check fails); ejected
(real work failed too often); draining (no new work, some is left); drained (none is left).

Of virtual addresses it shows who owns them, and this node's own state: master (it owns them), backup, fault (it could not:
no link, isolated), init.`,
		Example: "  skein status\n  skein status --watch\n  skein status --json | jq '.pools[].members[] | select(.state != \"up\")'",
		Args:    cobra.NoArgs,
	}
	client := p.socketFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show again each second")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c := client()
		show := func() error {
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(p.Out, s)
			}
			var b strings.Builder
			if watch && p.Terminal {
				b.WriteString("\x1b[H\x1b[2J") // home, clear
			}
			printStatus(&b, s, time.Now())
			_, err = io.WriteString(p.Out, b.String())
			return err
		}
		if !watch {
			return show()
		}
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			if err := show(); err != nil {
				if cmd.Context().Err() != nil {
					return nil
				}
				return err
			}
			select {
			case <-second.C:
			case <-cmd.Context().Done():
				return nil
			}
		}
	}
	return cmd
}

// printStatus writes the table.
func printStatus(w io.Writer, s admin.Status, now time.Time) {
	node := s.Node
	if node == "" {
		node = "(no name)"
	}
	if s.Region != "" {
		node += " in " + s.Region
	}
	fmt.Fprintf(w, "%s: %s for %s, skein %s\n", node, s.State, age(time.Duration(s.Uptime*float64(time.Second))), s.Version)
	fmt.Fprintf(w, "%s, hash %.12s, %s\n", s.Config.File, s.Config.Hash, reloaded(s.Reload, now))
	for _, l := range s.Listeners {
		fmt.Fprintf(w, "%s %s on %s%s, %s\n", l.Service, strings.Join(l.Names, ", "), l.Address, spoken(l), count(l.Connections, "connection"))
	}
	for _, p := range s.Pools {
		fmt.Fprintf(w, "\n%s\n", poolTitle(p))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  SERVER\tADDRESS\tSTATE\tWEIGHT\tACTIVE\tREQUESTS\tERRORS\tLAST CHECK")
		for _, m := range p.Members {
			server, address := m.Server, m.Address
			if strings.HasPrefix(address, "/") {
				address = "unix:" + address // as the file writes it, and as skein drain takes it
			}
			if server == address {
				server = "-" // written as a string: it has no other name
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", server, address, memberState(m, now), weight(m), m.Active, m.Requests,
				m.ConnectErrors+m.Errors, checked(m.Check, now))
		}
		t.Flush()
	}
	printVIPs(w, s.VIPs, s.Speaker, now)
	printCertificates(w, s.Certificates, now)
	if len(s.Drains) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DRAINED\tBY\tSINCE\tUNTIL\tREASON")
	for _, d := range s.Drains {
		server, until := d.Server, "ready"
		if !d.Known {
			server += " (not configured)"
		}
		if !d.Expires.IsZero() {
			until = "in " + age(d.Expires.Sub(now))
		}
		fmt.Fprintf(t, "%s\t%s\t%s ago\t%s\t%s\n", server, printable(d.Owner), age(now.Sub(d.Since)), until, printable(d.Reason))
	}
	t.Flush()
}

// spoken says in parentheses what a listener speaks, and nothing for HTTP/1.1 in plain text.
func spoken(l admin.Listener) string {
	switch words := strings.Join(l.Protocols, ", "); {
	case l.Redirect:
		return " (redirect to https)"
	case l.TLS:
		return " (tls: " + words + ")"
	case words != "" && words != "http/1.1":
		return " (" + words + ")"
	}
	return ""
}

// printCertificates writes the table of certificates, if there are any.
func printCertificates(w io.Writer, all []admin.Certificate, now time.Time) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CERTIFICATE\tSOURCE\tEXPIRES\tRENEWAL\tTROUBLE")
	for _, c := range all {
		expires, renewal, trouble := "none yet", "-", "-"
		if c.NotAfter != nil {
			expires = until(*c.NotAfter, now)
		}
		if c.Renewal != nil {
			renewal = until(*c.Renewal, now)
		}
		if c.Error != "" {
			first, _, _ := strings.Cut(c.Error, "\n")
			trouble = printable(first)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(strings.Join(c.Names, ", ")), c.Source, expires, renewal, trouble)
	}
	t.Flush()
}

// until says when something is.
func until(at, now time.Time) string {
	if at.Before(now) {
		return age(now.Sub(at)) + " ago"
	}
	return "in " + age(at.Sub(now))
}

func poolTitle(p admin.Pool) string {
	s := fmt.Sprintf("pool %s, %s", p.Name, p.Policy)
	if p.Queued > 0 {
		s += fmt.Sprintf(", %d queued", p.Queued)
	}
	if p.Panic {
		s += ", PANIC: too few members are healthy, so health is ignored"
	}
	if p.Spilled {
		s += ", spilled over to other regions"
	}
	return s
}

// memberState is the state, and what there is to say about it.
func memberState(m admin.Member, now time.Time) string {
	s := m.State
	if m.State == admin.StateEjected && m.EjectedUntil.After(now) {
		s += " for " + age(m.EjectedUntil.Sub(now))
	}
	if m.Backup {
		s += ", backup"
	}
	// A drained member that is down as well is not to be made ready in the belief that it works.
	if strings.HasPrefix(m.State, "drain") && slices.Contains(m.Reasons, "unhealthy") {
		s += ", down"
	}
	return s
}

func weight(m admin.Member) string {
	if m.Effective < float64(m.Weight) {
		return fmt.Sprintf("%.3g of %d", m.Effective, m.Weight)
	}
	return fmt.Sprint(m.Weight)
}

func checked(c *admin.Check, now time.Time) string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("%s, %s ago", printable(c.Text), age(now.Sub(c.Time)))
}

func reloaded(r admin.Reload, now time.Time) string {
	if r.OK {
		return fmt.Sprintf("read %s ago", age(now.Sub(r.Time)))
	}
	first, _, _ := strings.Cut(r.Error, "\n")
	return fmt.Sprintf("NOT reloaded %s ago: %s", age(now.Sub(r.Time)), printable(first))
}

// age is a duration as people say it: two units at most.
func age(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printable keeps what others have written (reasons, check texts) from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
