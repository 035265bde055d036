package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/config"
	"skein/pool"
	"skein/web/http1"
)

// A proof is that a member of a pool can be reached, the way that visitors' requests reach it: one that the policy picks, by a
// new connection. With a check of http or https that is for the same port the check's request is sent, and then it may be a
// connection that rests there. What the members say to it is reported to health as for any other request; that we have given up waiting is not.

const (
	// proofTime bounds a proof if it is not known how much time who asks has.
	proofTime = time.Second
	// proofFresh is how long a proof is good for others who ask: a pool may have many blocks, and they many addresses.
	proofFresh = 250 * time.Millisecond
	// proofTries is how many members are tried, as long as there is time.
	proofTries = 3
)

// errNoProof is a proof that has not come in time.
var errNoProof = errors.New("no answer in time")

// proofs are those that run and those that are fresh.
type proofs struct {
	mu sync.Mutex // guards of
	of map[*pool.Pool]*proof
}

type proof struct {
	began time.Time
	ended chan struct{}
	err   error // when ended is closed
}

// over reports whether the proof has come to an end that nobody new should hear of. Called with the proofs' mu held.
func (f *proof) over(now time.Time) bool {
	select {
	case <-f.ended:
		return now.Sub(f.began) > proofFresh
	default:
		return false
	}
}

// proveSite returns why a block does not serve: the first of its pools that has no member to answer. It is called within an
// exchange, or a probe.
func (w *Web) proveSite(s *site, t *table, own *probe) error {
	limit := proofTime
	if own != nil {
		limit = time.Until(own.until) * 3 / 4 // so that the verdict gets there
	}
	routes := s.pools()
	found := make([]error, len(routes))
	var all sync.WaitGroup
	for i, r := range routes {
		all.Go(func() { found[i] = w.provePool(s, t, r, limit) })
	}
	all.Wait()
	for i, err := range found {
		if err != nil {
			return fmt.Errorf("pool %q: %w", routes[i].pool.Name, err)
		}
	}
	return nil
}

// pools are routes to all pools of a block, one to each, in the order of their names. A block that only has files, or that
// sends visitors elsewhere, has none.
func (s *site) pools() (routes []*route) {
	add := func(r *route) {
		if r != nil && r.pool != nil && !slices.ContainsFunc(routes, func(o *route) bool { return o.pool == r.pool }) {
			routes = append(routes, r)
		}
	}
	add(s.other)
	for _, m := range []map[string][]*route{s.exact, s.prefix} {
		for _, rs := range m {
			for _, r := range rs {
				add(r)
			}
		}
	}
	slices.SortFunc(routes, func(a, b *route) int { return strings.Compare(a.pool.Name, b.pool.Name) })
	return routes
}

// provePool returns why no member of a route's pool can be reached. Others may wait for the same proof.
func (w *Web) provePool(s *site, t *table, r *route, limit time.Duration) error {
	before := answersOf(r.pool)
	f := w.proofFor(s, t, r, limit)
	late := time.NewTimer(limit)
	defer late.Stop()
	err := errNoProof
	select {
	case <-f.ended:
		err = f.err
	case <-late.C:
	}
	if errors.Is(err, errNoProof) && answersOf(r.pool) != before {
		return nil // visitors had their answers meanwhile
	}
	return err
}

// proofFor returns the proof that there is, or begins one.
func (w *Web) proofFor(s *site, t *table, r *route, limit time.Duration) *proof {
	ps := &w.probes.proofs
	now := time.Now()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if f := ps.of[r.pool]; f != nil && !f.over(now) {
		return f
	}
	if ps.of == nil {
		ps.of = map[*pool.Pool]*proof{}
	}
	for p, f := range ps.of { // of pools that a reload has taken away, too
		if f.over(now) {
			delete(ps.of, p)
		}
	}
	f := &proof{began: now, ended: make(chan struct{})}
	ps.of[r.pool] = f
	w.conns.Add(1) // the connection that asks is one of them, so that nobody waits for their end yet
	go func() {
		defer w.conns.Done()
		defer close(f.ended)
		f.err = w.reachMember(s, t, r, limit)
	}()
	return f
}

// answersOf counts the answers of a pool's members that were no failures.
func answersOf(p *pool.Pool) (n uint64) {
	for _, m := range p.Members() {
		for class := 1; class < 5; class++ {
			n += m.Stats.Answers[class].Load()
		}
	}
	return n
}

// reachMember tries members until one is reached.
func (w *Web) reachMember(s *site, t *table, r *route, limit time.Duration) (err error) {
	k := w.works.Get().(*work)
	x := &exchange{}
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("a probe made skein panic", "panic", p, "pool", r.pool.Name, "stack", string(debug.Stack()))
			w.salvage(x)
			err = fmt.Errorf("panic: %v", p)
			return // the buffers may still be in use
		}
		k.req.Reset()
		if len(k.buf) == bufferSize && len(k.ans) == bufferSize {
			w.works.Put(k)
		}
	}()
	cfg := r.pool.Config()
	until := time.Now().Add(limit)
	var tried pool.Mask
	err = pool.ErrNone
	for range proofTries {
		left := time.Until(until)
		if left <= 0 {
			return errNoProof
		}
		// Half of what is left, so that there is time for another one.
		err2 := w.tryMember(x, k, s, t, r, cfg, &tried, left/2)
		switch {
		case err2 == nil:
			return nil
		case errors.Is(err2, pool.ErrNone) && tried.Len() > 0:
			return err // that of the last one that was tried
		case errors.Is(err2, pool.ErrNone):
			return err2
		case errors.Is(err2, pool.ErrQueueFull), errors.Is(err2, pool.ErrQueueTimeout), errors.Is(err2, pool.ErrCanceled):
			return nil // full is not dead
		case exhausted(err2):
			return nil // nor are we, and the member has no part in it
		}
		err = err2
	}
	return err
}

