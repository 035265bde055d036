package keepalived

import (
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/lab"
)

// node is a host with one of the programs.
type node struct {
	site    *site
	number  int // 0 is lb1
	host    *lab.Host
	program string

	skein  *lab.Skein
	daemon *lab.Daemon
	past   []*lab.Daemon // that ran before
}

func (n *node) String() string { return n.host.Name + " (" + n.program + ")" }

// start starts the program, after which the node counts as an owner again.
func (n *node) start(routers ...router) {
	n.site.t.Helper()
	defer n.site.owners.Include(n.host)
	if n.program == skein {
		n.skein = n.host.Launch(skeinFile(routers))
		// As eager as keepalived is told to be; the group is the balancer, and its threads have what that has.
		if err := unix.Setpriority(unix.PRIO_PGRP, n.skein.PID(), -20); err != nil {
			n.site.t.Fatalf("%s: set its priority: %v", n, err)
		}
		n.skein.Await()
		return
	}
	if n.daemon != nil {
		n.past = append(n.past, n.daemon)
	}
	n.daemon = lab.Keepalived(n.host, keepalivedConf(n.number, routers))
}

// reload gives the program another file.
func (n *node) reload(routers ...router) {
	n.site.t.Helper()
	if n.program == skein {
		n.skein.Reload(skeinFile(routers))
		return
	}
	n.daemon.Reload(keepalivedConf(n.number, routers))
}

// kill is kill -9 of all processes, as if the machine had lost its power, and returns when. The addresses stay where they are, and count no more.
func (n *node) kill() time.Time {
	n.site.t.Helper()
	at := time.Now()
	if n.program == skein {
		n.skein.KillAll()
	} else {
		n.daemon.Kill()
	}
	n.site.owners.Exclude(n.host)
	return at
}

// term is SIGTERM. wait waits for the end.
func (n *node) term() (at time.Time, wait func()) {
	n.site.t.Helper()
	at = time.Now()
	if n.program == skein {
		n.skein.Signal(syscall.SIGTERM)
		return at, func() { n.skein.Stopped(settling) }
	}
	n.daemon.Term()
	return at, func() { n.daemon.Wait(settling) }
}

// freeze is SIGSTOP of all processes: a virtual machine that is paused. The kernel does not sleep with them; what it has does not count.
func (n *node) freeze() {
	n.site.owners.Exclude(n.host)
	if n.program == skein {
		n.skein.FreezeAll()
	} else {
		n.daemon.Freeze()
	}
}

// thaw is SIGCONT.
func (n *node) thaw() {
	if n.program == skein {
		n.skein.ThawAll()
	} else {
		n.daemon.Thaw()
	}
	n.site.owners.Include(n.host)
}

// sent reports whether the frame is from this node.
func (n *node) sent(p lab.Packet) bool {
	port := n.host.Port(0)
	if p.SrcMAC.String() == port.MAC.String() {
		return true
	}
	for _, prefix := range port.Prefixes { // by a virtual MAC
		if p.Src == prefix.Addr() {
			return true
		}
	}
	return false
}

// complaints are lines of keepalived that find fault with a neighbour or with itself, except for those that hold an expected text. It
// also says when it was late, as it is after a pause and on a busy machine.
func (n *node) complaints(expected ...string) (lines []string) {
	expected = append(expected, "thread timer expired")
	all := n.past
	if n.daemon != nil {
		all = append(all[:len(all):len(all)], n.daemon)
	}
	for _, d := range all {
	next:
		for _, l := range d.Complaints() {
			for _, e := range expected {
				if strings.Contains(l.Text, e) {
					continue next
				}
			}
			lines = append(lines, l.Text)
		}
	}
	return lines
}

// content fails the test if keepalived has found fault with something.
func (s *site) content(expected ...string) {
	s.t.Helper()
	for _, n := range s.nodes {
		if lines := n.complaints(expected...); len(lines) > 0 {
			s.t.Errorf("%s complains:\n%s", n, strings.Join(lines, "\n"))
		}
	}
}

// refused are skein's counters of advertisements that it did not take, by reason.
func (n *node) refused() map[string]int {
	n.site.t.Helper()
	all := map[string]int{}
	form := regexp.MustCompile(`(?m)^skein_vip_adverts_refused_total\{.*reason="(\w+)".*\} (\d+)$`)
	for _, m := range form.FindAllStringSubmatch(n.skein.Admin("/metrics"), -1) {
		count, err := strconv.Atoi(m[2])
		if err != nil {
			n.site.t.Fatal(err)
		}
		all[m[1]] += count
	}
	return all
}
