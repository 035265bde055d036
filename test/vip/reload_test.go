package vip

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// numbered are addresses of a vip block, 10.0.0.100 and those after it.
func numbered(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("10.0.0.%d", 100+i))
	}
	return all
}

// listed is the address key of a vip block with these.
func listed(all []string) string {
	return `address = ["` + strings.Join(all, `/24", "`) + `/24"]`
}

// Addresses and whole vips come and go by reloads, one node after the other. Those that stay are not missing for a moment, nobody
// says that he gives up, and nobody else takes over.
func TestReloadAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.start(s.file(s.vip("front", listed(numbered(2)))))
	second := lab.Watch("10.0.0.101", s.lb...)
	third := lab.Watch("10.0.0.102", s.lb...)
	wire := s.lan.Capture(lab.Of(lab.VRRP))
	probe := s.visitor.Probe(page, lab.Probing{Timeout: patience})
	probe.Answered(patience)
	since := time.Now()
	reload := func(file string) {
		t.Helper()
		for i := range s.lb {
			s.run[i].Reload(file)
			s.ready(i)
			time.Sleep(200 * time.Millisecond) // two intervals, in which a node with the other file could be upset
		}
	}
	has := func(want bool, of *lab.Timeline) {
		t.Helper()
		harness.Eventually(t, patience, fmt.Sprintf("lb1 has %s: %v", of.Address, want), func() bool {
			return slices.Equal(of.Owners(time.Now()), []string{"lb1"}) == want
		})
	}
	reload(s.file(s.vip("front", listed(numbered(3)))))
	has(true, third)
	reload(s.file(s.vip("front", listed([]string{address, "10.0.0.102"}))))
	has(false, second)
	// The order of the addresses is nothing.
	reload(s.file(s.vip("front", listed([]string{"10.0.0.102", address}), "router_id = 100")))
	// A vip more, and one less.
	reload(s.file(s.vip("front", listed([]string{address, "10.0.0.102"}), "router_id = 100"), s.vip("more", `address = "10.0.0.101/24"`)))
	has(true, second)
	reload(s.file(s.vip("front", listed([]string{address, "10.0.0.102"}), "router_id = 100")))
	has(false, second)
	until := time.Now()
	r := probe.Stop()

	h := s.owners.Between(since, until)
	if len(h) != 1 || !slices.Equal(h[0].Owners, []string{"lb1"}) {
		t.Errorf("the address that stays:\n%s", h)
	}
	if n := len(third.Between(since, until).Gaps()); n > 1 { // before it was there
		t.Errorf("the address that was added:\n%s", third)
	}
	for _, p := range wire.Packets() {
		// The vip that was taken out says so; what stays does not.
		if b := p.VRRP(); len(b) >= 8 && b[1] == 100 && (priority(p) == 0 || p.Src != s.lb[0].Port(0).Addr()) {
			t.Errorf("on the wire: %v", p)
		}
	}
	if f := r.Failed(); len(f) > 0 {
		t.Errorf("%s", r)
	}
	s.stop()
}

// Settings change, and the owner stays the owner; a file with a mistake changes nothing at all.
func TestReloadSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.start(s.file(s.front()))
	wire := s.lan.Capture(lab.Of(lab.VRRP))
	since := time.Now()
	says := filepath.Join(t.TempDir(), "says")
	notify := filepath.Join(filepath.Dir(says), "notify")
	if err := os.WriteFile(notify, []byte("#!/bin/sh\necho $SKEIN_NODE $SKEIN_STATE >> "+says+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{`interval = "200ms"`, `interval = "50ms"`, fmt.Sprintf("notify = %q", notify)} {
		for i := range s.lb {
			s.run[i].Reload(s.file(s.front(more)))
			s.ready(i)
		}
		time.Sleep(time.Second)
		if more == `interval = "50ms"` {
			var last lab.Packet
			n := 0
			for _, p := range wire.Packets() {
				if time.Since(p.Time) < 900*time.Millisecond {
					n++
					last = p
				}
			}
			if b := last.VRRP(); len(b) < 6 || b[5] != 5 || n < 9 {
				t.Errorf("with an interval of 50 ms there were %d advertisements in 0.9 s, the last one %v", n, last)
			}
		}
	}
	if h := s.owners.Between(since, time.Time{}); len(h) != 1 {
		t.Errorf("reloads disturb the address:\n%s", h)
	}
	// lb2 comes first from now on: that is a takeover like any other.
	better := s.file(s.front("priorities = { lb1 = 100, lb2 = 150 }", fmt.Sprintf("notify = %q", notify)))
	s.run[0].Reload(better)
	s.run[1].Reload(better)
	s.owners.Wait(s.lb[1], patience)
	harness.Eventually(t, patience, "the notify command is told", func() bool {
		b, _ := os.ReadFile(says)
		return strings.Contains(string(b), "lb1 backup") && strings.Contains(string(b), "lb2 master")
	})

	since = time.Now()
	for _, bad := range []string{
		s.front("interval = \"15ms\""),
		s.vip("front", `address = "10.0.0.100/24"`, `interface = "eth7"`),
		s.vip("front", `address = "192.0.2.1/24"`),
		s.front() + s.vip("twin", `address = "10.0.0.101/24"`, "router_id = 100"),
	} {
		if code, text := s.run[1].TryReload(s.file(bad)); code/100 == 2 || !strings.Contains(text, "skein.hcl") {
			t.Errorf("a file with a mistake is taken, or not blamed: %d %s\n%s", code, text, bad)
		}
	}
	stay(t, s, s.lb[1], since, time.Since(since)+500*time.Millisecond)
	for _, p := range wire.Packets() {
		if priority(p) == 0 {
			t.Errorf("on the wire: %v", p)
		}
	}
	if body, code, err := get(s.visitor, 80, "/", patience); body != "hello" || code != http.StatusOK {
		t.Errorf("it answers %d %q %v", code, body, err)
	}
	s.stop()
}
