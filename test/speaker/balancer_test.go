// Package speaker tests the process beside a balancer, skein speak, in hosts of the lab: what it says on the wire and when, what it
// may do, and what ends it. Start at balancer, which is its parent as far as it can see.
//
// The machines and their scenarios are tested in vip/speaker on a fake network; skein as a whole, with its speaker, in test/vip.
package speaker

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// balancer is the parent of a speaker: it holds the other end of the channel, and a process that could be stopped or killed.
type balancer struct {
	t       testing.TB
	host    *lab.Host
	speaker *lab.Program
	process *lab.Program // sleeps, and holds our end of the channel, too
	conn    *net.UnixConn
	state   string

	mu      sync.Mutex // guards what follows
	reports []speaker.Report
	serial  uint64
	silent  bool
}

// start starts a speaker in the host; with are words before its command line, as setpriv.
func start(t testing.TB, host *lab.Host, with ...string) *balancer {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	c, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{t: t, host: host, conn: c.(*net.UnixConn), state: filepath.Join(t.TempDir(), "vip.json")}
	sleep := exec.Command("sleep", "1000")
	sleep.ExtraFiles = []*os.File{ours}
	b.process = host.Run(sleep)
	ours.Close()
	line := append(with, harness.Binary(t), "speak")
	cmd := exec.Command(line[0], line[1:]...)
	cmd.ExtraFiles = []*os.File{theirs, os.Stdin, os.Stdin} // two that it must not keep
	b.speaker = host.Run(cmd)
	theirs.Close()
	var work sync.WaitGroup
	work.Go(b.listen)
	done := make(chan struct{})
	work.Go(func() {
		for {
			select {
			case <-time.After(speaker.BeatEvery):
			case <-done:
				return
			}
			b.beat()
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			b.mu.Lock()
			for _, r := range b.reports {
				if r.Status == nil {
					line, _ := json.Marshal(r)
					t.Logf("%s: %s", host.Name, line)
				}
			}
			b.mu.Unlock()
		}
		close(done)
		b.conn.Close()
		work.Wait()
	})
	return b
}

func (b *balancer) listen() {
	buf := make([]byte, 1<<20)
	for {
		n, err := b.conn.Read(buf)
		if err != nil || n == 0 {
			return
		}
		var r speaker.Report
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			b.t.Errorf("report: %v", err)
		}
		b.mu.Lock()
		b.reports = append(b.reports, r)
		b.mu.Unlock()
	}
}

// hush ends the beats, as a process that is stopped sends none.
func (b *balancer) hush(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = on
}

func (b *balancer) beat() {
	b.mu.Lock()
	b.serial++
	o := speaker.Order{Beat: &speaker.Beat{Serial: b.serial, Ranks: map[string]speaker.Rank{"front": {Fitness: speaker.Fit}}}}
	silent := b.silent
	b.mu.Unlock()
	if !silent {
		_ = b.send(o)
	}
}

func (b *balancer) send(o speaker.Order) error {
	p, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = b.conn.Write(p)
	return err
}

func (b *balancer) order(o speaker.Order) {
	b.t.Helper()
	if err := b.send(o); err != nil {
		b.t.Fatal(err)
	}
}

// configure gives the speaker its instances, which are one group, and waits for the answer.
func (b *balancer) configure(resume []vrrp.Snapshot, instances ...speaker.Instance) {
	b.t.Helper()
	b.beat()
	b.mu.Lock()
	b.serial++
	serial := b.serial
	b.mu.Unlock()
	c := &speaker.Configure{Serial: serial, Parent: b.process.PID(), State: b.state, Resume: resume}
	if len(instances) > 0 {
		c.Groups = []speaker.Group{{Name: "front", Instances: instances}}
	}
	b.order(speaker.Order{Configure: c})
	r := b.await("an answer", func(r speaker.Report) bool { return r.Configured != nil && r.Configured.Serial == serial })
	if r.Configured.Error != "" {
		b.t.Fatal(r.Configured.Error)
	}
}

// await waits for a report.
func (b *balancer) await(what string, match func(speaker.Report) bool) (found speaker.Report) {
	b.t.Helper()
	harness.Eventually(b.t, harness.Patience, what, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, r := range b.reports {
			if match(r) {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// status waits until the speaker describes an instance in this way.
func (b *balancer) status(what string, match func(speaker.InstanceStatus) bool) (found speaker.InstanceStatus) {
	b.t.Helper()
	harness.Eventually(b.t, harness.Patience, what, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for n := len(b.reports) - 1; n >= 0; n-- {
			if s := b.reports[n].Status; s != nil {
				for _, i := range s.Instances {
					if found = i; match(i) {
						return true
					}
				}
				return false
			}
		}
		return false
	})
	return found
}

func (b *balancer) is(state vrrp.State) speaker.InstanceStatus {
	b.t.Helper()
	return b.status(fmt.Sprintf("%s is %s", b.host.Name, state), func(i speaker.InstanceStatus) bool { return i.State == state })
}

// router is an instance of the vip front on eth0, from the first address of the port of that family; over IPv6 by multicast from
// the link-local one.
func (b *balancer) router(priority uint8, prefixes ...string) speaker.Instance {
	b.t.Helper()
	i := speaker.Instance{VIP: "front", Interface: "eth0", Unfit: 5, Drained: 2}
	for _, p := range prefixes {
		i.Prefixes = append(i.Prefixes, netip.MustParsePrefix(p))
		i.Router.Addresses = append(i.Router.Addresses, netip.MustParsePrefix(p).Addr())
	}
	if i.Router.Addresses[0].Is4() {
		i.Router.Source = b.host.Port(0).Addr()
	}
	if i.Router.Addresses[0].Is6() {
		i.Router.Source = b.linkLocal()
	}
	i.Router.Version, i.Router.RouterID, i.Router.Interval = 3, 10, 100*time.Millisecond
	i.Router.Priority, i.Router.Floor, i.Router.Preempt = priority, 9, true
	return i
}

// linkLocal is the address of eth0 that IPv6 multicast comes from.
func (b *balancer) linkLocal() (found netip.Addr) {
	b.t.Helper()
	err := b.host.Do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		list, err := eth0.Addrs()
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsLinkLocalUnicast() {
				found = p.Addr()
			}
		}
		return err
	})
	if err != nil || !found.IsValid() {
		b.t.Fatalf("%s has no link-local address: %v", b.host.Name, err)
	}
	return found
}

// zero matches an advertisement that gives up, after a moment.
func zero(after time.Time) func(lab.Packet) bool {
	return func(p lab.Packet) bool { return p.Time.After(after) && len(p.VRRP()) > 2 && p.VRRP()[2] == 0 }
}
