package admin

import (
	"net/netip"
	"time"
)

// VIPs is what is known of this node's virtual addresses. Package vip knows it; its types are not used here, as services never
// import each other.
type VIPs struct {
	VIPs    []VIP    // in the order of the file; those placed on this node
	Speaker *Speaker // nil without any
}

// VIP is one vip block.
type VIP struct {
	Name      string         `json:"name"`
	Group     string         `json:"group,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
	Interface string         `json:"interface"`
	RouterID  int            `json:"router_id"`
	Version   int            `json:"version"`
	Interval  float64        `json:"interval_seconds"`

	State    string     `json:"state"`  // init, backup, master or fault: the worst of all that is owned together
	Reason   string     `json:"reason"` // of that state
	Since    time.Time  `json:"since"`
	Priority int        `json:"priority"`                // what this node advertises, or would
	Master   netip.Addr `json:"master,omitzero"`         // who advertises, if another node does
	Isolated bool       `json:"isolated"`                // cut off from the other nodes and the witnesses
	Fitness  string     `json:"fitness"`                 // fit, unfit or drained
	Unfit    string     `json:"unfit_because,omitempty"` // why it is not fit

	Nodes       []VIPNode         `json:"nodes"`       // that may own it, in the order of the file
	Families    []VIPFamily       `json:"families"`    // of addresses: each is a virtual router of its own
	Transitions []VIPTransition   `json:"transitions"` // the last ones, the oldest first
	Checks      []VIPCheck        `json:"checks"`      // the probe through its own listeners, with the name "", and the check commands
	Notify      *VIPNotify        `json:"notify,omitempty"`
	Handover    *VIPHandover      `json:"handover,omitempty"` // the planned one under way, or the last
	Handovers   map[string]uint64 `json:"handovers"`          // by result: clean, cut, cancelled, failed
}

// StateMaster is the state of a node that owns a vip.
const StateMaster = "master"

// FitnessDrained is the fitness of a node that an operator wants to have no work, once its handover is over.
const FitnessDrained = "drained"

// VIPNode is one node that may own a vip.
type VIPNode struct {
	Name     string `json:"name"`
	Host     string `json:"host"`
	Priority int    `json:"priority"` // while it serves
	Self     bool   `json:"self"`
}

// VIPFamily is the virtual router of one address family. Its counters begin anew with each speaker.
type VIPFamily struct {
	Family        int               `json:"family"` // 4 or 6
	Source        netip.Addr        `json:"source,omitzero"`
	Unicast       bool              `json:"unicast"`
	State         string            `json:"state"`
	Reason        string            `json:"reason"`
	Since         time.Time         `json:"since"`
	Priority      int               `json:"priority"`
	Master        netip.Addr        `json:"master,omitzero"`
	Isolated      bool              `json:"isolated"`
	Addresses     []netip.Prefix    `json:"addresses"`
	Held          []netip.Prefix    `json:"held"`    // of them, those on the interface because of us
	Reached       []netip.Addr      `json:"reached"` // other nodes and witnesses that answer
	Became        map[string]uint64 `json:"became"`  // transitions by the state that they led to
	Sent          uint64            `json:"adverts_sent"`
	SentZero      uint64            `json:"adverts_sent_zero"` // of them, with priority 0
	Received      uint64            `json:"adverts_received"`  // valid ones
	ReceivedZero  uint64            `json:"adverts_received_zero"`
	Refused       map[string]uint64 `json:"adverts_refused"` // by reason
	MastersBeside uint64            `json:"masters_beside"`  // adverts of another master while this node was one
	Slept         uint64            `json:"slept"`           // elections because this node had been asleep
	Late          Histogram         `json:"late"`            // how late advertisements have left
}

// Histogram counts durations.
type Histogram struct {
	Bounds []float64 `json:"bounds_seconds"` // upper ones; the last bucket has none
	Counts []uint64  `json:"counts"`         // one more than bounds
	Sum    float64   `json:"sum_seconds"`
	Max    float64   `json:"max_seconds"`
}

// VIPTransition is one change of state of one family.
type VIPTransition struct {
	Time   time.Time `json:"time"`
	Family int       `json:"family"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// VIPCheck is the last run of what decides whether this node is fit.
type VIPCheck struct {
	Name     string    `json:"name"`
	OK       bool      `json:"ok"` // after rise and fall
	Known    bool      `json:"known"`
	Time     time.Time `json:"time,omitzero"`
	Duration float64   `json:"duration_seconds"`
	Error    string    `json:"error,omitempty"` // of the last run
	Streak   int       `json:"streak"`          // runs with the same result as the last one
}

// VIPNotify is the last run of the notify command.
type VIPNotify struct {
	Running  bool      `json:"running"`
	State    string    `json:"state"` // that it was told
	Time     time.Time `json:"time,omitzero"`
	Duration float64   `json:"duration_seconds"`
	Error    string    `json:"error,omitempty"`
	Runs     uint64    `json:"runs"`
	Failed   uint64    `json:"failed"`
	Skipped  uint64    `json:"skipped"` // changes that newer ones have overtaken
}

// VIPHandover is one planned handover.
type VIPHandover struct {
	Running  bool      `json:"running"`
	Step     string    `json:"step"` // leaving, holding, yielding, done
	Began    time.Time `json:"began"`
	Duration float64   `json:"duration_seconds"` // 0 while it runs
	Reason   string    `json:"reason"`
	Left     int       `json:"connections_left"`
	Result   string    `json:"result,omitempty"`
}

// Speaker is the process that speaks VRRP for this one.
type Speaker struct {
	PID       int     `json:"pid"` // 0: none runs
	Restarts  uint64  `json:"restarts"`
	Realtime  bool    `json:"realtime"`
	Error     string  `json:"error,omitempty"`
	Beats     uint64  `json:"beats"` // signs of life that it was sent
	BeatsLate uint64  `json:"beats_late"`
	BeatMax   float64 `json:"beat_max_seconds"` // the latest one's delay
}
