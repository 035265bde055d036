package vip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
	"skein/kernel"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// fakeSpeaker is a speaker in memory. It does what it is told, becomes master only when a test says so, and can be made deaf,
// silent and dead.
type fakeSpeaker struct {
	pid     int
	reports chan speaker.Report
	ended   chan struct{}
	waits   atomic.Bool // it has said something that was not received yet

	mu        sync.Mutex // guards what follows
	orders    []speaker.Order
	instances []*speaker.InstanceStatus
	silent    bool
	stuck     bool // does not yield, stop or release
	cause     string
	over      bool
	killed    bool
}

func newFakeSpeaker(pid int) *fakeSpeaker {
	f := &fakeSpeaker{pid: pid, reports: make(chan speaker.Report, 1000), ended: make(chan struct{})}
	go f.live()
	return f
}

// live reports its status until its end.
func (f *fakeSpeaker) live() {
	for t := time.NewTicker(speaker.StatusEvery); ; {
		f.mu.Lock()
		f.status()
		f.mu.Unlock()
		select {
		case <-f.ended:
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func (f *fakeSpeaker) status() {
	if f.silent || f.over {
		return
	}
	s := &speaker.Status{Realtime: true}
	for _, i := range f.instances {
		s.Instances = append(s.Instances, *i)
	}
	f.reports <- speaker.Report{Status: s}
}

// PID implements process.
func (f *fakeSpeaker) PID() int { return f.pid }

// Send implements process.
func (f *fakeSpeaker) Send(o speaker.Order) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return io.EOF
	}
	f.orders = append(f.orders, o)
	switch {
	case o.Configure != nil:
		f.configure(o.Configure)
	case f.stuck:
	case o.Yield != nil:
		for _, vip := range o.Yield.VIPs {
			f.change(vip, vrrp.Backup, o.Yield.Reason)
		}
	case o.Release:
		all := []vrrp.Snapshot{}
		for _, i := range f.instances {
			all = append(all, vrrp.Snapshot{RouterID: 10, IPv6: i.Family == 6, State: i.State})
		}
		f.instances = nil
		f.reports <- speaker.Report{Released: &all}
	case o.Stop:
		for _, i := range f.instances {
			f.change(i.VIP, vrrp.Initialize, "it was told to stop")
		}
		f.end("exit status 0")
	}
	return nil
}

func (f *fakeSpeaker) configure(c *speaker.Configure) {
	var next []*speaker.InstanceStatus
	for _, g := range c.Groups {
		for _, i := range g.Instances {
			family := familyOf(i.Router.Source)
			at := slices.IndexFunc(f.instances, func(o *speaker.InstanceStatus) bool { return o.VIP == i.VIP && o.Family == family })
			if at >= 0 {
				next = append(next, f.instances[at])
				continue
			}
			n := &speaker.InstanceStatus{VIP: i.VIP, Family: family, State: vrrp.Initialize, Priority: i.Router.Priority}
			next = append(next, n)
			if len(c.Resume) > 0 {
				n.State = c.Resume[0].State
			}
		}
	}
	gone := slices.DeleteFunc(slices.Clone(f.instances), func(i *speaker.InstanceStatus) bool { return slices.Contains(next, i) })
	for _, i := range gone {
		f.change(i.VIP, vrrp.Initialize, "it is not configured any more")
	}
	f.instances = next
	for _, i := range next {
		if i.State == vrrp.Initialize {
			f.change(i.VIP, vrrp.Backup, "it has started")
		}
	}
	f.reports <- speaker.Report{Configured: &speaker.Configured{Serial: c.Serial}}
	f.status()
}

// change makes a transition of all families of a vip. mu is held.
func (f *fakeSpeaker) change(vip string, to vrrp.State, reason string) {
	for _, i := range f.instances {
		if i.VIP == vip && i.State != to {
			f.reports <- speaker.Report{Change: &speaker.Change{VIP: vip, Family: i.Family, From: i.State, To: to, Reason: reason, Time: time.Now()}}
			i.State, i.Reason, i.Since = to, reason, time.Now()
		}
	}
	f.status()
}

// become is an election.
func (f *fakeSpeaker) become(vip string, to vrrp.State, reason string) {
	f.mu.Lock()
	f.change(vip, to, reason)
	f.mu.Unlock()
	synctest.Wait()
}

func (f *fakeSpeaker) end(cause string) {
	if !f.over {
		f.over, f.cause = true, cause
		close(f.ended)
	}
}

// die is a crash.
func (f *fakeSpeaker) die(cause string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(cause)
}

// Waits implements process.
func (f *fakeSpeaker) Waits() bool { return f.waits.Load() }

// Receive implements process.
func (f *fakeSpeaker) Receive() (speaker.Report, error) {
	select {
	case r := <-f.reports:
		return r, nil
	default:
	}
	select {
	case r := <-f.reports:
		return r, nil
	case <-f.ended:
	}
	select { // what it said last
	case r := <-f.reports:
		return r, nil
	default:
		return speaker.Report{}, io.EOF
	}
}

// Close implements process.
func (f *fakeSpeaker) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stuck {
		f.end("exit status 0")
	}
}

// Kill implements process.
func (f *fakeSpeaker) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.killed = true
	}
	f.end("signal: killed")
}

// Ended implements process.
func (f *fakeSpeaker) Ended() <-chan struct{} { return f.ended }

// Cause implements process.
func (f *fakeSpeaker) Cause() string { return f.cause }

