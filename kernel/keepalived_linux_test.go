package kernel

import (
	"encoding/hex"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// keepalived starts it where the thread is, and returns what stops it: it removes its addresses first.
func (w *world) keepalived(config string) (stop func()) {
	w.t.Helper()
	program, err := exec.LookPath("keepalived")
	if err != nil {
		w.t.Skip("needs keepalived")
	}
	dir := w.t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	w.must(os.WriteFile(file("conf"), []byte(config), 0o644))
	log, err := os.Create(file("log"))
	w.must(err)
	cmd := exec.Command(program, "--vrrp", "--dont-fork", "--log-console", "--no-syslog", "--use-file", file("conf"),
		"--pid", file("pid"), "--vrrp_pid", file("vrrp.pid"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	w.must(cmd.Start())
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(5*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
		late.Stop()
		_ = log.Close()
		if w.t.Failed() {
			b, _ := os.ReadFile(file("log"))
			w.t.Logf("keepalived:\n%s", b)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// Each packet that keepalived sends as a master is sent by us with the same bytes: the Ethernet and IP headers of
// advertisements, the announcements as a whole.
func TestSameAsKeepalived(t *testing.T) {
	for _, c := range []struct {
		name, src, dst, address, config string
		multicast                       bool
	}{
		{"IPv4 multicast", "10.9.0.2", "224.0.0.18", "10.9.0.100", "", true},
		{"IPv4 unicast", "10.9.0.2", "10.9.0.1", "10.9.0.100", "unicast_src_ip 10.9.0.2\nunicast_peer {\n10.9.0.1\n}\n", false},
		{"IPv6 multicast", "fe80::2", "ff02::12", "fd00::100", "mcast_src_ip fe80::2\n", true},
		{"IPv6 unicast", "fd00::2", "fd00::1", "fd00::100", "unicast_src_ip fd00::2\nunicast_peer {\nfd00::1\n}\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // keepalived takes its second to start and to stop
			w := newPair(t)
			wire := newCapture(t, "a0")
			addresses := c.address
			if ip(c.address).Is6() {
				addresses = "fe80::100\n" + addresses // VRRPv3 wants a link-local address first
			}
			var stop func()
			w.in(w.b, func() {
				stop = w.keepalived("global_defs {\nvrrp_version 3\n}\nvrrp_instance x {\ninterface b0\nvirtual_router_id 51\n" +
					"priority 100\nadvert_int 0.1\n" + c.config + "virtual_ipaddress {\n" + addresses + "\n}\n}\n")
			})
			announces := func(b []byte) bool {
				return isARP(b) && b[21] == 1 && netip.AddrFrom4([4]byte(b[28:32])) == ip(c.address) ||
					isNA(b) && netip.AddrFrom16([16]byte(b[62:78])) == ip(c.address)
			}
			advert := wire.next(10*time.Second, isVRRP)
			announcement := wire.next(5*time.Second, announces)
			stop()
			if advert == nil || announcement == nil {
				t.Fatalf("keepalived has sent %x and %x", advert, announcement)
			}
			for wire.next(100*time.Millisecond, func([]byte) bool { return true }) != nil { // what it has said at its end
				continue
			}
			payload := advert[34:]
			if ip(c.address).Is6() {
				payload = advert[54:]
			}
			w.in(w.b, func() {
				n := New()
				defer n.Close()
				s := w.open(n, VRRPOptions{Link: "b0", Source: ip(c.src), Multicast: c.multicast})
				w.must(s.Send(ip(c.dst), payload))
				w.must(n.Announce("b0", ip(c.address)))
			})
			ours, theirs := wire.next(time.Second, isVRRP), advert
			if ip(c.dst).Is6() && !c.multicast {
				// The one difference: keepalived leaves the hop limit of IPv6 unicast as the system has it. RFC 9568 section
				// 5.1.2.3 wants 255, and so do those that check it.
				if theirs[21] != 64 {
					t.Errorf("hop limit of keepalived = %d, want 64", theirs[21])
				}
				theirs[21] = 255
			}
			blank(ours)
			blank(theirs)
			if diff := cmp.Diff(hex.Dump(theirs), hex.Dump(ours)); diff != "" {
				t.Errorf("advertisement (-keepalived +ours):\n%s", diff)
			}
			if diff := cmp.Diff(hex.Dump(announcement), hex.Dump(wire.next(time.Second, announces))); diff != "" {
				t.Errorf("announcement (-keepalived +ours):\n%s", diff)
			}
		})
	}
}
