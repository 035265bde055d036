// Package cert holds every certificate that listeners show: from files, self-signed, and from a CA by ACME (RFC 8555).
//
// Start at [Store]: Prepare reads a configuration, Run keeps certificates fresh, and [Store.Front] is what a listener speaks
// TLS with. front chooses a certificate for a handshake; files, selfsigned and managed are the three sources; tickets makes
// the keys of sessions, staple the OCSP answers. The conversation with a CA is in issuer, what proves to it that a name is
// ours in challenge and dns, our account there in account, and when to have it in keeper.
//
// It opens no sockets: whoever listens asks [Store.Front] and [Store.Challenge]. It promises that neither a CA nor a broken
// file takes down what is already served: the last good certificate stays, even an expired one.
package cert

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"

	"skein/config"
	"skein/pool"
)

// Options are what a Store needs of others; the zero value is one node on its own.
type Options struct {
	Storage certmagic.Storage // what nodes share: accounts, certificates, challenges, locks; nil is files in acme.storage
	DNS     DNSProvider       // publishes DNS-01 records; nil is the command of the acme block
	Now     func() time.Time  // the clock that certificates, renewals and ticket keys are judged by; nil is time.Now
}

// Store is all certificates of a node.
type Store struct {
	log     *slog.Logger
	options Options
	tickets *tickets
	fetch   *fetcher
	told    told
	retry   retry

	mu     sync.Mutex // guards what follows; handshakes never take it
	fronts map[string]*front
	files  map[fileKey]*file
	signed map[string]*signed
	ca     *authority // nil without an acme block
	names  map[string]*managed

	live       atomic.Pointer[acmeLive] // what handshakes see of ca and names
	demand     *demand
	challenges challenges
	poke       chan struct{} // wakes the keeper: there may be work
}

// New returns a Store that does nothing before Prepare and Run.
func New(log *slog.Logger, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{
		log:     log,
		options: o,
		tickets: newTickets(o.Now),
		fetch:   newFetcher(),
		told:    told{last: map[string]time.Time{}},
		retry:   standardRetry(),
		fronts:  map[string]*front{},
		files:   map[fileKey]*file{},
		signed:  map[string]*signed{},
		names:   map[string]*managed{},
		demand:  newDemand(),
		poke:    make(chan struct{}, 1),
	}
}

// next is a configuration that is prepared and not yet live.
type next struct {
	tables map[string]*table // by address
	files  map[fileKey]*file
	read   map[*file]*pair // what each file holds now
	signed map[string]*signed
	ca     *authority
	names  map[string]*managed
	rules  rules
}

// Prepare loads and checks everything that c's listeners with TLS need. A file that cannot be read, or does not hold what it
// should, is an error; a CA that cannot be reached is none, since its certificates may come later.
func (s *Store) Prepare(ctx context.Context, c *config.Config, _ *pool.Set) (commit, discard func(), err error) {
	n := &next{
		tables: map[string]*table{}, files: map[fileKey]*file{}, read: map[*file]*pair{},
		signed: map[string]*signed{}, names: map[string]*managed{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.ca, err = s.nextAuthority(c); err != nil {
		return nil, nil, err
	}
	n.rules = rulesOf(c)
	for _, h := range c.HTTP {
		if h.TLS == nil {
			continue
		}
		for _, address := range h.Listen {
			if err := s.prepareBlock(n, h, address); err != nil {
				return nil, nil, fmt.Errorf("%s:%d: http %q: %w", h.Pos.File, h.Pos.Line, h.Name, err)
			}
		}
	}
	for _, t := range n.tables {
		t.finish(s)
	}
	s.loadManaged(ctx, n)
	return func() { s.commit(n) }, func() {}, nil
}

// prepareBlock adds what one block says to the table of one of its addresses.
func (s *Store) prepareBlock(n *next, h *config.HTTP, address string) error {
	t := n.tables[address]
	if t == nil {
		t = newTable(address, h.TLS)
		n.tables[address] = t
	}
	b := &block{hosts: h.Hosts}
	for _, f := range h.TLS.Certificates {
		e, err := s.prepareFile(n, f)
		if err != nil {
			return err
		}
		b.entries = append(b.entries, e)
	}
	if h.TLS.SelfSigned {
		e, err := s.prepareSigned(n, h.Hosts, address)
		if err != nil {
			return err
		}
		b.entries = append(b.entries, e)
	}
	if h.TLS.ACME {
		if err := s.prepareManaged(n, h, b); err != nil {
			return err
		}
	}
	return t.add(b, h)
}

// commit makes n live. It only swaps pointers.
func (s *Store) commit(n *next) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f, read := range n.read {
		f.take(read)
	}
	if s.ca != nil && s.ca != n.ca {
		s.ca.client.HTTPClient.CloseIdleConnections()
	}
	s.files, s.signed, s.names, s.ca = n.files, n.signed, n.names, n.ca
	s.live.Store(&acmeLive{ca: n.ca, names: n.names, rules: n.rules})
	for _, m := range n.names {
		m.soon()
	}
	for address, t := range n.tables {
		f := s.fronts[address]
		if f == nil {
			f = newFront(t.protocols)
			s.fronts[address] = f
		}
		f.table.Store(t)
	}
	for address, f := range s.fronts {
		if n.tables[address] == nil {
			f.table.Store(nil)
			delete(s.fronts, address)
		}
	}
	s.rotate() // the tables were made a moment ago: keys may have changed since
	s.wake()
}

// wake makes the keeper look for work.
func (s *Store) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run watches files, obtains and renews certificates, staples, and rotates the keys of session tickets, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	var own sync.WaitGroup
	own.Go(func() { s.watch(ctx) })
	own.Go(func() { s.keep(ctx) })
	own.Go(func() { s.stapling(ctx) })
	every(ctx, time.Minute, s.tick)
	own.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ca != nil {
		s.ca.client.HTTPClient.CloseIdleConnections()
	}
	return nil
}

// tick is the work that only the clock asks for; it costs nothing when there is none.
func (s *Store) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate()
	for _, e := range s.signed {
		if err := e.refresh(s.options.Now()); err != nil {
			s.log.Warn("self-signed certificate was not renewed", "hosts", e.hosts, "error", err)
		}
	}
	s.told.forget(s.options.Now())
}

// rotate gives every listener the ticket keys of this moment. mu is held.
func (s *Store) rotate() {
	for _, f := range s.fronts {
		if t := f.table.Load(); t != nil {
			s.tickets.set(t)
		}
	}
}

// entries is every certificate that is configured, and those made on demand. mu is held.
func (s *Store) entries() []entry {
	var all []entry
	for _, k := range slices.SortedFunc(maps.Keys(s.files), fileKey.compare) {
		all = append(all, s.files[k])
	}
	for _, k := range slices.Sorted(maps.Keys(s.signed)) {
		all = append(all, s.signed[k])
	}
	for _, m := range s.allManaged() {
		all = append(all, m)
	}
	return all
}

// every calls f again and again until ctx ends.
func every(ctx context.Context, period time.Duration, f func()) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f()
		}
	}
}
