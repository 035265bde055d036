package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// Host is a machine: a network namespace. It shares files, processes and users with the test.
type Host struct {
	Name string

	lab    *Lab
	space  *space
	number int
	ports  []*Port
}

// Host makes a host with these ports: eth0, eth1 and so on. Its addresses are usable when it returns. The name has at most
// 12 bytes.
func (l *Lab) Host(name string, ports ...*Port) *Host {
	l.t.Helper()
	if len(name) > unix.IFNAMSIZ-4 {
		l.t.Fatalf("host name %q is longer than %d bytes", name, unix.IFNAMSIZ-4)
	}
	s, err := newSpace(name)
	if err != nil {
		l.t.Fatalf("make host %s: %v", name, err)
	}
	h := &Host{Name: name, lab: l, space: s, number: len(l.hosts) + 1, ports: ports}
	l.hosts = append(l.hosts, h)
	if err := s.do(h.configure); err != nil {
		l.t.Fatalf("make host %s: %v", name, err)
	}
	for i, p := range ports {
		if p.host != nil {
			l.t.Fatalf("make host %s: port %d is that of host %s", name, i, p.host.Name)
		}
		if err := p.connect(h, i); err != nil {
			l.t.Fatalf("make host %s: port %d: %v", name, i, err)
		}
	}
	harness.Eventually(l.t, patience, "the link-local addresses of "+name+" are there", h.settled)
	return h
}

// configure is done before there are interfaces, which begin with the defaults.
func (h *Host) configure() error {
	for _, s := range []struct{ value, name string }{
		{"0", "net/ipv6/conf/all/accept_dad"}, // duplicate address detection takes a second or two
		{"0", "net/ipv6/conf/default/accept_dad"},
		{"0", "net/ipv6/conf/default/accept_ra"},
		{"0", "net/ipv6/conf/default/router_solicitations"},
		// A visitor who asks 200 times a second on new connections uses the usual range up within TIME_WAIT.
		{"5000 65535", "net/ipv4/ip_local_port_range"},
	} {
		if err := sysctl(s.value, s.name); err != nil {
			return err
		}
	}
	return nil
}

// settled reports whether every port has a link-local address that can be used.
func (h *Host) settled() bool {
	addrs, err := h.space.route.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		h.lab.t.Fatalf("list the addresses of %s: %v", h.Name, err)
	}
	n := 0
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			return false
		}
		if a.IP.IsLinkLocalUnicast() {
			n++
		}
	}
	return n >= len(h.ports)
}

// Port is the n-th port.
func (h *Host) Port(n int) *Port { return h.ports[n] }

// Do calls f on a thread in the host's network. Sockets opened in it stay there; goroutines that it starts do not, and it must
// not call t.Fatal. Any goroutine may call it.
func (h *Host) Do(f func() error) error { return h.space.do(f) }

// Dial connects from the host. The address must be a literal: a lookup would be done by goroutines elsewhere.
func (h *Host) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	e := h.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, addr)
		return nil
	})
	if e != nil {
		return nil, e
	}
	return c, err
}

// Listen listens for TCP in the host, until the test ends.
func (h *Host) Listen(addr string) net.Listener {
	h.lab.t.Helper()
	var l net.Listener
	var err error
	// A program that is being started may hold an old socket for a moment.
	if !harness.Soon(patience, func() bool {
		err = h.Do(func() (err error) {
			l, err = net.Listen("tcp", addr)
			return err
		})
		return !errors.Is(err, unix.EADDRINUSE)
	}) || err != nil {
		h.lab.t.Fatalf("host %s: %v", h.Name, err)
	}
	h.lab.t.Cleanup(func() { l.Close() })
	return l
}

// Origin serves HTTP in the host, from within the test, until the test ends. Each answer carries the host's name in X-Origin, and
// is that of the handler; nil answers with the name.
func (h *Host) Origin(addr string, handler http.Handler) {
	h.lab.t.Helper()
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, h.Name) })
	}
	l := h.Listen(addr)
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Origin", h.Name)
		handler.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	h.lab.t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

// Addresses are the addresses that the host has now, with their interfaces, in the form "eth0 10.0.0.11/24", sorted; those of lo
// and link-local ones left out.
func (h *Host) Addresses() []string {
	h.lab.t.Helper()
	links, err := h.space.route.LinkList()
	if err != nil {
		h.lab.t.Fatalf("host %s: list links: %v", h.Name, err)
	}
	var all []string
	for _, link := range links {
		addrs, err := h.space.route.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			h.lab.t.Fatalf("host %s: list addresses: %v", h.Name, err)
		}
		for _, a := range addrs {
			if !a.IP.IsLoopback() && !a.IP.IsLinkLocalUnicast() {
				all = append(all, fmt.Sprintf("%s %s", link.Attrs().Name, a.IPNet))
			}
		}
	}
	slices.Sort(all)
	return all
}

