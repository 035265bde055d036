package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// Timeline is who has an address when: on any interface, by the kernel's own word (rtnetlink(7)). What it says about a moment
// that has passed is complete: the kernel queues the event before the program that adds or removes the address goes on.
type Timeline struct {
	Address netip.Addr

	t     testing.TB
	hosts []*Host
	begin time.Time
	polls []unix.PollFd // a netlink socket of each host, and wake
	wake  int
	asked chan chan struct{} // who waits until all that has happened is noted
	quit  chan struct{}
	done  chan struct{}

	mu      sync.Mutex // guards the rest
	links   []map[uint32]bool
	out     []bool // excluded hosts
	events  []event
	problem error
}

// event is that a host begins or ends to count as an owner.
type event struct {
	at   time.Time
	host int
	has  bool
}

// Watch begins to watch who of the hosts has the address, until the test ends.
func Watch(addr string, hosts ...*Host) *Timeline {
	t := hosts[0].lab.t
	t.Helper()
	w := &Timeline{
		Address: netip.MustParseAddr(addr), t: t, hosts: hosts, begin: time.Now(),
		asked: make(chan chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
		links: make([]map[uint32]bool, len(hosts)), out: make([]bool, len(hosts)),
	}
	if err := w.open(); err != nil {
		t.Fatalf("watch %s: %v", addr, err)
	}
	onThread(w.run)
	t.Cleanup(func() {
		close(w.quit)
		w.poke()
		<-w.done
		for _, p := range w.polls {
			unix.Close(int(p.Fd))
		}
		if t.Failed() {
			t.Logf("owners of %s:\n%s", addr, w)
		}
	})
	return w
}

// open opens the sockets first and then asks what is there, so that nothing is missed in between.
func (w *Timeline) open() error {
	for i, h := range w.hosts {
		w.links[i] = map[uint32]bool{}
		fd := -1
		if err := h.Do(func() (err error) {
			fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
			return err
		}); err != nil {
			return fmt.Errorf("host %s: open netlink: %w", h.Name, err)
		}
		w.polls = append(w.polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20); err != nil {
			return fmt.Errorf("set SO_RCVBUFFORCE: %w", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR}); err != nil {
			return fmt.Errorf("listen to netlink: %w", err)
		}
		list, err := h.space.route.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("host %s: list addresses: %w", h.Name, err)
		}
		for _, a := range list {
			if ip, _ := netip.AddrFromSlice(a.IP); ip.Unmap() == w.Address {
				w.change(i, uint32(a.LinkIndex), true, w.begin)
			}
		}
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	w.wake = fd
	w.polls = append(w.polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	return nil
}

// run notes events. It is one thread for all hosts, so that their order is the true one, and in front of everybody else, so that
// the times are good even when the machine is busy; nothing is lost if it may not be.
func (w *Timeline) run() {
	defer close(w.done)
	unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 2}, 0)
	buf := make([]byte, 64<<10)
	for {
		if _, err := unix.Poll(w.polls, -1); err != nil && err != unix.EINTR {
			w.fail(fmt.Errorf("poll: %w", err))
			return
		}
		var waiting []chan struct{}
		var count [8]byte
		if _, err := unix.Read(w.wake, count[:]); err == nil {
			for range binary.NativeEndian.Uint64(count[:]) { // one comes for each poke
				select {
				case <-w.quit:
					return
				case c := <-w.asked:
					waiting = append(waiting, c)
				}
			}
		}
		for i := range w.hosts {
			w.drain(i, buf)
		}
		for _, c := range waiting {
			close(c)
		}
	}
}

// drain takes all events of one host.
func (w *Timeline) drain(host int, buf []byte) {
	for {
		n, _, err := unix.Recvfrom(int(w.polls[host].Fd), buf, 0)
		at := time.Now()
		if err == unix.EAGAIN || err == unix.EINTR {
			return
		}
		if err != nil {
			w.fail(fmt.Errorf("host %s: read netlink: %w", w.hosts[host].Name, err))
			return
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			w.fail(fmt.Errorf("host %s: read netlink: %w", w.hosts[host].Name, err))
			return
		}
		for i := range messages {
			m := &messages[i]
			if (m.Header.Type == unix.RTM_NEWADDR || m.Header.Type == unix.RTM_DELADDR) && w.concerns(m) {
				w.change(host, linkOf(m), m.Header.Type == unix.RTM_NEWADDR, at)
			}
		}
	}
}

// concerns reports whether an ifaddrmsg is about the address. On a point-to-point link IFA_ADDRESS is the peer's; IPv6 has no
// IFA_LOCAL otherwise.
func (w *Timeline) concerns(m *syscall.NetlinkMessage) bool {
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return false
	}
	var address, local netip.Addr
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		}
	}
	if local.IsValid() {
		address = local
	}
	return address == w.Address
}

