package config

import (
	"net/netip"
	"time"
)

// VIP is a vip block: addresses that several nodes share, and of which one node at a time is the owner (VRRP).
type VIP struct {
	Name         string
	Pos          Pos
	Addresses    []netip.Prefix // in the order of the file, IPv4 and IPv6; each with the length of its network
	Interface    string         // on this node; "" is the interface whose network holds the first address
	InterfacePos Pos            // where the file says so, or the block
	RouterID     int            // 1 - 255, the same on all nodes and for no other vip of the network
	Version      int            // of VRRP, 2 or 3
	Interval     time.Duration  // between two advertisements
	Nodes        []VIPNode      // in the order of the file; this node is one of them
	Unicast4     bool           // advertisements for the IPv4 addresses go to the nodes' own addresses; false is the multicast group
	Unicast6     bool           // the same for the IPv6 addresses; true only if every node has an own address of that family
	Password     Secret         // of version 2, at most 8 bytes count; empty is none
	Checksum     string         // of version 3 over IPv4: auto, pseudo-header, rfc9568
	Preempt      bool           // a node of higher priority takes the addresses back
	PreemptDelay time.Duration  // how long it waits before it does
	StartDelay   time.Duration  // how long a node that starts leaves the others alone
	Group        string         // vips of one group are owned together; "" is none
	VirtualMAC   bool           // the addresses have the MAC of RFC 9568 section 7.3, on an interface of their own
	Witnesses    []netip.Addr   // a node that reaches none of them, nor enough nodes, gives the addresses up
	Handover     time.Duration  // how long a planned handover waits for running requests
	Notify       []string       // command and arguments for each change of state; empty is none
	NotifyLimit  time.Duration  // its run time
	Probe        VIPProbe
	Checks       []VIPCheck // foreign conditions
}

// VIPNode is one of the nodes that may own a vip.
type VIPNode struct {
	Name     string
	Host     string     // as in servers
	Addr     netip.Addr // of Host; invalid if it is a name
	Priority int        // 40 - 255 while it serves; 255 takes the addresses at once and whatever its state
}

// VIPProbe is the request that finds out whether this node serves.
type VIPProbe struct {
	Every, Timeout time.Duration
	Rise, Fall     int
}

// VIPCheck is a command that says whether this node is fit to own the addresses: exit code 0 does.
type VIPCheck struct {
	Name           string
	Command        []string
	Every, Timeout time.Duration
	Rise, Fall     int
}

