// Package lab builds networks of real hosts inside the test's machine: network namespaces, joined by bridges, with real programs
// in them, real faults, and clocks that say who had an address when.
//
// Start at [New]. A pair of balancers and a visitor are a few lines:
//
//	l := lab.New(t) // skips without root; everything ends with the test
//	lan := l.Switch("lan")
//	lb1 := l.Host("lb1", lan.Port("10.0.0.11/24", "fd00::11/64")) // eth0; a second port would be eth1
//	lb2 := l.Host("lb2", lan.Port("10.0.0.12/24", "fd00::12/64"))
//	visitor := l.Host("visitor", lan.Port("10.0.0.99/24"))
//
//	s := lb1.Skein(hcl)                            // the real binary, in lb1
//	k := lab.Keepalived(lb2, conf)                 // the real keepalived, in lb2
//	owners := lab.Watch("10.0.0.100", lb1, lb2)    // who has the address, from now on
//	probe := visitor.Probe("http://10.0.0.100/", lab.Probing{})
//
//	lb1.Port(0).Down()                             // or s.Kill(), lb1.Port(0).Lose(lab.Out, 1), lb1.PowerOff(), ...
//	owners.Wait(lb2, time.Second)
//	t.Log(owners, probe.Stop().Gap())
//
// Faults of a [Port]: Down (no carrier), Disable (switched off in the host), Unplug (carrier, but nobody there), Isolate, and Lose
// (a share of the frames of one direction, of one protocol or of all). [Switch.Split] parts a network in two. [Port.Wire] puts a
// wire in between that delays, loses, duplicates and reorders. Faults of a [Program]: Kill, Freeze and Thaw, of all its processes
// or of the first alone. A [Host] can lose its power. Observers: [Watch] for addresses, [Host.Capture] and [Switch.Capture] for
// frames, [Host.Neighbor] for what a host believes, [Host.Probe] for what a visitor sees. [Port.Emit] and [Port.Inject] send any
// frame.
//
// Every time is a time.Time of the one monotonic clock of the machine; stamps that the kernel makes are converted to it, so that
// frames, addresses, lines of a log and requests can be compared.
//
// Namespaces have no names: they are descriptors of the test process, and its programs die with it. Even kill -9 of a test leaves
// nothing. The machine's own interfaces are never touched.
//
// It is no simulator: hosts share the machine's kernel, CPUs and clock, so that a loaded machine is late in all of them at once.
// The test itself, as the observer, has more of the CPUs than programs in hosts (nice -15); [Report].Lag says how late it was.
package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// patience bounds every wait for something that the kernel or a program does at once.
const patience = harness.Patience

// Lab is a set of hosts and switches. Its methods must be called by the goroutine of the test.
type Lab struct {
	t        testing.TB
	cables   *space // where the switches are
	hosts    []*Host
	switches []*Switch
	links    int // how many the switches' namespace has; makes their indexes
	wires    int
}

// New makes an empty lab, which is removed when the test ends. Without root the test is skipped, but fails where CI is set.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Getuid() != 0 {
		unable(t, "a lab of network namespaces needs root: run the tests with sudo")
	}
	if err := favor(); err != nil {
		t.Fatalf("favor the test: %v", err)
	}
	cables, err := newSpace("cables")
	if errors.Is(err, unix.EPERM) {
		unable(t, fmt.Sprintf("a lab of network namespaces needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which root lacks here: %v", err))
	}
	if err != nil {
		t.Fatalf("make the switches' namespace: %v", err)
	}
	l := &Lab{t: t, cables: cables}
	t.Cleanup(l.remove)
	if err := cables.do(quiet); err != nil {
		t.Fatalf("make the switches' namespace: %v", err)
	}
	return l
}

// unable skips the test, but fails it where CI is set: there everything must run.
func unable(t testing.TB, text string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// quiet makes the switches' namespace one that only forwards.
func quiet() error {
	// No router solicitations and multicast reports of the switches themselves.
	if err := sysctl("1", "net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/default/disable_ipv6"); err != nil {
		return err
	}
	// br_netfilter, where the kernel has it, drops IP packets with wrong checksums or lengths. A switch does not look.
	for _, name := range []string{"iptables", "ip6tables", "arptables"} {
		if err := sysctl("0", "net/bridge/bridge-nf-call-"+name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// remove ends everything. What tests have started has its own cleanup, which ran before; this catches children that have left
// their process group.
func (l *Lab) remove() {
	l.t.Helper()
	for _, h := range l.hosts {
		if err := h.space.kill(); err != nil {
			l.t.Errorf("end the programs of host %s: %v", h.Name, err)
		}
	}
	for _, h := range l.hosts {
		h.space.close()
	}
	l.cables.close()
}