// linkOf is the interface of an ifaddrmsg: family 1, prefix length 1, flags 1, scope 1, index 4.
func linkOf(m *syscall.NetlinkMessage) uint32 {
	if len(m.Data) < unix.SizeofIfAddrmsg {
		return 0
	}
	return binary.NativeEndian.Uint32(m.Data[4:])
}

func (w *Timeline) change(host int, link uint32, has bool, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.links[host]) > 0
	if has {
		w.links[host][link] = true
	} else {
		delete(w.links[host], link)
	}
	if now := len(w.links[host]) > 0; now != before && !w.out[host] {
		w.events = append(w.events, event{at, host, now})
	}
}

func (w *Timeline) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problem = err
}

func (w *Timeline) poke() { unix.Write(w.wake, binary.NativeEndian.AppendUint64(nil, 1)) }

// sync returns when everything that has happened is noted.
func (w *Timeline) sync() {
	w.t.Helper()
	c := make(chan struct{})
	w.poke()
	select {
	case w.asked <- c:
		<-c
	case <-w.done: // the test is at its end, or watching has failed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problem != nil {
		w.t.Fatalf("watch %s: %v", w.Address, w.problem)
	}
}

// Exclude says that from now on the host does not count, whether it has the address or not: it is dead, or cut off.
func (w *Timeline) Exclude(h *Host) { w.count(h, false) }

// Include ends [Timeline.Exclude].
func (w *Timeline) Include(h *Host) { w.count(h, true) }

func (w *Timeline) count(h *Host, in bool) {
	w.t.Helper()
	w.sync()
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.hosts, h)
	if i < 0 {
		w.t.Fatalf("host %s is not watched", h.Name)
	}
	if w.out[i] = !in; len(w.links[i]) > 0 {
		w.events = append(w.events, event{time.Now(), i, in})
	}
}

// Between is who had the address between two moments; a zero from is the beginning, a zero to is now.
func (w *Timeline) Between(from, to time.Time) History {
	w.t.Helper()
	w.sync()
	w.mu.Lock()
	events := slices.Clone(w.events)
	w.mu.Unlock()
	if from.IsZero() {
		from = w.begin
	}
	if to.IsZero() {
		to = time.Now()
	}
	has := make([]bool, len(w.hosts))
	owners := func() (names []string) {
		for i, h := range w.hosts {
			if has[i] {
				names = append(names, h.Name)
			}
		}
		return names
	}
	var all History
	at := from
	for _, e := range events {
		if !e.at.Before(to) {
			break
		}
		if e.at.After(at) {
			all = append(all, Span{at, e.at, owners()})
			at = e.at
		}
		has[e.host] = e.has
	}
	if to.After(at) {
		all = append(all, Span{at, to, owners()})
	}
	return all.joined()
}

// History is [Timeline.Between] since somebody had the address first: what tests ask about most.
func (w *Timeline) History() History {
	w.t.Helper()
	all := w.Between(time.Time{}, time.Time{})
	if len(all) > 0 && len(all[0].Owners) == 0 {
		return all[1:]
	}
	return all
}

// Owners are the hosts that had the address at that moment.
func (w *Timeline) Owners(at time.Time) []string {
	w.t.Helper()
	h := w.Between(at, at.Add(1))
	if len(h) == 0 {
		return nil
	}
	return h[0].Owners
}

// Gaps are the times at which nobody had the address, since somebody had it first.
func (w *Timeline) Gaps() []Span { return w.History().Gaps() }

// Doubles are the times at which several hosts had it.
func (w *Timeline) Doubles() []Span { return w.History().Doubles() }

// LongestGap is that of [Timeline.History].
func (w *Timeline) LongestGap() time.Duration { return w.History().LongestGap() }

// DoubleTime is that of [Timeline.History].
func (w *Timeline) DoubleTime() time.Duration { return w.History().DoubleTime() }

// Wait waits until the host has the address, and nobody else, and returns since when that is so.
func (w *Timeline) Wait(h *Host, within time.Duration) time.Time {
	w.t.Helper()
	var since time.Time
	if !harness.Soon(within, func() bool {
		all := w.Between(time.Time{}, time.Time{})
		if len(all) == 0 {
			return false
		}
		last := all[len(all)-1]
		since = last.From
		return slices.Equal(last.Owners, []string{h.Name})
	}) {
		w.t.Fatalf("%s does not own %s within %v:\n%s", h.Name, w.Address, within, w)
	}
	return since
}

// String prints the whole history, one line for each change.
func (w *Timeline) String() string {
	return w.Between(time.Time{}, time.Time{}).String()
}