func vipBlocks() []Block {
	return []Block{
		{Path: "vip", Label: "name", Blocks: []string{"probe", "check"}, Keys: []Key{
			{"address", "text or list", "", "Needed. The addresses, with the length of their network: `\"203.0.113.10/24\"`, IPv4 and IPv6, at most 77 of each and 100 in all. Without a length `/32` or `/128`."},
			{"interface", "text or object of texts", "", "The network interface: a text, or an object with one for each node, `{ lb1 = \"eth0\", lb2 = \"ens192\" }`. Without it the one whose network holds the first address."},
			{"nodes", "list of references", "", "Needed. The servers that may own the addresses, the preferred one first; at most 16."},
			{"priorities", "object of numbers", "", "VRRP priorities of the nodes, 40 to 255, for all of them. Without it 200, 190, 180 and so on, in the order of `nodes`."},
			{"router_id", "number", "", "VRRP's virtual router ID, 1 to 255, unique in the network. Without it the last byte of the first address (255 for a 0)."},
			{"interval", "time", "\"100ms\"", "Between two advertisements: 10 ms to 40.95 s in steps of 10 ms. With version 2 whole seconds from 1 to 255, without it `\"1s\"`."},
			{"version", "number", "3", "Of VRRP: 3, or 2 for neighbours that know nothing newer (IPv4 only)."},
			{"unicast", "bool", "", "Send the advertisements to the nodes' addresses, not to the multicast group. Without it, true for the family (IPv4 or IPv6) of which every node has an address in `servers`."},
			{"password", "text", "", "With `version = 2` only: up to 8 bytes that travel readable in every packet, against mistakes rather than people. May be a secret."},
			{"checksum", "text", "\"auto\"", "Of version 3 over IPv4: `pseudo-header` (as keepalived), `rfc9568` (without it) or `auto`, which accepts both and answers as the neighbour does."},
			{"preempt", "bool", "true", "A node of higher priority that comes back takes the addresses back."},
			{"preempt_delay", "time", "\"0s\"", "How long it waits before it does, up to 1000 s."},
			{"start_delay", "time", "\"0s\"", "How long a node that has just started stays a backup, up to 1000 s."},
			{"group", "text", "", "Vips with the same group are owned together: all of them by one node, or none."},
			{"virtual_mac", "bool", "false", "The addresses have the virtual MAC address of VRRP, on an interface of their own."},
			{"witness", "text or list", "[]", "IP addresses, best the gateway's, that each node pings: one that reaches none of them gives the addresses up, unless it reaches the other one of two nodes, or a majority of more (itself included). At most 16."},
			{"handover", "time", "\"30s\"", "How long a planned handover (`skein drain`, a stop) waits for running requests, up to 1 h."},
			{"notify", "text or list", "", "Command and its arguments, run at each change of state; an absolute path, no shell."},
			{"notify_timeout", "time", "\"10s\"", "How long it may run."},
		}},
		{Path: "vip.probe", Keys: append([]Key{
			{"every", "time", "\"1s\"", "Time between two requests through this node's own listeners."},
			{"timeout", "time", "\"2s\"", "How long one may take, up to 5 s."},
		}, riseAndFall("requests", "serving")...)},
		{Path: "vip.check", Label: "name", Keys: append([]Key{
			{"command", "text or list", "", "Needed. Command and its arguments; an absolute path, no shell. Exit code 0 is good."},
			{"every", "time", "\"2s\"", "Time between two runs."},
			{"timeout", "time", "\"1s\"", "How long it may run; then it is killed, which is bad."},
		}, riseAndFall("runs", "fit")...)},
	}
}

func riseAndFall(what, state string) []Key {
	return []Key{
		{"rise", "number", "2", "Good " + what + " in a row after which a node that was not " + state + " is."},
		{"fall", "number", "3", "Bad " + what + " in a row after which it is not."},
	}
}

// placedVIP is a vip block, with what the checks across blocks need of the file.
type placedVIP struct {
	*VIP
	*block
	here      bool
	addressAt []value // beside Addresses
}

// serves says whether there is an address of the family.
func (v *VIP) serves(four bool) bool {
	for _, p := range v.Addresses {
		if p.Addr().Is4() == four {
			return true
		}
	}
	return false
}

// readVIPs reads all vip blocks and keeps those of this node in c.
func (d *decoder) readVIPs(blocks []*block, placed []bool, c *Config) []*placedVIP {
	var all []*placedVIP
	own := d.ownAddresses()
	taken := map[string]*block{}
	for i, b := range blocks {
		if problem := badName(b.label); problem != "" {
			d.fail(b.labelAt, "Not a name", "%q cannot name a vip block: %s.", shorten(b.label), problem)
		} else if first := taken[b.label]; first != nil {
			d.fail(b.labelAt, "Name already taken", "There is already a vip block %q on line %d.", b.label, first.labelAt.Start.Line)
		} else {
			taken[b.label] = b
		}
		p := d.readVIP(b, c.Node, own)
		p.here = placed[i]
		if p.here {
			c.VIPs = append(c.VIPs, p.VIP)
		}
		all = append(all, p)
	}
	d.vipAddresses(all)
	d.movingWitnesses(all)
	d.routerIDs(all, c.Node)
	d.vipGroups(all)
	return all
}

const maxVIPDelay = 1000 * time.Second // as keepalived's

