package speaker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"skein/kernel"
	"skein/vip/vrrp"
)

func TestLate(t *testing.T) {
	l := newLate()
	for _, d := range []time.Duration{-time.Millisecond, 0, 500 * time.Microsecond, 501 * time.Microsecond, 99 * time.Millisecond, time.Minute} {
		l.add(d)
	}
	want := []uint64{3, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}
	if diff := cmp.Diff(want, l.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if l.Max != time.Minute || l.Sum != time.Minute+100*time.Millisecond+time.Microsecond {
		t.Errorf("max = %v, sum = %v", l.Max, l.Sum)
	}
	c := l.clone()
	l.add(0)
	if c.Counts[0] != 3 {
		t.Error("a clone has changed")
	}
}

// A job never waits for announcements, and none is sent for an address that is not owned any more.
func TestHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		var did []string
		h := newHands(func(_ string, a netip.Addr) error {
			time.Sleep(time.Millisecond)
			did = append(did, a.String())
			if a == addr("10.0.0.3") {
				return syscall.ENETDOWN
			}
			return nil
		}, func(do func()) { do() })
		job := func(name string) {
			h.do(func() func() {
				did = append(did, name)
				return func() { did = append(did, name+" done") }
			})
		}
		owned, lost := new(atomic.Bool), new(atomic.Bool)
		owned.Store(true)
		failed := func(err error) { did = append(did, err.Error()) }
		for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			h.say(announcement{"eth0", addr(a), owned, failed}, announcement{"eth0", addr("10.9.9.9"), lost, failed})
		}
		job("first")
		go h.run(over)
		settled(1500 * time.Microsecond) // within the second announcement
		job("second")
		settled(time.Second)
		want := []string{"first", "first done", "10.0.0.1", "10.0.0.2", "second", "second done", "10.0.0.3", "network is down"}
		if diff := cmp.Diff(want, did); diff != "" {
			t.Errorf("what the hands did (-want +got):\n%s", diff)
		}
		h.say(make([]announcement, maxAnnouncements+1)...)
		if len(h.announcements) != 0 {
			t.Errorf("%d announcements wait, more than %d", len(h.announcements), maxAnnouncements)
		}
	})
}

// What a parent does not read is bounded, and changes count more than log lines.
func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{reports: make(chan []byte), parentGone: make(chan struct{}), closed: make(chan struct{})}
		r := newReports(p)
		for range 10 * maxReports {
			r.send(Report{Log: &Line{Message: "line"}})
			r.send(Report{Status: &Status{}})
		}
		for range 10 * maxReports {
			r.send(Report{Change: &Change{}})
		}
		r.send(Report{Status: &Status{}}) // those of before say nothing any more
		lines, changes := 0, 0
		for _, w := range r.waiting {
			if w.Log != nil {
				lines++
			}
			if w.Change != nil {
				changes++
			}
		}
		if lines != maxReports/2 || changes != maxReports/2 {
			t.Errorf("%d lines and %d changes wait, want %d each", lines, changes, maxReports/2)
		}
		over := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.run(over)
		}()
		sent := r.sent()
		got, lost := 0, false
		for done := false; !done; {
			select {
			case b := <-p.reports:
				got++
				lost = lost || strings.Contains(string(b), "reports of the speaker were lost")
			case <-sent:
				done = true
			}
		}
		if got != maxReports+2 || !lost { // and the last status, and that some were lost
			t.Errorf("%d reports came, that some were lost: %v", got, lost)
		}
		close(over)
		<-ended
	})
}