// Has reports whether the host has the address now.
func (h *Host) Has(addr string) bool {
	h.lab.t.Helper()
	addrs, err := h.space.route.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		h.lab.t.Fatalf("host %s: list addresses: %v", h.Name, err)
	}
	want := netip.MustParseAddr(addr)
	return slices.ContainsFunc(addrs, func(a netlink.Addr) bool {
		ip, _ := netip.AddrFromSlice(a.IP)
		return ip.Unmap() == want
	})
}

// Neighbor is the MAC address that the host would send frames for addr to, nil if it knows none.
func (h *Host) Neighbor(addr string) net.HardwareAddr {
	h.lab.t.Helper()
	want := netip.MustParseAddr(addr)
	family := netlink.FAMILY_V4
	if want.Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := h.space.route.NeighList(0, family)
	if err != nil {
		h.lab.t.Fatalf("host %s: list neighbors: %v", h.Name, err)
	}
	for _, n := range list {
		if ip, _ := netip.AddrFromSlice(n.IP); ip.Unmap() == want && n.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) == 0 && len(n.HardwareAddr) > 0 {
			return n.HardwareAddr
		}
	}
	return nil
}

// Route sends what is for a prefix ("10.1.0.0/16", "0.0.0.0/0", "::/0") by way of a router, until a port goes down.
func (h *Host) Route(prefix, via string) {
	h.lab.t.Helper()
	_, to, err := net.ParseCIDR(prefix)
	if err != nil {
		h.lab.t.Fatalf("host %s: %v", h.Name, err)
	}
	if err := h.space.route.RouteReplace(&netlink.Route{Dst: to, Gw: net.ParseIP(via)}); err != nil {
		h.lab.t.Fatalf("host %s: route %s via %s: %v", h.Name, prefix, via, err)
	}
}

// Sysctl writes a setting of the host ("net/ipv4/ip_forward").
func (h *Host) Sysctl(name, value string) {
	h.lab.t.Helper()
	if err := h.Do(func() error { return sysctl(value, name) }); err != nil {
		h.lab.t.Fatalf("host %s: %v", h.Name, err)
	}
}

// Freeze stops every process of the host in its tracks, as a hypervisor does that pauses a machine. Its kernel goes on: it
// still answers ARP, acknowledges TCP and keeps its addresses.
func (h *Host) Freeze() {
	h.lab.t.Helper()
	if _, err := h.space.signal(unix.SIGSTOP); err != nil {
		h.lab.t.Fatalf("freeze host %s: %v", h.Name, err)
	}
}

// Thaw ends [Host.Freeze].
func (h *Host) Thaw() {
	h.lab.t.Helper()
	if _, err := h.space.signal(unix.SIGCONT); err != nil {
		h.lab.t.Fatalf("thaw host %s: %v", h.Name, err)
	}
}

// PowerOff ends the host as a power failure does: its cables are dead before any process could say a last word, then its
// processes are. It returns the moment of the first. Addresses that programs have added stay listed until [Host.PowerOn]; who
// watches them should exclude the host.
func (h *Host) PowerOff() time.Time {
	h.lab.t.Helper()
	at := time.Now()
	for _, p := range h.ports {
		p.Unplug()
	}
	for _, p := range h.ports {
		p.Down()
	}
	if err := h.space.kill(); err != nil {
		h.lab.t.Fatalf("power off host %s: %v", h.Name, err)
	}
	return at
}

// PowerOn starts the host again, with its own addresses only and no programs.
func (h *Host) PowerOn() {
	h.lab.t.Helper()
	for _, p := range h.ports {
		// Only its own addresses come back.
		p.Disable()
		addrs, err := h.space.route.AddrList(p.link, netlink.FAMILY_ALL)
		p.must("list its addresses", err)
		for _, a := range addrs {
			// With the first address of a subnet go the others.
			if err := h.space.route.AddrDel(p.link, &a); !errors.Is(err, unix.EADDRNOTAVAIL) {
				p.must("remove an address", err)
			}
		}
		p.Up()
		p.Enable()
		p.Plug()
	}
	harness.Eventually(h.lab.t, patience, "the link-local addresses of "+h.Name+" are there", h.settled)
}