// tryMember asks one member, or connects to it.
func (w *Web) tryMember(x *exchange, k *work, s *site, t *table, r *route, cfg *config.Pool, tried *pool.Mask, limit time.Duration) error {
	if asksHTTP(cfg) {
		limit = min(limit, cfg.Check.Timeout) // who takes longer is not healthy anyway
	}
	visitor := &client{}
	visitor.is(loopback())
	*x = exchange{
		method: http.MethodGet, scheme: "http", path: []byte("/"), proto: "HTTP/1.1", client: visitor, guard: &guard{},
		work: k, table: t, site: s, hops: &k.asked,
		route:  &route{cfg: &config.Route{Pos: r.cfg.Pos, Path: "/"}, pool: r.pool, dial: r.dial},
		fields: []Field{{Name: []byte("User-Agent"), Value: []byte(agent), ID: http1.UserAgent}, {Name: []byte("Accept"), Value: []byte("*/*"), ID: http1.Lookup([]byte("Accept"))}},
	}
	*x.hops = hops{}
	x.to = &unheard{x}
	x.line.start, x.line.visitor = time.Now(), visitor.addr
	giveUp := time.AfterFunc(limit, x.guard.left) // as a visitor who leaves: that is nobody's fault
	defer giveUp.Stop()
	m, err := w.acquire(x, r.pool, x.key(cfg.Policy), nil, tried)
	if err != nil {
		return err
	}
	tried.Add(m)
	x.line.member, x.held = m, m
	defer func() {
		x.held = nil
		r.pool.Release(m)
	}()
	who := "member " + m.Address
	if m.Server != m.Address { // one that the pool names by its address has no other name
		who = fmt.Sprintf("member %s (%s)", m.Server, m.Address)
	}
	// First the connection alone: a member that does not answer to that in our time may have more of it for others.
	if err := w.touch(x, m, cfg, limit, !asksHTTP(cfg)); errors.Is(err, errBusy) {
		return nil // it works as much as it likes to
	} else if err != nil {
		if isTimeout(err) {
			err = errNoProof
		}
		return fmt.Errorf("%s: connect: %w", who, sysError(err))
	}
	if !asksHTTP(cfg) {
		return nil
	}
	x.path, x.authority = []byte(cfg.Check.Path), []byte(authorityOf(cfg.Check, m))
	if i := strings.IndexByte(cfg.Check.Path, '?'); i >= 0 {
		x.path, x.query = x.path[:i], x.path[i+1:]
	}
	failed := w.try(x, r.pool, m, cfg, nil)
	switch {
	case failed != nil && failed.cause == causeQueueTimeout:
		return nil
	case failed != nil && x.guard.hasLeft():
		return fmt.Errorf("%s: %w", who, errNoProof)
	case failed != nil:
		return fmt.Errorf("%s: %s", who, failed.cause)
	}
	status := x.line.status
	for _, good := range cfg.Check.StatusFrom {
		if good.From <= status && status <= good.To {
			return nil
		}
	}
	return fmt.Errorf("%s: status %d to %s", who, status, cfg.Check.Path)
}

// asksHTTP reports whether the pool's check is a request that its members take by the way of visitors' requests: a port of its
// own is another program's, and so may be another scheme.
func asksHTTP(c *config.Pool) bool {
	return c.Check != nil && c.Check.Kind != "tcp" && c.Check.Port == 0 && c.Protocol != "fastcgi" && (c.Check.Kind == "https") == (c.TLS != nil)
}

// authorityOf is the Host of a check, as health sends it (RFC 9110 section 7.2: without the scheme's own port).
func authorityOf(c *config.Check, m *pool.Member) string {
	if c.Host != "" {
		return c.Host
	}
	if m.Network == "unix" {
		return "localhost"
	}
	_, port, err := net.SplitHostPort(m.Address)
	if err == nil && (c.Kind == "http" && port == "80" || c.Kind == "https" && port == "443") {
		return strings.TrimSuffix(m.Address, ":"+port)
	}
	return m.Address
}

// touch has a connection to m. If nothing is said on it afterwards it must be a new one: one that rests looks well, too, while the
// network to the member loses everything.
func (w *Web) touch(x *exchange, m *pool.Member, cfg *config.Pool, limit time.Duration, mute bool) error {
	limit = min(limit, cfg.Timeouts.Connect)
	for fresh := mute; ; fresh = true {
		u, err := w.connect(x, m, fresh, limit)
		if err != nil {
			return err
		}
		switch {
		case u.stream != nil:
			u.close() // nothing was said on it
			return nil
		case u.reused && !u.usable():
			u.close()
			continue
		case mute:
			u.close() // one would rest beside another, as each question makes one
			return nil
		}
		u.r, u.w = 0, 0
		w.rest(u, cfg.KeepAlive)
		return nil
	}
}

// unheard takes an answer that nobody reads.
type unheard struct{ x *exchange }

func (u *unheard) interim(int, []Field) error { return nil }
func (u *unheard) begin(a *answer) error      { u.x.line.status = a.status; return nil }
func (u *unheard) write([]byte) error         { return nil }
func (u *unheard) flush() error               { return nil }
func (u *unheard) end([]Field) error          { return nil }
func (u *unheard) abort()                     {}
