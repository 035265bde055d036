package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Whether this node serves is asked the way visitors ask: a request to our own listener, which a member has to do with.
//
//	Serving --> probe: TCP, TLS, HTTP --> listener --> conn --> serve --> probed --> proof: policy, connection, member
//
// Nobody else can send that request: its path is a secret of this process and of those that take its place in upgrades. The
// connections are our own, too, and known as such, so that no limit of clients, certificate of theirs or PROXY header stands in
// their way: all that would make a node unfit whose only fault is that it has much to do, or that it is strict. What is full is
// busy and not dead, for the same reason.

// servingTime bounds one question if the caller's context does not.
const servingTime = 5 * time.Second

// maxProbes is how many run at a time for one question.
const maxProbes = 8

// Serving asks every http block that has a listener for one of these addresses (it is bound to it, or to all of the family)
// whether it serves. nil says that all do; an error names the block, the pool and the cause of the first that does not, in the
// order of their names. A block that needs no member serves if it answers.
func (w *Web) Serving(ctx context.Context, addresses []netip.Addr) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, servingTime)
		defer cancel()
	}
	targets, err := w.targets(addresses)
	if err != nil {
		return err
	}
	found := make([]error, len(targets))
	room := make(chan struct{}, maxProbes)
	var all sync.WaitGroup
	for i, t := range targets {
		room <- struct{}{}
		all.Go(func() {
			found[i] = w.ask(ctx, t)
			<-room
		})
	}
	all.Wait()
	bad := slices.DeleteFunc(found, func(err error) bool { return err == nil })
	switch len(bad) {
	case 0:
		return nil
	case 1:
		return bad[0]
	}
	return fmt.Errorf("%w (and %d more)", bad[0], len(bad)-1)
}

// target is a block at one of its listeners.
type target struct {
	port *port
	site *site
	to   netip.AddrPort // where visitors, and we, find the listener
	here bool           // this machine has that address now; else only the accept path is left to try
}

// targets finds who has to answer.
func (w *Web) targets(addresses []netip.Addr) ([]target, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining.Load() || !w.running {
		return nil, errors.New("http: starting or stopping: nobody is let in")
	}
	local := localAddresses()
	var all []target
	for _, p := range w.ports {
		to, here, ok := reach(p.l.Addr(), addresses, local)
		if !ok {
			continue
		}
		for _, s := range p.table.Load().sites {
			all = append(all, target{p, s, to, here})
		}
	}
	slices.SortFunc(all, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.site.cfg.Name, b.site.cfg.Name), cmp.Compare(a.port.address, b.port.address))
	})
	return all, nil
}

// reach says where a listener that takes visitors of one of the addresses can be reached. A wildcard is asked at the loopback
// address, which is always there: this node may not have the others yet.
func reach(bound net.Addr, addresses []netip.Addr, local func(netip.Addr) bool) (to netip.AddrPort, here, ok bool) {
	t, isTCP := bound.(*net.TCPAddr)
	if !isTCP {
		return netip.AddrPort{}, false, false
	}
	own := t.AddrPort()
	at := own.Addr().Unmap().WithZone("")
	for _, a := range addresses {
		a = a.Unmap()
		switch {
		case at == a:
			// Only if it is here: where another node has the address, that node would answer. Link-local ones would need more than
			// an address.
			return netip.AddrPortFrom(a, own.Port()), local(a) && !a.IsLinkLocalUnicast(), true
		case !at.IsUnspecified():
		case a.Is4():
			return netip.AddrPortFrom(loopback().Addr(), own.Port()), true, true
		case at.Is6():
			return netip.AddrPortFrom(netip.IPv6Loopback(), own.Port()), true, true
		}
	}
	return netip.AddrPort{}, false, false
}

// localAddresses returns whether this machine has an address, and looks when it is first asked.
func localAddresses() func(netip.Addr) bool {
	var have map[netip.Addr]bool
	return func(a netip.Addr) bool {
		if have == nil {
			have = map[netip.Addr]bool{}
			list, _ := net.InterfaceAddrs() // without, none is reached by the kernel: the accept path is tried
			for _, l := range list {
				if n, ok := l.(*net.IPNet); ok {
					if ip, ok := netip.AddrFromSlice(n.IP); ok {
						have[ip.Unmap()] = true
					}
				}
			}
		}
		return have[a] || a.Is4() && a.IsLoopback() // all of 127.0.0.0/8
	}
}

// ask asks one block, and judges what comes of it.
func (w *Web) ask(ctx context.Context, t target) error {
	before := w.answered()
	err := w.probe(ctx, t)
	var refused *verdict
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		err = w.probe(ctx, t) // a reload, or an upgrade, may have closed the connection
	}
	if err == nil {
		return nil
	}
	if exhausted(err) {
		select { // the same question needs time to have passed
		case <-time.After(exhaustedTime):
		case <-ctx.Done():
		}
	}
	if (isTimeout(err) || exhausted(err)) && w.answered() != before {
		return nil // others had their answers meanwhile: it was only not our turn
	}
	return fmt.Errorf("http %q on %s: %w", t.site.cfg.Name, t.port.address, err)
}

// exhaustedTime is how long others may take to be answered while we cannot even ask.
const exhaustedTime = 250 * time.Millisecond

// exhausted reports whether this process, or the machine, has no descriptors or no memory left for one more connection.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// answered counts the exchanges that somebody has got an answer of. Probes are not among them.
func (w *Web) answered() (n uint64) {
	for c := range causes {
		switch c {
		case causeClientGone, causeShutdown, causePanic:
		default:
			n += w.stats.Causes[c].Load()
		}
	}
	return n
}

// verdict is what the other end of a probe says is wrong.
type verdict struct{ text string }

func (v *verdict) Error() string { return v.text }