func (d *decoder) readVIP(b *block, node string, own map[netip.Addr]*Server) *placedVIP {
	v := &VIP{
		Name:         b.label,
		Pos:          b.pos(),
		Version:      b.count("version", 3, 2, 3),
		Checksum:     b.choice("checksum", "auto", "auto", "pseudo-header", "rfc9568"),
		Preempt:      b.flag("preempt", true),
		PreemptDelay: b.time("preempt_delay", 0, 0, maxVIPDelay),
		StartDelay:   b.time("start_delay", 0, 0, maxVIPDelay),
		VirtualMAC:   b.flag("virtual_mac", false),
		Handover:     b.time("handover", 30*time.Second, 0, time.Hour),
		Notify:       d.command(b, "notify"),
		NotifyLimit:  b.time("notify_timeout", 10*time.Second, 100*time.Millisecond, 10*time.Minute),
		Probe:        d.readVIPProbe(d.orEmpty(b.one("probe"))),
		Checks:       d.readVIPChecks(b),
	}
	p := &placedVIP{VIP: v, block: b}
	d.readVIPAddresses(p, own)
	d.readInterval(p)
	d.readVIPNodes(p, node)
	d.readUnicast(p)
	d.readPassword(p)
	v.Witnesses = d.readWitnesses(p, own)
	if v.Group = b.str("group", ""); b.has("group") && b.value("group").kind == text && !b.value("group").secret {
		if problem := badName(v.Group); problem != "" {
			d.fail(b.where("group"), "Not a name", "%s cannot name a group: %s.", b.value("group").show(), problem)
		}
	}
	if b.has("preempt_delay") && !v.Preempt {
		d.fail(b.nameAt("preempt_delay"), "Key without effect", "With preempt = false nobody takes the addresses back, so there is nothing to delay.")
	}
	// RFC 9568 section 5.2.8 leaves no choice over IPv6, and version 2 never had a pseudo-header.
	if b.has("checksum") && (v.Version == 2 || len(v.Addresses) > 0 && !v.serves(true)) {
		d.fail(b.nameAt("checksum"), "Key without effect", "checksum is for version 3 over IPv4; everywhere else there is only one way to make it.")
	}
	return p
}

// elsewhere says whether only another node knows the value, so that nothing is judged by it.
func (p *placedVIP) elsewhere(key string) bool {
	return p.has(key) && p.value(key).kind == unjudged
}

// readInterval reads the time between two advertisements. The packet counts whole seconds in 8 bits (RFC 3768 section
// 5.3.7), or hundredths in 12 bits (RFC 9568 section 5.2.7).
func (d *decoder) readInterval(p *placedVIP) {
	if p.elsewhere("version") {
		return
	}
	v, step, low, high := p.VIP, 10*time.Millisecond, 10*time.Millisecond, 40950*time.Millisecond
	v.Interval = 100 * time.Millisecond
	words := "has 10ms to 40.95s in steps of 10ms"
	if v.Version == 2 {
		v.Interval, step, low, high = time.Second, time.Second, time.Second, 255*time.Second
		words = "has whole seconds from 1s to 255s; shorter intervals need version = 3"
	}
	def := v.Interval
	v.Interval = p.time("interval", def, 0, 1000*24*time.Hour)
	if v.Interval < low || v.Interval > high || v.Interval%step != 0 {
		d.fail(p.where("interval"), "Interval not possible", "%s is no interval of VRRP version %d, which %s.", p.value("interval").show(), v.Version, words)
		v.Interval = def
	}
}

// readPassword reads the password of version 2. It may stand in the file: it is no secret on the wire either.
func (d *decoder) readPassword(p *placedVIP) {
	v := p.value("password")
	switch {
	case !p.has("password") || v.kind == bad || v.kind == unjudged:
		return
	case v.kind != text:
		d.failHidden(v.at, "Wrong kind of value", "password is a text in quotes, or secret(\"name\"), not %s.", v.kind)
		return
	case p.Version != 2 && !p.elsewhere("version"):
		d.failHidden(p.nameAt("password"), "Key without effect", "Only version 2 of VRRP has passwords; RFC 5798 took them out of version 3, as they protect from nothing. Leave password out, or write version = 2.")
	case v.text == "":
		d.fail(v.at, "Empty password", "Leave password out to have none.")
	}
	p.Password = Secret(v.text)
	if most := 8; len(v.text) > most && p.Version == 2 { // RFC 2338 section 5.3.6.2
		d.warnHidden(v.at, "Password too long", "The packet has room for %d bytes of a password; the rest of this one does not count.", most)
	}
}
