package vip

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// Status is what an administrator may know of all virtual addresses of this node.
type Status struct {
	VIPs    []VIPStatus // in the order of the file; those placed on this node
	Speaker SpeakerStatus
}

// SpeakerStatus is the process that speaks VRRP. It is the zero value on a node without vips.
type SpeakerStatus struct {
	PID      int    // 0: none runs
	Restarts uint64 // how often one had to be replaced because it had died or was silent
	Realtime bool   // its threads have real-time priority
	Error    string // why none runs, or what it could not do of its configuration; "" is fine

	// Beats say to the speaker that this process lives, one each [speaker.BeatEvery].
	Beats     uint64
	BeatsLate uint64        // those that were late by more than one period
	BeatMax   time.Duration // the latest one's delay
}

// VIPStatus is one vip block.
type VIPStatus struct {
	Name      string
	Group     string         // "" is none
	Addresses []netip.Prefix // in the order of the file
	Interface string
	RouterID  int
	Version   int
	Interval  time.Duration

	State    vrrp.State // the worst of all that is owned together: master is only what is master as a whole
	Reason   string     // of that state
	Since    time.Time
	Priority uint8      // what this node advertises, or would
	Master   netip.Addr // who advertises if this node does not; invalid if nobody is heard, or this node is the master
	Isolated bool       // cut off from the other nodes and the witnesses: owns nothing

	Fitness       speaker.Fitness
	FitnessReason string // "" with fit

	Nodes       []NodeStatus // in the order of the file
	Families    []FamilyStatus
	Transitions []Transition // the last 20, the oldest first
	Checks      []CheckStatus
	Notify      *NotifyStatus   // nil without a command
	Handover    *HandoverStatus // the one under way, or the last; nil before any
	Handovers   map[string]uint64
}

// NodeStatus is one node that may own a vip.
type NodeStatus struct {
	Name     string
	Host     string
	Priority int // while it serves
	Self     bool
}

// FamilyStatus is the virtual router of one address family.
type FamilyStatus struct {
	Family    int // 4 or 6
	Source    netip.Addr
	Unicast   bool
	State     vrrp.State
	Reason    string
	Since     time.Time
	Priority  uint8
	Master    netip.Addr
	Isolated  bool
	Held      []netip.Prefix // addresses that are on the interface because of us
	Reached   []netip.Addr   // of other nodes and witnesses, by echo request
	Counters  vrrp.Counters  // of this speaker
	Late      speaker.Late   // how late advertisements have left
	Became    map[vrrp.State]uint64
	Heard     bool // the speaker has said something of it; false: the rest is as it was at the start
	Addresses []netip.Prefix
}

// Transition is one change of state of one family.
type Transition struct {
	Time     time.Time
	Family   int
	From, To vrrp.State
	Reason   string
}

// CheckStatus is the last result of what decides whether this node is fit: the probe through its own listeners, which has the
// name "", and the check commands.
type CheckStatus struct {
	Name   string
	Good   bool // after rise and fall
	Known  bool // it has run at least once
	Last   time.Time
	Took   time.Duration
	Error  string // of the last run; "" if it was good
	Streak int    // runs with the same result as the last one
}

// NotifyStatus is the last run of the notify command.
type NotifyStatus struct {
	Running bool
	State   vrrp.State // that it was told
	Last    time.Time
	Took    time.Duration
	Error   string // "" if it was good
	Runs    uint64
	Failed  uint64
	Skipped uint64 // changes that newer ones have overtaken
}

// Results of a planned handover, the keys of [VIPStatus.Handovers].
const (
	HandoverClean     = "clean"     // nobody was cut off
	HandoverCut       = "cut"       // connections were left when its time was over
	HandoverCancelled = "cancelled" // the node was made ready again
	HandoverFailed    = "failed"    // the speaker did not let go
)

// HandoverStatus is one planned handover.
type HandoverStatus struct {
	Running bool
	Step    string // leaving, holding, yielding, done
	Began   time.Time
	Took    time.Duration // 0 while it runs
	Reason  string
	Left    int    // connections to the addresses now, or at its end
	Result  string // one of the Handover constants; "" while it runs
}

// Status says how everything is.
func (v *Vip) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{VIPs: make([]VIPStatus, 0, len(v.plan.vips)), Speaker: v.speaker}
	v.beats.status(&s.Speaker)
	for _, w := range v.plan.vips {
		s.VIPs = append(s.VIPs, v.routers[w.c.Name].status())
	}
	return s
}

// status is how one vip is. mu is held.
func (r *router) status() VIPStatus {
	c := r.w.c
	rank := r.v.rank(r)
	s := VIPStatus{
		Name: c.Name, Group: c.Group, Addresses: c.Addresses, Interface: r.w.link(), RouterID: c.RouterID, Version: c.Version, Interval: c.Interval,
		State: r.state, Reason: r.reason, Since: r.since, Priority: r.w.ranks.of(rank.Fitness),
		Fitness: rank.Fitness, FitnessReason: rank.Reason,
		Transitions: slices.Clone(r.history), Handover: r.handover, Handovers: maps.Clone(r.handovers),
	}
	for _, n := range c.Nodes {
		s.Nodes = append(s.Nodes, NodeStatus{Name: n.Name, Host: n.Host, Priority: n.Priority, Self: n.Name == r.v.plan.node})
	}
	for i, f := range r.families {
		fs := f.status(&r.w.instances[i])
		s.Families = append(s.Families, fs)
		s.Isolated = s.Isolated || fs.Isolated
		if fs.Heard {
			s.Priority = fs.Priority
		}
		if !s.Master.IsValid() {
			s.Master = fs.Master
		}
	}
	for _, k := range r.sources {
		d := CheckStatus{Name: k.rule.name, Good: k.good, Known: k.known, Last: k.last, Took: k.took, Streak: k.streak}
		if k.err != nil {
			d.Error = k.err.Error()
		}
		s.Checks = append(s.Checks, d)
	}
	if len(c.Notify) > 0 {
		s.Notify = r.notifier.report()
	}
	return s
}

func (f *family) status(i *speaker.Instance) FamilyStatus {
	s := FamilyStatus{
		Family: f.number, Source: i.Router.Source, Unicast: len(i.Router.Peers) > 0, State: f.state, Reason: f.reason, Since: f.since,
		Became: maps.Clone(f.became), Addresses: i.Prefixes,
	}
	if n := f.seen; n != nil {
		s.Heard, s.Priority, s.Master, s.Isolated = true, n.Priority, n.Master, n.Isolated
		s.Held, s.Reached, s.Counters, s.Late = n.Held, n.Reached, n.Counters, n.Late
	}
	return s
}

// of is the priority with a fitness.
func (r ranks) of(f speaker.Fitness) uint8 {
	switch f {
	case speaker.Fit:
		return r.fit
	case speaker.Drained:
		return r.drained
	}
	return r.unfit
}
