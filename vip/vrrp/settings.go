package vrrp

import (
	"net/netip"
	"time"
)

// Settings are one virtual router: addresses of one family that one of several nodes owns.
type Settings struct {
	Version   int          `json:"version"`   // 2 or 3
	RouterID  uint8        `json:"router_id"` // 1 - 255
	Addresses []netip.Addr `json:"addresses"` // of one family, in the order in which they are advertised; 1 - [MaxAddresses]
	Source    netip.Addr   `json:"source"`    // own address that advertisements come from; decides between equal priorities
	Peers     []netip.Addr `json:"peers"`     // unicast; empty is the multicast group
	// Far says that routers are between the peers: only then is a TTL below 255 taken. Unicast only.
	Far      bool          `json:"far,omitempty"`
	Interval time.Duration `json:"interval"` // version 2: 1 - 255 whole s; version 3: 10 ms - 40.95 s in steps of 10 ms
	Priority uint8         `json:"priority"` // 1 - 255; 255 is the owner, who begins as master
	// Floor: a master that advertises less than this does not serve visitors (but serves them better than nobody). A backup
	// of at least Floor takes over from it within the skew time, Preempt or not. 0 is no such rule.
	Floor        uint8         `json:"floor,omitempty"`
	Preempt      bool          `json:"preempt"` // an owner always does
	PreemptDelay time.Duration `json:"preempt_delay,omitempty"`
	StartDelay   time.Duration `json:"start_delay,omitempty"`
	Password     string        `json:"password,omitempty"` // version 2: PASS authentication, the first 8 bytes count; "" is none
	Checksum     Checksum      `json:"checksum,omitempty"`
}

// Checksum is how the checksum of version 3 over IPv4 is made: RFC 5798 was read in two ways. It decides only what is sent. Both
// are taken whatever it is, as a peer that is not understood would be a second master.
type Checksum string

// The kinds of checksum.
const (
	// Auto sends with the pseudo-header, or as the peer does that was heard last.
	Auto         Checksum = "auto"
	PseudoHeader Checksum = "pseudo-header" // as keepalived by default, and as over IPv6
	RFC9568      Checksum = "rfc9568"       // without it, as RFC 9568 section 5.2.8 has it, Cisco and Juniper
)

// State is the state of a virtual router (RFC 9568 section 6.4).
type State string

// The states.
const (
	Initialize State = "init"
	Backup     State = "backup"
	Master     State = "master"
	Fault      State = "fault" // this node could not own the addresses if it wanted: no link, isolated, the parent gone
)

// Time is a moment, as the time since the machine was started, suspension included: it means the same in every process.
type Time = time.Duration

// Snapshot is all that another process needs to go on as if nothing had happened.
type Snapshot struct {
	Version  int   `json:"version"`
	RouterID uint8 `json:"router_id"`
	// Addresses are those of the other process: on the interface, if the state is master. None is a machine that it did not have.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Former is the list of addresses before, that is said and taken until then; see rollout.
	Former    []netip.Addr  `json:"former,omitempty"`
	SayUntil  Time          `json:"say_until,omitempty"`
	TakeUntil Time          `json:"take_until,omitempty"`
	Link      string        `json:"link"` // as the user of this package names it
	IPv6      bool          `json:"ipv6,omitempty"`
	State     State         `json:"state"`
	Priority  uint8         `json:"priority"` // effective
	Since     Time          `json:"since"`
	Reason    string        `json:"reason"`
	Deadline  Time          `json:"deadline"` // of the running timer
	Sent      Time          `json:"sent"`     // the last advertisement
	Learned   time.Duration `json:"learned"`  // the master's interval
	Plain     bool          `json:"plain,omitempty"`
	Counters  Counters      `json:"counters"`
}

// Counters count since the start.
type Counters struct {
	Sent          uint64            `json:"sent"`
	SentZero      uint64            `json:"sent_zero"`
	Received      uint64            `json:"received"` // valid ones
	ReceivedZero  uint64            `json:"received_zero"`
	BecameMaster  uint64            `json:"became_master"`
	BecameBackup  uint64            `json:"became_backup"`
	BecameFault   uint64            `json:"became_fault"`
	Slept         uint64            `json:"slept"`   // elections because this node had been asleep
	Refused       map[string]uint64 `json:"refused"` // by reason, see the Refused constants
	MastersBeside uint64            `json:"masters_beside"`
}
