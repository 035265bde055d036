package lab

import (
	"fmt"
	"testing"
	"time"

	"skein/test/harness"
)

// vrrpConf is a virtual router of keepalived.
func vrrpConf(priority int, more string) string {
	return fmt.Sprintf(`
global_defs {
  vrrp_version 3
}
vrrp_instance front {
  interface eth0
  virtual_router_id 10
  priority %d
  advert_int 0.1
  %s
  virtual_ipaddress {
    10.0.0.100/24
  }
}
`, priority, more)
}

// Two keepalived fail over in the lab: it works without anything of ours.
func TestKeepalivedPair(t *testing.T) {
	t.Parallel()
	_, _, a, b, c := three(t)
	a.Origin(":80", nil)
	b.Origin(":80", nil)
	w := Watch("10.0.0.100", a, b)
	adverts := c.Capture(0, Of(VRRP, ARP))
	first := Keepalived(a, vrrpConf(200, ""))
	first.Await("front", "MASTER", patience)
	second := Keepalived(b, vrrpConf(100, ""))
	second.Await("front", "BACKUP", patience)
	w.Wait(a, patience)
	probe := c.Probe("http://10.0.0.100/", Probing{})
	probe.Answered(patience)
	if got := c.Neighbor("10.0.0.100").String(); got != a.Port(0).MAC.String() {
		t.Errorf("c believes %s, want a's %s", got, a.Port(0).MAC)
	}

	for _, f := range []struct {
		name       string
		begin, end func()
		has        bool          // a keeps the address all the same
		least      time.Duration // priority 100 waits 3 * 100 ms + 156/256 * 100 ms after the last advertisement
	}{
		{"kill -9", func() { first.Kill() }, func() { first = Keepalived(a, vrrpConf(200, "")) }, true, 250 * time.Millisecond},
		{"link down", a.Port(0).Down, a.Port(0).Up, false, 0},
		{"freeze", func() { first.Freeze() }, func() { first.Thaw() }, true, 250 * time.Millisecond},
		{"power off", func() { a.PowerOff() }, func() { a.PowerOn(); first = Keepalived(a, vrrpConf(200, "")) }, true, 250 * time.Millisecond},
		{"SIGTERM", func() { first.Term() }, func() { first.Wait(patience); first = Keepalived(a, vrrpConf(200, "")) }, false, 0},
	} {
		at := time.Now()
		f.begin()
		if f.has {
			w.Exclude(a)
		}
		since := w.Wait(b, patience)
		if d := since.Sub(at); d < f.least || d > 2*time.Second {
			t.Errorf("%s: b owns the address after %v, want more than %v", f.name, d, f.least)
		}
		// Where a's kernel still answers, b's gratuitous ARP decides. It is sent right after the address was added.
		harness.Eventually(t, patience, f.name+": c believes b, and b answers", func() bool {
			return c.Neighbor("10.0.0.100").String() == b.Port(0).MAC.String() && probe.Answered(patience).Server == "b"
		})
		f.end()
		w.Include(a)
		w.Wait(a, patience)
		first.Await("front", "MASTER", patience)
		second.Await("front", "BACKUP", patience)
		r := probe.Report().Between(at, time.Now())
		t.Logf("%s: b owns it after %v; %v", f.name, since.Sub(at), r)
	}

	p := adverts.Wait(func(p Packet) bool { return len(p.VRRP()) > 0 && p.Src == a.Port(0).Addr() }, patience)
	if p.TTL != 255 || p.Dst.String() != "224.0.0.18" || p.VRRP()[1] != 10 || p.VRRP()[2] != 200 {
		t.Errorf("advertisement of a = %v", p)
	}
	adverts.Wait(func(p Packet) bool {
		return p.ARP != nil && p.ARP.Gratuitous() && p.ARP.Sender == w.Address && p.ARP.SenderMAC.String() == b.Port(0).MAC.String()
	}, patience)
	adverts.Wait(func(p Packet) bool { // the last word at SIGTERM
		return len(p.VRRP()) > 0 && p.VRRP()[2] == 0 && p.Src == a.Port(0).Addr()
	}, patience)

	second.Reload(vrrpConf(250, ""))
	w.Wait(b, patience)
	second.Stop()
	w.Wait(a, patience)
	if n := len(w.Doubles()); n > 0 {
		t.Logf("two owners for %v:\n%s", w.DoubleTime(), w)
	}
	for _, l := range append(first.Complaints(), second.Complaints()...) {
		t.Errorf("keepalived complains: %s", l.Text)
	}
	probe.Stop()
}
