// Package config turns a skein.hcl (or its JSON twin) into one immutable [Config]. It is the only package that knows HCL;
// everybody else sees the plain structs of this file and its neighbours, with every default filled in and every reference
// resolved.
//
// Start at [Load]. One file describes one block: pool.go, http.go, admin.go and so on.
//
// It promises to report every mistake of a file at once, each with its place, and never to accept a key that does nothing.
// It opens no sockets and reads nothing but the files that the configuration names.
package config

import "time"

// Config is one file as this node understands it. It is never changed after Load.
type Config struct {
	File    string   // as given to Load
	Hash    string   // hex SHA-256 over the file and every file that it includes by value; equal hashes mean an equal configuration
	Node    string   // this node's name; "" if the file has no placement and nothing matched
	Region  string   // this node's region; "" if it has none
	State   string   // directory for what must survive a restart (drains)
	Regions []Region // in the order of the file
	Servers []*Server
	Pools   []*Pool // the named ones and those that an http block made by `servers`
	HTTP    []*HTTP // only the blocks placed on this node
	Admin   Admin
	Log     Log
}

// Region is a place with servers.
type Region struct {
	Name string
}

// Server is a machine that does work. A server that was written as a string has that string as its name.
type Server struct {
	Name   string
	Host   string // IP address or host name, without brackets
	Port   int    // 0 if only the pool knows it
	Region string // "" without one
	Weight int    // 1 - 1000, the default in every pool
}

// Log is the log block.
type Log struct {
	Level      string // debug, info, warn, error
	Format     string // text, json
	Access     string // json, combined, off
	AccessFile string // "" is standard output
}

// Admin is the admin block.
type Admin struct {
	Socket string // path of the unix socket; always set
	Listen string // loopback host:port of the HTTP listener; "" is none
	Pprof  bool
}

// Pos is a place in a file, for errors that only show when a block is prepared (a port in use).
type Pos struct {
	File string
	Line int
}

// Pool is servers that can do the same work.
type Pool struct {
	Name    string
	Pos     Pos
	Members []Member
	Policy  Policy

	MaxConns     int           // requests at once to one member; 0 is unlimited
	Queue        int           // requests that may wait for a member with room
	QueueTimeout time.Duration // how long each may wait
	SlowStart    time.Duration // weight and MaxConns rise over this time after a recovery; 0 is off
	Panic        float64       // 0 - 1: when a smaller share of the members that are not drained is healthy, health is ignored
	LocalFirst   bool          // prefer members of this node's region
	Spill        float64       // 0 - 1: other regions help when a smaller share of the own region's members is healthy
	Sticky       *Sticky       // nil is off
	Check        *Check        // nil is none
	Eject        Eject
	Retry        Retry
	Timeouts     PoolTimeouts
	KeepAlive    int // idle connections kept to one member
}

// Member is one server in one pool.
type Member struct {
	Server *Server
	Port   int
	Weight int // 1 - 1000
	Backup bool
}

// Policy is the chosen algorithm and its settings.
type Policy struct {
	Name    string  // one of the policy list's names
	Key     HashKey // what hash and maglev hash; ip_hash always hashes the client
	Bounded float64 // hash only: a member may have this times the average load, above 1; 0 is off
}

// HashKey says what of a request is hashed.
type HashKey struct {
	Kind string // client, uri, host, header, cookie, query
	Name string // of the header, cookie or query parameter
}

// Sticky sends a visitor back to the member that answered first.
type Sticky struct {
	Cookie string        // name
	MaxAge time.Duration // 0 is a session cookie
	Path   string
	Domain string // "" is the host of the request
}

// Check is active probing.
type Check struct {
	Kind        string // http, https, tcp
	Path        string // http and https
	Host        string // Host field and, for https, the name that the certificate must have; "" is the member's host
	CA          []byte // PEM; nil is the system's
	Port        int    // 0 is the member's
	Every       time.Duration
	FastEvery   time.Duration // while a member's state is changing
	Timeout     time.Duration
	Rise, Fall  int
	StatusFrom  []StatusRange // empty for tcp
	Body        string        // must be contained in the first 64 KiB; "" is not looked at
	JitterShare float64       // 0 - 1: each interval is changed at random by up to this share
}

