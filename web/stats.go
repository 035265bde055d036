package web

import (
	"sync/atomic"
	"time"

	"skein/web/http2"
	"skein/web/http3"
)

// Stats are the counters of the whole service. Those in the first group go up and down.
type Stats struct {
	Connections, InFlight, Tunnels atomic.Int64
	QUICConnections                atomic.Int64 // among Connections

	Accepted, Refused, AcceptErrors atomic.Uint64
	Requests, Retries               atomic.Uint64
	Causes                          [causes]atomic.Uint64

	Handshakes, Resumed, HandshakeErrors atomic.Uint64 // TLS with clients; Resumed are among Handshakes
	HTTP2                                http2.Stats
	HTTP3                                http3.Stats
	QUICHandshakeErrors                  atomic.Uint64 // also clients that went away; those that were completed are in Handshakes
	QUICRetries                          atomic.Uint64 // clients that had to show that their address is their own
	QUICRefused                          atomic.Uint64 // handshakes for which there was no room
	ProxyErrors                          atomic.Uint64 // connections without the PROXY header that they should begin with
	ScriptErrors                         atomic.Uint64 // requests whose script wrote to its standard error
}

// SiteStats are the counters of one http block. They live on across reloads by the block's name.
type SiteStats struct {
	Answers        [6]atomic.Uint64 // by class of status: [2] is 2xx
	Sent, Received atomic.Uint64    // body bytes to and from clients
}

// Status is what a status page says of the service.
type Status struct {
	Connections int64             `json:"connections"`
	InFlight    int64             `json:"in_flight"`
	Tunnels     int64             `json:"tunnels"`
	Accepted    uint64            `json:"accepted"`
	Refused     uint64            `json:"refused"`
	Requests    uint64            `json:"requests"`
	Retries     uint64            `json:"retries"`
	Listeners   []ListenerStatus  `json:"listeners"`
	Sites       []SiteStatus      `json:"sites"`
	Causes      map[string]uint64 `json:"causes"` // how exchanges ended
	LogDropped  uint64            `json:"log_dropped"`

	ScriptErrors uint64 `json:"script_errors"` // requests whose FastCGI script wrote to its standard error

	Handshakes      uint64                       `json:"handshakes"`       // TLS with clients, over TCP and QUIC
	Resumed         uint64                       `json:"resumed"`          // of them, those that a session ticket made short
	HandshakeErrors uint64                       `json:"handshake_errors"` // not completed
	ProxyErrors     uint64                       `json:"proxy_errors"`     // connections without the PROXY header that they should begin with
	Protocols       map[string]map[string]uint64 `json:"protocols"`        // what happened, by protocol (h2, h3): offences and cuts too
}

// ListenerStatus is one listening address.
type ListenerStatus struct {
	Address     string `json:"address"`
	Bound       string `json:"bound"` // the real address, where the configured port is 0
	Connections int64  `json:"connections"`
}

// SiteStatus is one http block.
type SiteStatus struct {
	Name     string    `json:"name"`
	Answers  [6]uint64 `json:"answers"` // by class of status; the first is unused
	Sent     uint64    `json:"sent"`
	Received uint64    `json:"received"`
}

// finish counts and logs an exchange that has ended.
func (w *Web) finish(x *exchange) {
	r := &x.line
	w.stats.Causes[r.cause].Add(1)
	if x.site != nil {
		s := x.site.stats
		s.Answers[min(5, r.status/100)].Add(1)
		s.Sent.Add(uint64(r.sent))
		s.Received.Add(uint64(r.received))
	}
	if l := w.access.Load(); l.format != "off" {
		l.add(x, time.Since(r.start))
	}
}

// Status reads the counters.
func (w *Web) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Status{
		Connections: w.stats.Connections.Load(), InFlight: w.stats.InFlight.Load(), Tunnels: w.stats.Tunnels.Load(),
		Accepted: w.stats.Accepted.Load(), Refused: w.stats.Refused.Load(),
		Requests: w.stats.Requests.Load(), Retries: w.stats.Retries.Load(),
		Causes: map[string]uint64{}, LogDropped: w.access.Load().dropped.Load(),
		ScriptErrors: w.stats.ScriptErrors.Load(),
		Handshakes:   w.stats.Handshakes.Load(), Resumed: w.stats.Resumed.Load(),
		HandshakeErrors: w.stats.HandshakeErrors.Load() + w.stats.QUICHandshakeErrors.Load(),
		ProxyErrors:     w.stats.ProxyErrors.Load(),
		Protocols:       map[string]map[string]uint64{"h2": w.stats.HTTP2.Counts(), "h3": w.stats.HTTP3.Counts()},
	}
	s.Protocols["h3"]["address_checks"] = w.stats.QUICRetries.Load()
	s.Protocols["h3"]["handshakes_refused"] = w.stats.QUICRefused.Load()
	for c := range causes {
		s.Causes[c.String()] = w.stats.Causes[c].Load()
	}
	seen := map[string]bool{}
	for _, p := range w.ports {
		s.Listeners = append(s.Listeners, ListenerStatus{p.address, p.l.Addr().String(), p.open.Load()})
		for _, site := range p.table.Load().sites {
			if seen[site.cfg.Name] {
				continue
			}
			seen[site.cfg.Name] = true
			st := SiteStatus{Name: site.cfg.Name, Sent: site.stats.Sent.Load(), Received: site.stats.Received.Load()}
			for i := range st.Answers {
				st.Answers[i] = site.stats.Answers[i].Load()
			}
			s.Sites = append(s.Sites, st)
		}
	}
	return s
}