// kinds are the orders but for repeated beats: "beat configure beat yield".
func (f *fakeSpeaker) kinds() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b bytes.Buffer
	last := ""
	for _, o := range f.orders {
		k := "stop"
		switch {
		case o.Configure != nil:
			k = "configure"
		case o.Beat != nil:
			k = "beat"
		case o.Yield != nil:
			k = "yield"
		case o.Release:
			k = "release"
		}
		if k == "beat" && last == k {
			continue
		}
		last = k
		b.WriteString(k + " ")
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// rank is what the last beat said of a vip.
func (f *fakeSpeaker) rank(vip string) speaker.Rank {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range slices.Backward(f.orders) {
		if o.Beat != nil {
			return o.Beat.Ranks[vip]
		}
	}
	return speaker.Rank{}
}

// last is the last configuration that it was told.
func (f *fakeSpeaker) last() *speaker.Configure {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range slices.Backward(f.orders) {
		if o.Configure != nil {
			return o.Configure
		}
	}
	return nil
}

// fakeNet is the network of a host in memory.
type fakeNet struct {
	*kernel.Fake

	mu          sync.Mutex // guards what follows
	connections map[uint64]bool
	err         error
}

// ConnectionIDs implements [Network].
func (n *fakeNet) ConnectionIDs([]netip.Addr) ([]uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []uint64
	for id := range n.connections {
		ids = append(ids, id)
	}
	return ids, n.err
}

func (n *fakeNet) connect(ids ...uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		n.connections[id] = true
	}
}

func (n *fakeNet) disconnect(ids ...uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		delete(n.connections, id)
	}
}

// world is one node with all that a Vip needs, in a bubble of synctest.
type world struct {
	t    *testing.T
	v    *Vip
	net  *fakeNet
	log  *logBuffer
	stop func() // ends Run and waits

	mu       sync.Mutex // guards what follows
	speakers []*fakeSpeaker
	starting error // why no speaker starts
	drained  bool
	serving  error
	probes   int
	events   []string // of functions of others: leaving, idle, hold, release
	commands []command
	answer   func(ctx context.Context, c command) (string, error)
}

func newWorld(t *testing.T, state string) *world {
	t.Helper()
	host := kernel.NewFakeLAN().Host("lb1", netip.MustParsePrefix("10.0.0.11/24"), netip.MustParsePrefix("fd00::11/64"))
	w := &world{t: t, net: &fakeNet{Fake: host, connections: map[uint64]bool{}}, log: &logBuffer{}}
	w.v = New(slog.New(slog.NewTextHandler(w.log, nil)), Options{
		Serving: func(context.Context, []netip.Addr) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.probes++
			return w.serving
		},
		Drained:    func(server string) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.drained && server == "lb1" },
		SetLeaving: func(a []netip.Addr) { w.happened(fmt.Sprint("leaving ", a)) },
		CloseIdle:  func(a []netip.Addr) { w.happened(fmt.Sprint("idle ", a)) },
		Abandon:    func(a []netip.Addr) { w.happened(fmt.Sprint("abandon ", a)) },
		Hold: func(a []netip.Addr) (func(), error) {
			w.happened(fmt.Sprint("hold ", a))
			return func() { w.happened("release") }, nil
		},
		Net: w.net, State: state,
	})
	w.v.spawn = func() (process, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.starting != nil {
			return nil, w.starting
		}
		f := newFakeSpeaker(1000 + len(w.speakers))
		w.speakers = append(w.speakers, f)
		return f, nil
	}
	w.v.run = func(ctx context.Context, c command) (string, error) {
		w.mu.Lock()
		w.commands = append(w.commands, c)
		answer := w.answer
		w.mu.Unlock()
		if answer != nil {
			return answer(ctx, c)
		}
		return "", nil
	}
	return w
}

func (w *world) happened(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) > 0 && w.events[len(w.events)-1] == what {
		return // idle connections are closed again and again
	}
	w.events = append(w.events, what)
}

// happenings takes what has happened since the last call.
func (w *world) happenings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.events
	w.events = nil
	return all
}

// configure makes c live.
func (w *world) configure(c *config.Config) {
	w.t.Helper()
	commit, _, err := w.v.Prepare(w.t.Context(), c, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	commit()
}

// start runs the Vip; the caller defers w.stop.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.v.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
	synctest.Wait()
}

func (w *world) set(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
}

// speaker is the newest one.
func (w *world) speaker() *fakeSpeaker {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.speakers) == 0 {
		w.t.Fatal("no speaker was started")
	}
	return w.speakers[len(w.speakers)-1]
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.speakers)
}

// front is the usual vip of two nodes, of which lb1 is this one.
func front() *config.VIP {
	return &config.VIP{
		Name: "front", Pos: config.Pos{File: "skein.hcl", Line: 7}, InterfacePos: config.Pos{File: "skein.hcl", Line: 9},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")},
		RouterID:  10, Version: 3, Interval: 100 * time.Millisecond,
		Nodes: []config.VIPNode{
			{Name: "lb1", Host: "10.0.0.11", Addr: netip.MustParseAddr("10.0.0.11"), Priority: 200},
			{Name: "lb2", Host: "10.0.0.12", Addr: netip.MustParseAddr("10.0.0.12"), Priority: 190},
		},
		Unicast4: true, Checksum: "auto", Preempt: true, Handover: 30 * time.Second, NotifyLimit: 10 * time.Second,
		Probe: config.VIPProbe{Every: time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
	}
}

func file(vips ...*config.VIP) *config.Config {
	return &config.Config{File: "skein.hcl", Node: "lb1", VIPs: vips}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements [io.Writer].
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all of it.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var errBroken = errors.New("no member of pool web answers")
