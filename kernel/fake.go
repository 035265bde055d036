package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Fake is the kernel of one host of a [FakeLAN]. It has the methods of [Net] and behaves as Net does, without privileges.
type Fake struct {
	lan    *FakeLAN
	name   string
	number int

	// The LAN's mutex guards what follows.
	links       []*fakeLink
	vrrp        []*fakeVRRP
	echo        []*fakeEcho
	watchers    []chan struct{}
	failures    map[string]error
	missing     []string
	connections func([]netip.Addr) (int, error)
}

type fakeLink struct {
	Link
	segment string
}

// Name is the host's name.
func (f *Fake) Name() string { return f.name }

// AddLink gives the host another link, which is up.
func (f *Fake) AddLink(name string, prefixes ...netip.Prefix) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	f.addLink(name, prefixes)
	f.changed()
}

// SetCarrier plugs the link's cable in or out. Addresses stay, as they do on Linux. Like all that the test says, it is no error
// if there is no such link, but a panic.
func (f *Fake) SetCarrier(link string, on bool) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k := f.link(link)
	if k == nil {
		panic(fmt.Sprintf("kernel: the fake host %s has no link %s", f.name, link))
	}
	k.Up = on
	f.changed()
}

// Rename gives the link another name. What is open on it stays open, as on Linux.
func (f *Fake) Rename(link, name string) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k := f.link(link)
	if k == nil {
		panic(fmt.Sprintf("kernel: the fake host %s has no link %s", f.name, link))
	}
	k.Name = name
	for _, s := range f.vrrp {
		if s.options.Link == link {
			s.options.Link = name
		}
	}
	f.changed()
}

// Fail makes the method of this name fail with err from now on; nil ends it. Send is that of VRRP sockets.
func (f *Fake) Fail(method string, err error) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	if f.failures == nil {
		f.failures = make(map[string]error)
	}
	f.failures[method] = err
}

// SetMissing says what Missing answers.
func (f *Fake) SetMissing(capabilities ...string) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	f.missing = capabilities
}

// SetConnections says what answers Connections; nil is none.
func (f *Fake) SetConnections(count func(local []netip.Addr) (int, error)) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	f.connections = count
}

// Has tells whether the host has exactly this address on the link.
func (f *Fake) Has(link string, p netip.Prefix) bool {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k := f.link(link)
	return k != nil && slices.Contains(k.Prefixes, p)
}

// Links is like [Net.Links].
func (f *Fake) Links() ([]Link, error) {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	if err := f.failures["Links"]; err != nil {
		return nil, err
	}
	var links []Link
	for _, k := range f.links {
		c := k.Link
		c.MAC, c.Prefixes = slices.Clone(c.MAC), slices.Clone(c.Prefixes)
		slices.SortStableFunc(c.Prefixes, func(a, b netip.Prefix) int { return a.Addr().BitLen() - b.Addr().BitLen() })
		links = append(links, c)
	}
	return links, nil
}

// Watch is like [Net.Watch].
func (f *Fake) Watch(ctx context.Context, changed func()) error {
	news := make(chan struct{}, 1)
	f.lan.mu.Lock()
	err := f.failures["Watch"]
	if err == nil {
		f.watchers = append(f.watchers, news)
	}
	f.lan.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		f.lan.mu.Lock()
		defer f.lan.mu.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(c chan struct{}) bool { return c == news })
	}()
	for changed(); ; changed() {
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
	}
}

// AddAddress is like [Net.AddAddress].
func (f *Fake) AddAddress(link string, p netip.Prefix) error {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k, err := f.ready("AddAddress", link)
	if err != nil {
		return fmt.Errorf("add %s to %s: %w", p, link, err)
	}
	if slices.Contains(k.Prefixes, p) {
		return nil
	}
	if p.Addr().Is6() && slices.ContainsFunc(k.Prefixes, func(o netip.Prefix) bool { return o.Addr() == p.Addr() }) {
		return fmt.Errorf("add %s to %s: the link has it with another length", p, link)
	}
	k.Prefixes = append(k.Prefixes, p)
	f.lan.record(f, FakeAdded, link, p.Addr(), nil)
	f.changed()
	return nil
}