// StatusRange is an inclusive range of status codes.
type StatusRange struct{ From, To int }

// Eject is passive removal after real errors.
type Eject struct {
	Errors   int           // consecutive connect failures, timeouts and broken answers; 0 is off
	Gateway  int           // consecutive 502, 503 and 504 answers; 0 is off
	Time     time.Duration // of the first ejection; doubles each time
	MaxTime  time.Duration
	MaxShare float64 // 0 - 1: at most this share of the pool is ejected (one member may be, if the pool has two or more)
}

// Retry bounds second tries.
type Retry struct {
	Tries  int     // members tried for one request, the first included; 1 is no retry
	Budget float64 // 0 - 1: retries at most this share of the requests of the last 10 s
	Floor  int     // retries allowed in 10 s whatever the share says
}

// PoolTimeouts bound work with members.
type PoolTimeouts struct {
	Connect   time.Duration // TCP connect
	FirstByte time.Duration // from the request sent until the answer's head is complete
	Idle      time.Duration // no byte of the answer (or taken from the request) for so long
	KeepAlive time.Duration // an idle connection to a member is closed after this
}

// HTTP is an http block: one website, or one part of it.
type HTTP struct {
	Name        string
	Pos         Pos
	Listen      []string // host:port; ":8080" is every address
	Hosts       []string // lower case; "*.example.com" is every name below; empty is every host that no other block takes
	Trusted     []string // prefixes of proxies whose X-Forwarded-* and Forwarded are believed
	Forward     string   // which fields are sent to members: x, rfc7239, both, off
	Limits      Limits
	Timeouts    HTTPTimeouts
	Default     Route   // what the block itself says, for requests that no route takes; its Pool may be nil
	Routes      []Route // in the order of the file
	Errors      map[int]ErrorPage
	Underscores bool     // pass on fields with an underscore in the name
	Upgrades    []string // protocols that may be upgraded to, lower case; default websocket
}

// Route sends some requests of an http block somewhere. Settings that it does not name are its block's.
type Route struct {
	Pos      Pos
	Path     string   // "/api": this path and those below it; "/api/": those below it; "/" everything
	Exact    bool     // this path only
	Methods  []string // empty is every method
	Pool     *Pool    // nil with a redirect (or in Default, when only routes have pools)
	Redirect *Redirect
	Strip    string // this prefix is taken off the path before the request is sent on
	Request  HeaderEdits
	Response HeaderEdits
	MaxBody  int64 // bytes; 0 is unlimited
	Timeouts *RouteTimeouts
}

// RouteTimeouts override the pool's for one route; zero keeps.
type RouteTimeouts struct {
	FirstByte time.Duration
	Idle      time.Duration
}

// Redirect answers without a member.
type Redirect struct {
	To     string // may hold {scheme} {host} {path} {query} {uri}
	Status int    // 301, 302, 303, 307 or 308
}

// HeaderEdits are carried out in the order remove, set, add. Values are literal.
type HeaderEdits struct {
	Set    []HeaderValue
	Add    []HeaderValue
	Remove []string
}

// HeaderValue is a field to set or add.
type HeaderValue struct{ Name, Value string }

// Limits bound what a client may ask of us.
type Limits struct {
	Header         int // bytes of a request head
	Fields         int // field lines of a request head
	URI            int // bytes of a request target
	Conns          int // client connections of this block's listeners; 0 is as many as the process has descriptors for
	ConnsPerClient int // of one client address; 0 is unlimited
}

// HTTPTimeouts bound what clients may take.
type HTTPTimeouts struct {
	Header  time.Duration // from the first byte of a request until its head is complete
	Idle    time.Duration // between two requests
	Body    time.Duration // no byte of a body moved for so long, in either direction
	MinRate int           // bytes a second that a body must reach on average after its first Body seconds; 0 is off
	Ceiling time.Duration // one whole request and its answer; 0 is off
	Tunnel  time.Duration // no byte in either direction of an upgraded connection
	Drain   time.Duration // how long a stop waits for running requests
}

// ErrorPage is an answer of our own making.
type ErrorPage struct {
	Body []byte
	Type string // content type by the file's ending
}
