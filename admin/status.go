package admin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"skein/cluster"
	"skein/pool"
)

// Status is what is known about this node. Its JSON form is the answer of /api/v1/status and of `skein status --json`; fields
// are added to it, never taken away or renamed.
type Status struct {
	Node      string     `json:"node"`
	Region    string     `json:"region,omitempty"`
	Version   string     `json:"version"`
	State     string     `json:"state"` // serving or stopping
	Started   time.Time  `json:"started"`
	Uptime    float64    `json:"uptime_seconds"`
	Config    Config     `json:"config"`
	Reload    Reload     `json:"last_reload"`
	Traffic   Traffic    `json:"traffic"`
	Listeners []Listener `json:"listeners"`
	Pools     []Pool     `json:"pools"`
	Drains    []Drain    `json:"drains"`

	Certificates []Certificate `json:"certificates"`

	VIPs    []VIP    `json:"vips"`
	Speaker *Speaker `json:"speaker,omitempty"` // absent without vips
}

// Config names the configuration in force.
type Config struct {
	File string `json:"file"`
	Hash string `json:"hash"`
}

// Reload is the last time that the configuration was read.
type Reload struct {
	Time  time.Time `json:"time"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
	Hash  string    `json:"hash"` // in force since then
}

// Traffic is what visitors do now, and counters of what they have done since the start.
type Traffic struct {
	Connections int64             `json:"connections"` // open
	Active      int64             `json:"active"`      // requests being answered
	Tunnels     int64             `json:"tunnels"`     // upgraded connections, WebSockets mostly
	Accepted    uint64            `json:"accepted"`    // connections
	Refused     uint64            `json:"refused"`     // connections over a limit
	Requests    uint64            `json:"requests"`
	Retries     uint64            `json:"retries"`
	Causes      map[string]uint64 `json:"causes"`      // how requests ended
	LogDropped  uint64            `json:"log_dropped"` // access log lines that the disk was too slow for
	Sites       []Site            `json:"sites"`

	ScriptErrors    uint64                       `json:"script_errors"`         // requests whose FastCGI script wrote to its standard error
	Handshakes      uint64                       `json:"tls_handshakes"`        // completed, over TCP and QUIC
	Resumed         uint64                       `json:"tls_resumed"`           // of them, those that a session ticket made short
	HandshakeErrors uint64                       `json:"tls_handshake_errors"`  // not completed
	ProxyErrors     uint64                       `json:"proxy_protocol_errors"` // connections without the PROXY header that they should begin with
	Protocols       map[string]map[string]uint64 `json:"protocols"`             // what happened in HTTP/2 (h2) and HTTP/3 (h3): offences and cuts too
}

// Certificate is one certificate that visitors are shown, or that they should be.
type Certificate struct {
	Names    []string   `json:"names"`
	Source   string     `json:"source"`         // file, self-signed, acme or on-demand
	Path     string     `json:"path,omitempty"` // of its file
	Issuer   string     `json:"issuer,omitempty"`
	NotAfter *time.Time `json:"not_after,omitempty"` // nil while there is none
	Renewal  *time.Time `json:"renewal,omitempty"`   // when it is replaced, or the next attempt to
	Error    string     `json:"error,omitempty"`     // of the last attempt, since then none has succeeded
	Staple   string     `json:"ocsp,omitempty"`      // state of the stapled OCSP answer
}

// Site is what visitors have got from one http block.
type Site struct {
	Name     string            `json:"name"`
	Answers  map[string]uint64 `json:"answers"` // by class of status
	Sent     uint64            `json:"sent_bytes"`
	Received uint64            `json:"received_bytes"`
}

// Classes gives counters by class of status their names: the first, of no class, is left out.
func Classes(n [6]uint64) map[string]uint64 {
	m := map[string]uint64{}
	for class := 1; class < len(n); class++ {
		m[strconv.Itoa(class)+"xx"] = n[class]
	}
	return m
}

// Listener is one address that visitors come in by.
type Listener struct {
	Service     string   `json:"service"` // http
	Names       []string `json:"names"`   // of the blocks that share it
	Address     string   `json:"address"`
	Configured  string   `json:"configured"` // as in the file; its port may be 0
	Connections int64    `json:"connections"`
	TLS         bool     `json:"tls"`
	Redirect    bool     `json:"redirect"`            // it only sends visitors on to https
	Protocols   []string `json:"protocols,omitempty"` // http/1.1, h2, h2c, h3 (over UDP at the same address)
}

// Pool is one pool and its members.
type Pool struct {
	Name    string   `json:"name"`
	Policy  string   `json:"policy"`
	Panic   bool     `json:"panic"`   // too few members are healthy: health is ignored
	Spilled bool     `json:"spilled"` // other regions help out
	Queued  int64    `json:"queued"`
	Members []Member `json:"members"`
}

// The states of a member, the strongest first.
const (
	StateDrained  = "drained"  // no new work, and none is left
	StateDraining = "draining" // no new work, some is left
	StateEjected  = "ejected"  // real work failed too often
	StateDown     = "down"     // its check fails
	StateStandby  = "standby"  // fit, but others are preferred: a backup, or a member in another region
	StateUp       = "up"
)

// Member is one server in one pool.
type Member struct {
	Server        string            `json:"server"`
	Address       string            `json:"address"`
	Region        string            `json:"region,omitempty"`
	State         string            `json:"state"`
	Reasons       []string          `json:"reasons,omitempty"` // all that stands against it
	InUse         bool              `json:"in_use"`            // new work may come; in a panic even with reasons
	Backup        bool              `json:"backup,omitempty"`
	Weight        int               `json:"weight"`
	Effective     float64           `json:"effective_weight"` // during a slow start less than weight
	Active        int64             `json:"active"`
	Requests      uint64            `json:"requests"` // tries included
	Connects      uint64            `json:"connects"`
	ConnectErrors uint64            `json:"connect_errors"`
	Errors        uint64            `json:"errors"`
	Retried       uint64            `json:"retried"`
	Answers       map[string]uint64 `json:"answers"` // by class of status
	Sent          uint64            `json:"sent_bytes"`
	Received      uint64            `json:"received_bytes"`
	Ejections     uint64            `json:"ejections"`
	EjectedUntil  time.Time         `json:"ejected_until,omitzero"`
	Check         *Check            `json:"check,omitempty"` // the last one; absent without checks
}

// Check is the last active check of a member.
type Check struct {
	Time     time.Time `json:"time"`
	OK       bool      `json:"ok"`
	Duration float64   `json:"duration_seconds"`
	Text     string    `json:"text"`
}

// Drain is a drain that stands.
type Drain struct {
	cluster.Drain
	Known  bool  `json:"known"`  // the server is in the configuration
	Active int64 `json:"active"` // work that is left on the server
}

func (a *Admin) status(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, a.Status())
}

// Status describes this node now.
func (a *Admin) Status() Status {
	c, set := a.sources.Live()
	s := Status{
		Node: c.Node, Region: c.Region, Version: a.sources.Version, State: "serving",
		Started: a.sources.Started, Uptime: time.Since(a.sources.Started).Seconds(),
		Config: Config{c.File, c.Hash}, Reload: a.sources.LastReload(),
		Pools: []Pool{}, Drains: []Drain{}, VIPs: []VIP{},
	}
	vips := a.sources.VIPs()
	s.VIPs, s.Speaker = append(s.VIPs, vips.VIPs...), vips.Speaker
	s.Traffic, s.Listeners = a.sources.Traffic()
	s.Certificates = a.sources.Certificates()
	if a.sources.Serving() != nil {
		s.State = "stopping"
	}
	active := map[string]int64{}
	for _, p := range set.Pools() {
		d := Pool{Name: p.Name, Policy: p.Config().Policy.Name, Panic: p.Panicking(), Spilled: p.Spilled(), Queued: p.Queued()}
		for _, m := range p.States() {
			d.Members = append(d.Members, a.member(m))
			active[m.Server] += m.Active()
		}
		s.Pools = append(s.Pools, d)
	}
	known := map[string]bool{}
	for _, server := range c.Servers {
		known[server.Name] = true
	}
	for _, d := range a.sources.Drains.List() {
		s.Drains = append(s.Drains, Drain{d, known[d.Server], active[d.Server]})
	}
	return s
}

func (a *Admin) member(m pool.MemberState) Member {
	h := a.sources.Health(m.Member)
	d := Member{
		Server: m.Server, Address: m.Address, Region: m.Region,
		InUse: m.InUse, Backup: m.Backup, Weight: m.Weight, Effective: float64(m.Effective) / 100, Active: m.Active(),
		Requests: m.Stats.Picked.Load(), Connects: m.Stats.Connects.Load(), ConnectErrors: m.Stats.ConnectErrors.Load(),
		Errors: m.Stats.Errors.Load(), Retried: m.Stats.Retried.Load(),
		Sent: m.Stats.Sent.Load(), Received: m.Stats.Received.Load(),
		Ejections: m.Stats.Ejections.Load(), EjectedUntil: h.Until,
	}
	var answers [6]uint64
	for class := range answers {
		answers[class] = m.Stats.Answers[class].Load()
	}
	d.Answers = Classes(answers)
	if h.Checked && !h.Last.Time.IsZero() {
		d.Check = &Check{h.Last.Time, h.Last.OK, h.Last.Duration.Seconds(), h.Last.Text}
	}
	r := m.Reasons()
	d.State = state(r, m.InUse, d.Active)
	if r != 0 {
		d.Reasons = strings.Split(r.String(), ",")
	}
	return d
}

// state is the one word for a member with these reasons against it.
func state(r pool.Reason, inUse bool, active int64) string {
	switch {
	case r&pool.Drained != 0 && active > 0:
		return StateDraining
	case r&pool.Drained != 0:
		return StateDrained
	case r&pool.Ejected != 0:
		return StateEjected
	case r&pool.Unhealthy != 0:
		return StateDown
	case !inUse:
		return StateStandby
	}
	return StateUp
}