// RemoveAddress is like [Net.RemoveAddress].
func (f *Fake) RemoveAddress(link string, p netip.Prefix) error {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k, err := f.ready("RemoveAddress", link)
	if errors.Is(err, errNoLink) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s from %s: %w", p, link, err)
	}
	i := slices.Index(k.Prefixes, p)
	if i < 0 {
		return nil
	}
	k.Prefixes = slices.Delete(k.Prefixes, i, i+1)
	f.lan.record(f, FakeRemoved, link, p.Addr(), nil)
	f.changed()
	return nil
}

// Announce is like [Net.Announce].
func (f *Fake) Announce(link string, a netip.Addr) error {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k, err := f.ready("Announce", link)
	if err == nil && !k.Up {
		err = syscall.ENETDOWN
	}
	if err != nil {
		return fmt.Errorf("announce %s on %s: %w", a, link, err)
	}
	f.lan.record(f, FakeAnnounced, link, a, nil)
	return nil
}

// AddVirtualMAC is like [Net.AddVirtualMAC].
func (f *Fake) AddVirtualMAC(link, name string, routerID uint8, v6 bool) error {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	k, err := f.ready("AddVirtualMAC", link)
	if err != nil {
		return fmt.Errorf("add virtual MAC %s to %s: %w", name, link, err)
	}
	if f.link(name) != nil {
		return nil
	}
	n := f.addLink(name, nil)
	n.MAC, n.segment = VirtualMAC(routerID, v6), k.segment
	f.changed()
	return nil
}

// RemoveLink is like [Net.RemoveLink].
func (f *Fake) RemoveLink(name string) error {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	if err := f.failures["RemoveLink"]; err != nil {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	f.links = slices.DeleteFunc(f.links, func(k *fakeLink) bool { return k.Name == name })
	f.changed()
	return nil
}

// Connections is like [Net.Connections].
func (f *Fake) Connections(local []netip.Addr) (int, error) {
	f.lan.mu.Lock()
	count, err := f.connections, f.failures["Connections"]
	f.lan.mu.Unlock()
	if err != nil || count == nil {
		return 0, err
	}
	return count(local)
}

// ConnectionIDs is like [Net.ConnectionIDs]: as many as Connections counts, which are the same ones from call to call.
func (f *Fake) ConnectionIDs(local []netip.Addr) ([]uint64, error) {
	n, err := f.Connections(local)
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = uint64(i) + 1
	}
	return ids, err
}

// Missing is like [Net.Missing].
func (f *Fake) Missing() []string {
	f.lan.mu.Lock()
	defer f.lan.mu.Unlock()
	return slices.Clone(f.missing)
}

// Now is like [Net.Now], by the clock of package time, which testing/synctest can fake. All hosts of a LAN share it.
func (f *Fake) Now() time.Duration { return time.Hour + time.Since(f.lan.born) }

// errNoLink is what the kernel says of a link that is not there.
var errNoLink error = syscall.ENODEV

// ready is the link, unless the method shall fail.
func (f *Fake) ready(method, link string) (*fakeLink, error) {
	if err := f.failures[method]; err != nil {
		return nil, err
	}
	if k := f.link(link); k != nil {
		return k, nil
	}
	return nil, errNoLink
}

func (f *Fake) addLink(name string, prefixes []netip.Prefix) *fakeLink {
	number := len(f.links) + 1
	k := &fakeLink{Link{
		Index: number + 1, Name: name, MAC: fakeMAC(f.number, number), MTU: 1500, Up: true, Prefixes: slices.Clone(prefixes),
	}, name}
	if slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		a := [16]byte{0: 0xfe, 1: 0x80, 14: byte(f.number >> 8), 15: byte(f.number)}
		k.Prefixes = append(k.Prefixes, netip.PrefixFrom(netip.AddrFrom16(a), 64))
	}
	f.links = append(f.links, k)
	return k
}

func (f *Fake) link(name string) *fakeLink {
	for _, k := range f.links {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// linkWith is the link that is up and has the address, on the segment if it is not empty.
func (f *Fake) linkWith(a netip.Addr, segment string) *fakeLink {
	for _, k := range f.links {
		has := slices.ContainsFunc(k.Prefixes, func(p netip.Prefix) bool { return p.Addr() == a.WithZone("") })
		if k.Up && has && (segment == "" || k.segment == segment) {
			return k
		}
	}
	return nil
}

func (f *Fake) changed() {
	for _, w := range f.watchers {
		select {
		case w <- struct{}{}:
		default: // it will be called already
		}
	}
}
