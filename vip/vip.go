// Package vip keeps virtual addresses: addresses that several nodes share and of which one node at a time is the owner (VRRP).
//
// Start at [Vip]: Prepare reads a configuration, Run keeps a speaker alive, and [Vip.HandOver] gives everything to another node
// on purpose. What happens on the wire and to interfaces is done by the speaker, a small process of the same program (package
// vip/speaker), because it must be on time while this process is saturated. This half decides what it shall do:
//
//	plan, links, rank      from the vip blocks to what the speaker is told: interfaces, sources, priorities
//	session, beat, process the speaker's life: started, configured, beaten at, watched, replaced, ended
//	judge, command         how fit this node is: a probe through its own listeners, and check commands
//	router, notify         what each vip's state is and was; the command that is told of its changes
//	handover, leaving      a planned handover, that nobody outside notices
//	upgrade                the same addresses under a newer program
//
// It knows nothing of HTTP: whether this node serves, which connections shall end, and who is drained are functions of others.
// It promises that a speaker never outlives it, that a reload disturbs no address that stays, and that bad health only ranks:
// with nobody better around the addresses stay here.
package vip

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"skein/kernel"
	"skein/vip/speaker"
)

// Options are what a Vip needs of others. Functions that are nil do nothing and find nothing wrong.
type Options struct {
	// Serving proves that visitors of these addresses would be served, through this node's own listeners. Its error names
	// the cause in one line.
	Serving func(ctx context.Context, addresses []netip.Addr) error
	// Drained says whether a server shall have no work.
	Drained func(server string) bool
	// SetLeaving makes every answer on a connection to these addresses the last one there; nil ends it. The list replaces the
	// one before.
	SetLeaving func(addresses []netip.Addr)
	// CloseIdle closes connections to these addresses that wait for a request.
	CloseIdle func(addresses []netip.Addr)
	// Abandon drops connections to these addresses, which another node has now.
	Abandon func(addresses []netip.Addr)
	// Hold makes the kernel ignore new connections to these addresses, so that clients ask again a moment later.
	Hold func(addresses []netip.Addr) (release func(), err error)

	Net     Network
	State   string // directory for what must survive the process
	Program string // of the speaker; it is started with the argument "speak"
}

// Network is what this package needs of [kernel.Net].
type Network interface {
	Links() ([]kernel.Link, error)
	// ConnectionIDs are the kernel's names of all TCP connections with such a local address that have not ended yet.
	ConnectionIDs(local []netip.Addr) ([]uint64, error)
	// Missing are the capabilities that a speaker needs and this process lacks.
	Missing() []string
	// Now is a clock that all processes of this machine share.
	Now() time.Duration
}

// phase is what a Vip may do.
type phase int

const (
	active   phase = iota
	frozen         // another process still owns the addresses: a speaker is started, and told nothing
	released       // another process owns them from now on
)

// Vip is all virtual addresses of this node.
type Vip struct {
	log *slog.Logger
	o   Options

	// What tests replace.
	spawn func() (process, error)
	run   func(ctx context.Context, c command) (string, error)

	leaving *leaving
	wake    chan struct{}                           // to supervise: plan or phase have changed
	urgent  chan struct{}                           // to the beats: a rank has changed
	ranks   atomic.Pointer[map[string]speaker.Rank] // what the next beat says
	beats   beats                                   // how late they were
	judges  sync.WaitGroup                          // probes and checks
	notes   sync.WaitGroup                          // notify commands
	works   sync.WaitGroup                          // handovers

	mu      sync.Mutex // guards what follows
	phase   phase
	plan    *plan // that is wanted; never nil
	routers map[string]*router
	groups  map[string]*group
	session *session // with the speaker that runs; nil without
	speaker SpeakerStatus
	ctx     context.Context // of Run; nil while it does not run
	warm    chan struct{}   // closed when a speaker has said something for the first time
	// leftovers is that addresses of a process that was killed may be on the interfaces.
	leftovers bool
	stopping  bool    // the process ends soon: everything is handed over
	resume    *handed // what the elder has released, until it was told to a speaker
}

// New returns a Vip that does nothing before Prepare and Run.
func New(log *slog.Logger, o Options) *Vip {
	if o.Serving == nil {
		o.Serving = func(context.Context, []netip.Addr) error { return nil }
	}
	if o.Drained == nil {
		o.Drained = func(string) bool { return false }
	}
	if o.SetLeaving == nil {
		o.SetLeaving = func([]netip.Addr) {}
	}
	if o.CloseIdle == nil {
		o.CloseIdle = func([]netip.Addr) {}
	}
	if o.Abandon == nil {
		o.Abandon = func([]netip.Addr) {}
	}
	if o.Hold == nil {
		o.Hold = func([]netip.Addr) (func(), error) { return func() {}, nil }
	}
	v := &Vip{
		log: log, o: o, run: runCommand,
		leaving: &leaving{tell: o.SetLeaving, of: map[string][]netip.Addr{}},
		wake:    make(chan struct{}, 1), warm: make(chan struct{}), urgent: make(chan struct{}, 1),
		plan: &plan{}, routers: map[string]*router{}, groups: map[string]*group{},
	}
	v.spawn = func() (process, error) { return startProcess(o.Program) }
	v.ranks.Store(&map[string]speaker.Rank{})
	return v
}

// Run keeps a speaker alive while there are vips, judges this node, and hands over when it is drained, until ctx ends. Then the
// addresses are given up at once; [Vip.HandOver] does it politely, before.
func (v *Vip) Run(ctx context.Context) error {
	v.mu.Lock()
	v.ctx = ctx
	v.mu.Unlock()
	v.remember()
	var own sync.WaitGroup
	own.Go(func() { v.rateAll(ctx) })
	v.supervise(ctx)
	own.Wait()
	v.mu.Lock()
	v.ctx = nil
	over := v.phase == released
	all := v.routers
	for _, r := range all {
		r.stopJudges()
	}
	v.mu.Unlock()
	v.works.Wait()
	v.judges.Wait()
	if !over {
		for _, r := range all {
			r.notifier.last()
		}
	}
	v.notes.Wait()
	return nil
}

// commit makes p what is wanted. It only changes memory; supervise tells the speaker.
func (v *Vip) commit(p *plan) {
	v.mu.Lock()
	v.plan = p
	kept := map[string]*router{}
	groups := map[string]*group{}
	for _, w := range p.vips {
		r := v.routers[w.c.Name]
		if r == nil {
			r = v.newRouter(w)
		}
		r.take(w)
		kept[w.c.Name] = r
		g := groups[w.group]
		if g == nil {
			if g = v.groups[w.group]; g == nil {
				g = &group{name: w.group}
			}
			g.routers = nil
			groups[w.group] = g
		}
		g.routers = append(g.routers, r)
		r.group = g
	}
	for name, r := range v.routers {
		if kept[name] == nil {
			r.leave("it was taken out of the configuration")
		}
	}
	for name, g := range v.groups {
		if groups[name] != nil {
			continue
		}
		if g.handover != nil {
			g.handover.cancel() // its end does the rest
		} else {
			v.leaving.set(name, nil)
		}
	}
	v.routers, v.groups = kept, groups
	v.rate()
	v.mu.Unlock()
	v.poke()
}

// poke makes supervise look.
func (v *Vip) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// pause waits for d; it returns false if ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
