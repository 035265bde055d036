package pool

import (
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"skein/config"
)

// Reason is one reason not to use a member. Each has one writer.
type Reason uint32

// The reasons. A member without any is usable.
const (
	Unhealthy Reason = 1 << iota // its active check fails; written by health
	Ejected                      // real work failed too often; written by health
	Drained                      // its server is drained; written by cluster
)

const sick = Unhealthy | Ejected

// String lists the reasons, as "unhealthy,drained"; "" for none.
func (r Reason) String() string {
	var s []string
	for _, n := range []struct {
		r    Reason
		name string
	}{{Unhealthy, "unhealthy"}, {Ejected, "ejected"}, {Drained, "drained"}} {
		if r&n.r != 0 {
			s = append(s, n.name)
		}
	}
	return strings.Join(s, ",")
}

// Member is one server in one pool. It lives on across reloads as long as pool, server, address and port stay the same, and
// takes its counters, health and connections with it.
type Member struct {
	Pool    string // the pool's name
	Server  string // the server's name
	Network string // "tcp" or "unix"
	Address string // host:port to connect to, or the path of a unix socket
	Host    string // the address without the port
	ID      string // pool/server/address, unique in a Set
	Hash    uint64 // of server and address: the same on every node

	reasons atomic.Uint32
	active  atomic.Int64
	limit   atomic.Int64
	latency latency
	total   *atomic.Int64 // the pool's: the work in progress on all its members
	used    atomic.Bool   // in the pool's snapshot
	Stats   Stats

	// Guarded by the pool's mu.
	weight    int
	backup    bool
	region    string
	recovered time.Time // start of the slow start; zero when it is over

	// Written with the pool's building and mu held, read with either.
	effective int
	peers     int    // members in the pool's configuration
	built     uint64 // version of the last snapshot that m was in
}

// Stats are a member's counters. They only rise, and are read when somebody asks.
type Stats struct {
	Picked        atomic.Uint64 // times chosen, tries included
	Connects      atomic.Uint64 // connections opened
	ConnectErrors atomic.Uint64
	Errors        atomic.Uint64    // time-outs, broken and missing answers
	Retried       atomic.Uint64    // work taken away from it and given to another member
	Answers       [6]atomic.Uint64 // by class of status: [2] is 2xx
	Sent          atomic.Uint64    // bytes to the member
	Received      atomic.Uint64    // bytes from the member
	Checks        atomic.Uint64
	ChecksFailed  atomic.Uint64
	Ejections     atomic.Uint64
	Seconds       Histogram // from the request sent until the answer's head
}

func newMember(pool string, c config.Member, total *atomic.Int64) *Member {
	m := &Member{
		Pool:    pool,
		Server:  c.Server.Name,
		Host:    c.Server.Host,
		total:   total,
		Network: "tcp",
		Address: net.JoinHostPort(c.Server.Host, strconv.Itoa(c.Port)),
	}
	if c.Server.Unix != "" {
		m.Network, m.Address = "unix", c.Server.Unix
	}
	m.ID = m.Pool + "/" + m.Server + "/" + m.Address
	m.Hash = uint64(Hash(m.Server + "/" + m.Address))
	m.set(c)
	return m
}

// set takes over what may change without changing the identity. The pool's mu is held, or nobody else has m yet.
func (m *Member) set(c config.Member) {
	m.weight, m.backup, m.region = c.Weight, c.Backup, c.Server.Region
}

// Usable reports whether there is no reason against m.
func (m *Member) Usable() bool { return m.reasons.Load() == 0 }

// Reasons returns why m is not used; 0 if it is.
func (m *Member) Reasons() Reason { return Reason(m.reasons.Load()) }

// Active is the work in progress on m.
func (m *Member) Active() int64 { return m.active.Load() }

// Weight is the effective weight in hundredths, slow start included, at least 1. Only [Policy.Build] may call it.
func (m *Member) Weight() int { return max(1, m.effective) }

// PoolSize is the number of members that the pool is configured with, usable or not. Only [Policy.Build] may call it.
func (m *Member) PoolSize() int { return max(1, m.peers) }

// PoolActive is the work in progress on all members of m's pool.
func (m *Member) PoolActive() int64 { return m.total.Load() }

// Room reports whether m may have more work under its connection limit.
func (m *Member) Room() bool {
	limit := m.limit.Load()
	return limit <= 0 || m.active.Load() < limit
}

// Latency is the peak-sensitive moving average of [Member.Observe]. It is 0 before the first one, and again after minutes of
// silence.
func (m *Member) Latency(now time.Time) time.Duration { return m.latency.value(now) }

// Observe reports how long m took to answer.
func (m *Member) Observe(now time.Time, took time.Duration) { m.latency.observe(now, took) }

// take counts one more piece of work, unless m has no room.
func (m *Member) take() bool {
	for {
		a, limit := m.active.Load(), m.limit.Load()
		if limit > 0 && a >= limit {
			return false
		}
		if m.active.CompareAndSwap(a, a+1) {
			m.total.Add(1)
			m.Stats.Picked.Add(1)
			return true
		}
	}
}

// leave ends one piece of work.
func (m *Member) leave() {
	m.active.Add(-1)
	m.total.Add(-1)
}

// decay is how fast old latencies are forgotten (Finagle's peak EWMA uses the same 10 s).
const decay = float64(10 * time.Second)

// latency is Finagle's peak EWMA: a slower answer counts at once, a faster one moves the average by its age, and silence
// lets it sink so that a member that was slow once is tried again.
type latency struct {
	avg  atomic.Uint64 // float64 nanoseconds
	seen atomic.Int64  // UnixNano of the last observation
}

func (l *latency) observe(now time.Time, took time.Duration) {
	t := now.UnixNano()
	last := l.seen.Swap(t)
	old := math.Float64frombits(l.avg.Load())
	w := math.Exp(-float64(max(0, t-last)) / decay)
	v := float64(max(1, took)) // 0 is unknown
	if v < old {
		v = old*w + v*(1-w)
	}
	// Two writers at once may lose one observation; the average does not need it.
	l.avg.Store(math.Float64bits(v))
}

func (l *latency) value(now time.Time) time.Duration {
	last := l.seen.Load()
	if last == 0 {
		return 0
	}
	x := float64(max(0, now.UnixNano()-last)) / decay
	avg := math.Float64frombits(l.avg.Load())
	if x < 0.01 {
		return time.Duration(avg * (1 - x)) // a busy member: the exponential, to a hundredth of a percent, at a third of the cost
	}
	return time.Duration(avg * math.Exp(-x))
}
