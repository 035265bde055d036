package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"skein/test/harness"
)

// Daemon is a real keepalived in a host: a parent and a child that speaks VRRP, in one process group.
type Daemon struct {
	*Program

	file string
}

// Keepalived starts keepalived in the host with this configuration and waits until it runs. Only its VRRP part is started, with
// detailed logs: version 2.2.7 resets a learned interval only when it logs in detail.
func Keepalived(h *Host, config string) *Daemon {
	t := h.lab.t
	t.Helper()
	path := harness.Need(t, "keepalived", "keepalived")
	dir := t.TempDir()
	d := &Daemon{file: filepath.Join(dir, "keepalived.conf")}
	if err := os.WriteFile(d.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Program = h.Start(path, "-n", "-l", "-D", "-P", "-f", d.file,
		"-p", filepath.Join(dir, "keepalived.pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	d.Says("Startup complete", patience)
	return d
}

// Reload replaces the configuration and waits until it is in force.
func (d *Daemon) Reload(config string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(config), 0o600); err != nil {
		d.t.Fatal(err)
	}
	begin := time.Now()
	d.Signal(syscall.SIGHUP)
	harness.Eventually(d.t, patience, "keepalived reloads", func() bool {
		for _, l := range d.Output().Lines() {
			if l.Time.After(begin) && strings.Contains(l.Text, "Reload complete") {
				return true
			}
		}
		return false
	})
}

// Stop ends it politely: it gives its addresses up. It fails the test if keepalived does not end.
func (d *Daemon) Stop() {
	d.t.Helper()
	d.Term()
	d.Wait(patience)
}

// Transition is a change of state that keepalived has logged.
type Transition struct {
	Time     time.Time
	Instance string
	State    string // MASTER, BACKUP or FAULT
}

// Transitions are all changes of state so far.
func (d *Daemon) Transitions() []Transition {
	// "Mon Nov 23 02:39:43 2026: (VI_1) Entering MASTER STATE", and "... Entering BACKUP STATE (init)"
	form := regexp.MustCompile(`\(([^()]+)\) Entering (MASTER|BACKUP|FAULT) STATE`)
	var all []Transition
	for _, l := range d.Output().Lines() {
		if m := form.FindStringSubmatch(l.Text); m != nil {
			all = append(all, Transition{l.Time, m[1], m[2]})
		}
	}
	return all
}

// Await waits until the instance is in this state, now, and returns since when.
func (d *Daemon) Await(instance, state string, within time.Duration) time.Time {
	d.t.Helper()
	var since time.Time
	if !harness.Soon(within, func() bool {
		now := Transition{}
		for _, c := range d.Transitions() {
			if c.Instance == instance {
				now = c
			}
		}
		since = now.Time
		return now.State == state
	}) {
		d.t.Fatalf("keepalived in %s: %s is not %s within %v\n%s", d.Host.Name, instance, state, within, d.Log())
	}
	return since
}

// Complaints are lines in which keepalived finds fault with what it has received or with its configuration. That it cannot send
// while a link is down is none.
func (d *Daemon) Complaints() []Line {
	bad := regexp.MustCompile(`(?i)invalid|mismatch|too (long|short|large|small)|expired|wrong|incorrect|expected|unknown|ignoring|malformed|different|conflict|truncat`)
	var all []Line
	for _, l := range d.Output().Lines() {
		if bad.MatchString(l.Text) {
			all = append(all, l)
		}
	}
	return all
}