func TestChannel(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]Channel
	for n, fd := range fds {
		f := os.NewFile(uintptr(fd), "channel")
		if ends[n], err = NewChannel(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	b := make([]byte, 1<<17)
	for _, size := range []int{1, 1000, 100_000} {
		if err := ends[0].Send(make([]byte, size)); err != nil {
			t.Fatalf("send %d bytes: %v", size, err)
		}
		if n, err := ends[1].Receive(b); n != size || err != nil {
			t.Errorf("receive = %d, %v; want %d", n, err, size)
		}
	}
	if err := ends[0].Send(make([]byte, maxMessage+1)); err == nil || isGone(err) {
		t.Errorf("send of too much = %v, want an error that does not end the channel", err)
	}
	if err := ends[0].Send(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := ends[1].Receive(b[:10]); err == nil {
		t.Error("a message was cut off without an error")
	}
	ends[0].Close()
	if _, err := ends[1].Receive(b); !errors.Is(err, io.EOF) {
		t.Errorf("receive after the end = %v, want EOF", err)
	}
	if err := ends[1].Send(b[:1]); err == nil || !isGone(err) {
		t.Errorf("send after the end = %v", err)
	}
	ends[1].Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := NewChannel(file); err == nil {
		t.Error("a file is taken for a channel")
	}
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vip.json")
	if s, err := readState(path); err != nil || len(s.Addresses) > 0 {
		t.Errorf("no file = %v, %v; want nothing", s, err)
	}
	s := state{Addresses: []placed{{"eth1", prefix("10.0.0.1/24")}, {"eth0", prefix("fd00::1/64")}, {"eth1", prefix("10.0.0.1/24")}}, Links: []string{"skein1v4"}}
	s = s.with(state{Links: []string{"skein1v4", "skein0v6"}})
	want := state{Addresses: []placed{{"eth0", prefix("fd00::1/64")}, {"eth1", prefix("10.0.0.1/24")}}, Links: []string{"skein0v6", "skein1v4"}}
	prefixes := cmpopts.EquateComparable(netip.Prefix{})
	if diff := cmp.Diff(want, s, prefixes); diff != "" {
		t.Errorf("with (-want +got):\n%s", diff)
	}
	if err := s.save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := readState(path); err != nil || cmp.Diff(want, got, prefixes) != "" {
		t.Errorf("read = %v, %v; want %v", got, err, want)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	for _, nonsense := range []string{"{", "[]", `{"addresses":[{"link":"eth0","prefix":"x"}]}`} {
		if err := os.WriteFile(path, []byte(nonsense), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readState(path); err == nil {
			t.Errorf("read of %s: no error", nonsense)
		}
	}
	if err := (state{}).save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file of nothing is left: %v", err)
	}
	if _, err := readState(t.TempDir()); err == nil {
		t.Error("a folder is read")
	}
}

// still is a network on which nothing happens and a clock that stands.
type still struct {
	Network
	now  time.Duration
	sent int
}

func (s *still) Now() time.Duration { return s.now }

func (s *still) Watch(context.Context, func()) error { return nil }

func (s *still) Send(netip.Addr, []byte) error { s.sent++; return nil }

func (s *still) Receive([]byte) (int, netip.Addr, netip.Addr, int, error) {
	return 0, netip.Addr{}, netip.Addr{}, 0, net.ErrClosed
}

func (s *still) Keep(kernel.VRRPKeep) error { return nil }

func (s *still) Close() error { return nil }

// Garbage makes pauses: a master that only beats makes none.
func TestNoGarbage(t *testing.T) {
	w := &still{now: time.Hour}
	s := New(w, &pipe{}, Options{})
	s.look.links = map[string]kernel.Link{"eth0": {Index: 2, Name: "eth0", Up: true, Prefixes: []netip.Prefix{prefix("10.0.0.11/24")}}}
	i := Instance{VIP: "front", Interface: "eth0", Prefixes: []netip.Prefix{prefix(front)}, Unfit: 5, Drained: 2}
	i.Router = vrrp.Settings{
		Version: 3, RouterID: 10, Addresses: []netip.Addr{addr("10.0.0.100")}, Source: addr("10.0.0.11"),
		Interval: 100 * time.Millisecond, Priority: 200, Preempt: true,
	}
	w2 := one(i)
	g, err := s.build(&w2, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.groups, s.instances = []*group{g}, g.instances
	s.ranks["front"] = Rank{Fitness: Fit}
	g.instances[0].ears.socket = w
	g.instances[0].faults[faultSocket] = ""
	s.parent.heard = w.now
	s.statusNext = 100 * time.Hour
	s.begin(g)
	w.now += masterDown(200)
	s.tick()
	if got := g.instances[0].machine.State(); got != vrrp.Master {
		t.Fatalf("the state is %s: %s", got, g.instances[0].machine.Reason())
	}
	for range 60 { // the second round of announcements is over
		w.now += 100 * time.Millisecond
		s.parent.heard = w.now
		s.tick()
	}
	s.statusSoon, s.statusNext = false, 100*time.Hour
	before := w.sent
	allocations := testing.AllocsPerRun(100, func() {
		w.now += 100 * time.Millisecond
		s.parent.heard = w.now
		_ = s.deadline()
		s.drain()
		s.tick()
	})
	if w.sent-before != 101 || allocations > 0 {
		t.Errorf("%d advertisements, %v allocations for each; want 101 and none", w.sent-before, allocations)
	}
}
