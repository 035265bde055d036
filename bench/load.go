package main

import "time"

// Mode is how a driver puts load on a proxy.
type Mode string

// The modes.
const (
	// Closed: every connection sends its next request when it has the answer. It finds the most that a proxy can do.
	Closed Mode = "closed"
	// Fresh is closed with a new connection for each request (Connection: close).
	Fresh Mode = "fresh"
	// Open: requests are due at a fixed rate whatever the proxy does, and latency counts from the moment at which a
	// request was due. A proxy that stalls is charged for all that had to wait (no coordinated omission).
	Open Mode = "open"
	// Idle: many connections make one request each and then stay open and silent.
	Idle Mode = "idle"
	// Secure is closed over TLS 1.3.
	Secure Mode = "secure"
	// Handshake is fresh over TLS 1.3, without resumption: each request has a full handshake.
	Handshake Mode = "handshake"
	// H2 is h2load's closed loop over TLS: Streams requests at once on each connection.
	H2 Mode = "h2"
	// H3 is the same over QUIC, by a Go client.
	H3 Mode = "h3"
)

// Load is the work for one driver process, sent to it as JSON.
type Load struct {
	Mode           Mode
	Address        string        // the proxy, or the origin itself
	Path           string        // a %d in it is replaced by 0 to Paths-1, in turn
	Paths          int           // 0 = Path as it is
	Length         int           // of the body that must come
	Streams        int           // requests at once on one connection, where that can be
	Conns          int           // connections; in the idle mode, how many are to stay
	Rate           float64       // requests per second, open mode
	Warmup         time.Duration // before counting
	WarmupRequests int64         // at least, before counting; given up after maxWarmup
	Time           time.Duration // counted; in the idle mode, how long the proxy may settle
	Group          int           // process group of the proxy, 0 = none
	Origin         int           // process of the origin, 0 = none
}

// Result is what a driver measured, printed by it as JSON.
type Result struct {
	Requests  int64         // answered in time and correctly
	Errors    int64         // any makes the result invalid
	Error     string        // the first
	Elapsed   time.Duration // counted time
	CPU       time.Duration // used by the proxy's processes in that time
	Origin    time.Duration // used by the origin
	Driver    time.Duration // used by the driver
	Others    float64       // share of the machine that programs outside the benchmark used
	Late      int64         // open mode: requests that were due and not answered in the end
	P50       time.Duration
	P99       time.Duration
	P999      time.Duration
	Max       time.Duration
	Before    Memory // idle mode: of the proxy, before the clients came
	After     Memory // with them connected, answered and silent
	Connected int    // how many they were
}

// Memory is what the kernel says of the memory of a process group, in bytes. It does not contain the kernel's own buffers.
type Memory struct {
	RSS int64 // resident pages; shared ones count in every process
	PSS int64 // resident pages; shared ones divided by their users
}

// CPUPerRequest returns µs.
func (r Result) CPUPerRequest() float64 {
	return per(float64(r.CPU)/float64(time.Microsecond), float64(r.Requests))
}

// CPUPerGiB returns ms of the proxy's CPU per GiB of bodies.
func (r Result) CPUPerGiB(length int) float64 {
	return per(float64(r.CPU)/float64(time.Millisecond), float64(r.Requests)*float64(length)/(1<<30))
}

// Rate returns answers per second.
func (r Result) Rate() float64 { return per(float64(r.Requests), r.Elapsed.Seconds()) }

// Busy returns how many cores the proxy used on average.
func (r Result) Busy() float64 { return per(r.CPU.Seconds(), r.Elapsed.Seconds()) }

// RSSPerClient returns KiB.
func (r Result) RSSPerClient() float64 {
	return per(float64(r.After.RSS-r.Before.RSS)/1024, float64(r.Connected))
}

// PSSPerClient returns KiB.
func (r Result) PSSPerClient() float64 {
	return per(float64(r.After.PSS-r.Before.PSS)/1024, float64(r.Connected))
}

func per(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}
