package speaker

import (
	"net/netip"
	"time"

	"skein/vip/vrrp"
)

// The parent and the speaker talk over a pair of SOCK_SEQPACKET sockets, one JSON message in each packet.

// Order is what the parent says; exactly one field is set.
type Order struct {
	Configure *Configure `json:"configure,omitempty"`
	Beat      *Beat      `json:"beat,omitempty"`
	Yield     *Yield     `json:"yield,omitempty"`
	Release   bool       `json:"release,omitempty"` // stop speaking and leave all as it is: another speaker goes on
	Stop      bool       `json:"stop,omitempty"`    // give everything up (priority 0, no addresses) and end
}

// Configure is everything that the speaker shall do from now on. Instances that stay the same are not disturbed; they are known
// by vip and family.
type Configure struct {
	Serial uint64          `json:"serial"`           // comes back in [Configured]
	Parent int             `json:"parent"`           // process ID; if that process is stopped, nothing is served here
	State  string          `json:"state"`            // file that remembers which addresses were added, for who comes after a crash
	Groups []Group         `json:"groups"`           // each moves as one
	Resume []vrrp.Snapshot `json:"resume,omitempty"` // what another speaker has released
}

// Group is instances that are owned together: the families of one vip, and the vips of one group.
type Group struct {
	Name      string     `json:"name"`
	Instances []Instance `json:"instances"`
}

// Instance is one virtual router: the addresses of one vip and one family on one interface.
type Instance struct {
	VIP        string         `json:"vip"`
	Interface  string         `json:"interface"`
	VirtualMAC bool           `json:"virtual_mac,omitempty"`
	Prefixes   []netip.Prefix `json:"prefixes"` // those of Router.Addresses, with their lengths
	Router     vrrp.Settings  `json:"router"`
	// Priorities by fitness; Router.Priority is that of Fit.
	Unfit   uint8 `json:"unfit"`
	Drained uint8 `json:"drained"`
	// A node that reaches fewer than Quorum of Others, and none of Witnesses, is isolated and owns nothing. Quorum 0 with no
	// witnesses is no such rule.
	Others    []netip.Addr `json:"others,omitempty"`
	Quorum    int          `json:"quorum,omitempty"`
	Witnesses []netip.Addr `json:"witnesses,omitempty"`
}

// Fitness is how fit this node is to own a vip.
type Fitness string

// The kinds of fitness, the best first.
const (
	Fit     Fitness = "fit"
	Unfit   Fitness = "unfit"   // it does not serve; it owns the addresses only while no fit node is there
	Drained Fitness = "drained" // an operator wants it to have no work; it owns them only while no other node is there
)

// Beat says that the parent lives, and what it knows. Without one for [StallLimit] it does not serve.
type Beat struct {
	Serial uint64 `json:"serial"`
	// Ranks are by vip; one that is missing stays as it was: at the start unfit, or what a resumed snapshot says. Those of vips
	// that come with the next [Configure] may be said before it, so that a fit node does not begin as an unfit one.
	Ranks map[string]Rank `json:"ranks"`
}

// Rank is the fitness of this node for one vip.
type Rank struct {
	Fitness Fitness `json:"fitness"`
	Reason  string  `json:"reason,omitempty"`
}

// Yield hands vips over now: priority 0, addresses removed, then as a backup by the rank that the last beat said.
type Yield struct {
	VIPs   []string `json:"vips"`
	Reason string   `json:"reason"`
}

// StallLimit is how long the parent may be silent until the speaker takes it for dead, and HangLimit how long if it works
// meanwhile, as it does on a machine that is overloaded. A parent that has ended or was stopped is seen at once.
const (
	StallLimit = 2 * time.Second
	HangLimit  = 10 * time.Second
)

// BeatEvery is how often the parent says that it lives.
const BeatEvery = 50 * time.Millisecond

// Report is what the speaker says; exactly one field is set.
type Report struct {
	Configured *Configured      `json:"configured,omitempty"`
	Change     *Change          `json:"change,omitempty"`
	Status     *Status          `json:"status,omitempty"` // every [StatusEvery], and after each change
	Released   *[]vrrp.Snapshot `json:"released,omitempty"`
	Log        *Line            `json:"log,omitempty"`
}

// StatusEvery is how often the speaker describes itself. A speaker that is silent for much longer is killed and replaced.
const StatusEvery = 250 * time.Millisecond

// Configured answers [Configure].
type Configured struct {
	Serial uint64 `json:"serial"`
	Error  string `json:"error,omitempty"` // what could not be done; everything else was
}

// Change is one transition of an instance.
type Change struct {
	VIP    string     `json:"vip"`
	Family int        `json:"family"` // 4 or 6
	From   vrrp.State `json:"from"`
	To     vrrp.State `json:"to"`
	Reason string     `json:"reason"`
	Time   time.Time  `json:"time"`
}

// Status is the speaker as it is.
type Status struct {
	Realtime  bool             `json:"realtime"` // its threads have real-time priority
	Beat      uint64           `json:"beat"`     // serial of the last beat that was heard
	Instances []InstanceStatus `json:"instances"`
}

// InstanceStatus is one instance as it is.
type InstanceStatus struct {
	VIP       string         `json:"vip"`
	Family    int            `json:"family"`
	Interface string         `json:"interface"`
	State     vrrp.State     `json:"state"`
	Reason    string         `json:"reason"` // of the last transition, or of the fault
	Since     time.Time      `json:"since"`
	Priority  uint8          `json:"priority"` // effective
	Master    netip.Addr     `json:"master"`   // who advertises, if this node is a backup; invalid if nobody
	Held      []netip.Prefix `json:"held"`     // addresses that are on the interface because of us
	Isolated  bool           `json:"isolated"`
	Reached   []netip.Addr   `json:"reached,omitempty"` // of others and witnesses
	Counters  vrrp.Counters  `json:"counters"`
	Late      Late           `json:"late"`
	Unsent    uint64         `json:"unsent"` // advertisements that the kernel did not take
}

// Late is how much too late advertisements have left, in a histogram.
type Late struct {
	Bounds []time.Duration `json:"bounds"` // upper ones; the last bucket has none
	Counts []uint64        `json:"counts"` // one more than Bounds
	Sum    time.Duration   `json:"sum"`
	Max    time.Duration   `json:"max"`
}

// Line is a log line.
type Line struct {
	Level   string         `json:"level"` // debug, info, warn, error
	Message string         `json:"message"`
	Fields  map[string]any `json:"fields,omitempty"`
}
