package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"skein/admin"
	"skein/cert"
	"skein/cluster"
	"skein/config"
	"skein/health"
	"skein/kernel"
	"skein/pool"
	"skein/vip"
	"skein/web"
)

// part is one entry of the list of services.
type part struct {
	name    string
	service Service
}

// parts is everything that runs, and the few functions that the engine itself calls.
type parts struct {
	// support helps those that serve visitors and stops after them.
	support []part
	// services serve visitors. At a stop they finish what they have begun.
	services []part
	drained  func(server string) bool
	reopen   func() error
	// handOver gives the virtual addresses of this node to another one, before a stop.
	handOver func(context.Context)
	// Of an upgrade: what the heir must have before it is ready; the end of the elder's admin API, and of its writing of state;
	// and the heir's first reading of it.
	warm   func(context.Context) error
	letGo  func()
	freeze func()
	thaw   func() error
}

// all is the order in which parts prepare and commit: what is known of members comes before those who use them.
func (p *parts) all() []part { return append(append([]part(nil), p.support...), p.services...) }

// wire is THE list of services. Services never import each other: whatever one needs of another is handed over here, so that
// reading this function shows all that is connected.
func (e *Engine) wire(c *config.Config) (parts, error) {
	drains, err := cluster.Open(c.State, e.log)
	if err != nil {
		return parts{}, fmt.Errorf("state %s: %w", c.State, err)
	}
	monitor := health.New(e.log, nil)
	certificates := cert.New(e.log, cert.Options{})
	sites := web.New(e.log, web.Options{
		Sockets: e.sockets,
		Health:  monitor, // hears what happens to real work
		Stdout:  e.o.Access,
		Plain:   e.o.Plain,

		TLS:       certificates.Front,
		Challenge: certificates.Challenge,
	})
	addresses := vip.New(e.log, vip.Options{
		Serving:    sites.Serving,
		Drained:    drains.Drained,
		SetLeaving: sites.SetLeaving,
		CloseIdle:  sites.CloseIdle,
		Abandon:    sites.Abandon,
		Hold:       e.sockets.Hold,
		Net:        kernel.New(),
		State:      c.State,
		Program:    "/proc/self/exe", // whatever was installed in its place since
	})
	control := admin.New(e.log, admin.Sources{
		Version:      e.o.Version,
		Listen:       e.sockets.Listen,
		Started:      e.started,
		Live:         func() (*config.Config, *pool.Set) { l := e.live.Load(); return l.config, l.set },
		Serving:      e.Serving,
		Reload:       e.Reload,
		LastReload:   func() admin.Reload { return *e.last.Load() },
		Health:       monitor.Status,
		Drains:       drains,
		Certificates: func() []admin.Certificate { return certificatesOf(certificates.Status()) },
		VIPs:         func() admin.VIPs { return vipsOf(addresses.Status()) },
		Traffic:      func() (admin.Traffic, []admin.Listener) { return traffic(sites.Status(), e.Config()) },
	})
	return parts{
		support: []part{
			{"drains", applied{drains.Apply, drains.Run}},
			{"health", applied{monitor.Apply, monitor.Run}},
			{"certificates", certificates},
			{"admin", control},
		},
		services: []part{
			{"web", sites},
			{"vip", addresses}, // after those whose sockets its addresses need
		},
		drained:  drains.Drained,
		reopen:   sites.Reopen,
		handOver: addresses.HandOver,
		letGo:    control.LetGo,
		warm:     addresses.Ready,
		freeze: func() {
			drains.Freeze()
			addresses.Freeze() // last: from now on nobody speaks for them
		},
		thaw: func() error {
			return errors.Join(addresses.Thaw(), drains.Thaw()) // first, for the same reason
		},
	}, nil
}

// applied makes a Service of a part whose configuration cannot fail.
type applied struct {
	apply func(*pool.Set)
	run   func(context.Context) error
}

// Prepare implements [Service].
func (a applied) Prepare(_ context.Context, _ *config.Config, p *pool.Set) (commit, discard func(), err error) {
	return func() { a.apply(p) }, func() {}, nil
}

// Run implements [Service].
func (a applied) Run(ctx context.Context) error { return a.run(ctx) }

// Serving says why this node takes no visitors; nil if it does.
func (e *Engine) Serving() error {
	if !e.serving.Load() {
		return errors.New("not serving: starting or stopping")
	}
	return nil
}

// traffic says in admin's words what web knows.
func traffic(w web.Status, c *config.Config) (admin.Traffic, []admin.Listener) {
	t := admin.Traffic{
		Connections: w.Connections, Active: w.InFlight, Tunnels: w.Tunnels, Accepted: w.Accepted, Refused: w.Refused,
		Requests: w.Requests, Retries: w.Retries, Causes: w.Causes, LogDropped: w.LogDropped, Sites: []admin.Site{},
		ScriptErrors: w.ScriptErrors, Handshakes: w.Handshakes, Resumed: w.Resumed, HandshakeErrors: w.HandshakeErrors,
		ProxyErrors: w.ProxyErrors, Protocols: w.Protocols,
	}
	for _, s := range w.Sites {
		t.Sites = append(t.Sites, admin.Site{Name: s.Name, Answers: admin.Classes(s.Answers), Sent: s.Sent, Received: s.Received})
	}
	slices.SortFunc(t.Sites, func(a, b admin.Site) int { return strings.Compare(a.Name, b.Name) })
	listeners := []admin.Listener{}
	for _, l := range w.Listeners {
		d := admin.Listener{Service: "http", Names: []string{}, Address: l.Bound, Configured: l.Address, Connections: l.Connections}
		for _, h := range c.HTTP {
			redirect := slices.Contains(h.Redirect, l.Address)
			if !redirect && !slices.Contains(h.Listen, l.Address) {
				continue
			}
			d.Names = append(d.Names, h.Name)
			d.Redirect = redirect // an address is one or the other, and blocks that share it agree about the rest
			if !redirect {
				d.TLS, d.Protocols = h.TLS != nil, h.Protocols
			}
		}
		listeners = append(listeners, d)
	}
	slices.SortFunc(listeners, func(a, b admin.Listener) int { return strings.Compare(a.Address, b.Address) })
	return t, listeners
}

// certificatesOf says in admin's words what cert knows.
func certificatesOf(all []cert.Status) []admin.Certificate {
	list := make([]admin.Certificate, 0, len(all))
	moment := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	for _, c := range all {
		list = append(list, admin.Certificate{
			Names: c.Names, Source: c.Source, Path: c.Path, Issuer: c.Issuer, NotAfter: moment(c.NotAfter), Renewal: moment(c.Renewal),
			Error: c.Error, Staple: c.Staple,
		})
	}
	return list
}
