package keepalived

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// router is a virtual router as one node is told of it. Both programs can be told the same; nodes that shall disagree are told
// different ones.
type router struct {
	name       string
	port       int // of the host: 0 is eth0
	id         int
	version    int
	unicast    bool
	interval   time.Duration
	priorities [2]int   // of lb1 and lb2
	addresses  []string // prefixes of one family
	excluded   []string // keepalived's virtual_ipaddress_excluded: owned, and not advertised
	noPreempt  bool
	delay      time.Duration // of preemption
	password   string
	checksum   string // skein's; "" is its default
	virtualMAC bool
	group      string
	skipCheck  bool // keepalived's vrrp_skip_check_adv_addr
}

// plain is the router of most cases. Its node lb1 comes first.
func plain() router {
	return router{
		name: "front", id: 51, version: 3, interval: 100 * time.Millisecond, priorities: [2]int{150, 100},
		addresses: []string{"10.0.0.100/24"},
	}
}

// v4 reports the family.
func (r router) v4() bool { return netip.MustParsePrefix(r.addresses[0]).Addr().Is4() }

// address is the first address.
func (r router) address() string { return netip.MustParsePrefix(r.addresses[0]).Addr().String() }

// first is the node of the higher priority, and the other one.
func (r router) first() (high, low int) {
	if r.priorities[0] > r.priorities[1] {
		return 0, 1
	}
	return 1, 0
}

// skew and masterDown are those of RFC 3768 and RFC 9568 section 6.1, for a backup that has heard a master of this interval.
func (r router) skew(node int, interval time.Duration) time.Duration {
	if r.version == 2 {
		interval = time.Second
	}
	return time.Duration(256-r.priorities[node]) * interval / 256
}

func (r router) masterDown(node int) time.Duration { return r.masterDownOf(node, r.interval) }

func (r router) masterDownOf(node int, interval time.Duration) time.Duration {
	return 3*interval + r.skew(node, interval)
}

// own is the own address of a node on the network of a port.
func own(node, port int, v4 bool) string {
	if v4 {
		return fmt.Sprintf("10.0.%d.%d", port, 11+node)
	}
	return fmt.Sprintf("fd00:0:0:%d::%d", port, 11+node)
}

// keepalivedConf is the configuration of keepalived on a node. The state is always BACKUP: MASTER would disable nopreempt and
// preempt_delay. It is as nice as possible to itself, as a busy machine is not what is tested; real-time priority would do that
// better, but a keepalived that wakes up after a pause uses so much time at once that the kernel throttles it.
func keepalivedConf(node int, routers []router) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n  router_id lb%d\n  vrrp_version %d\n  vrrp_garp_master_refresh 1\n  vrrp_priority -20\n", node+1, routers[0].version)
	if routers[0].skipCheck {
		b.WriteString("  vrrp_skip_check_adv_addr\n")
	}
	b.WriteString("}\n")
	groups := map[string][]string{}
	for _, r := range routers {
		if r.group != "" {
			groups[r.group] = append(groups[r.group], r.name)
		}
	}
	for name, members := range groups {
		fmt.Fprintf(&b, "vrrp_sync_group %s {\n  group {\n    %s\n  }\n}\n", name, strings.Join(members, "\n    "))
	}
	for _, r := range routers {
		r.instance(&b, node)
	}
	return b.String()
}

func (r router) instance(b *strings.Builder, node int) {
	fmt.Fprintf(b, "vrrp_instance %s {\n  state BACKUP\n  version %d\n  interface eth%d\n  virtual_router_id %d\n  priority %d\n  advert_int %g\n",
		r.name, r.version, r.port, r.id, r.priorities[node], r.interval.Seconds())
	if r.unicast {
		fmt.Fprintf(b, "  unicast_src_ip %s\n  unicast_peer {\n    %s\n  }\n", own(node, r.port, r.v4()), own(1-node, r.port, r.v4()))
	}
	if r.noPreempt {
		b.WriteString("  nopreempt\n")
	}
	if r.delay > 0 {
		fmt.Fprintf(b, "  preempt_delay %g\n", r.delay.Seconds())
	}
	if r.password != "" {
		fmt.Fprintf(b, "  authentication {\n    auth_type PASS\n    auth_pass %s\n  }\n", r.password)
	}
	if r.virtualMAC {
		b.WriteString("  use_vmac\n")
	}
	fmt.Fprintf(b, "  virtual_ipaddress {\n    %s\n  }\n", strings.Join(r.addresses, "\n    "))
	if len(r.excluded) > 0 {
		fmt.Fprintf(b, "  virtual_ipaddress_excluded {\n    %s\n  }\n", strings.Join(r.excluded, "\n    "))
	}
	b.WriteString("}\n")
}

// skeinFile is the same for skein.
func skeinFile(routers []router) string {
	var b strings.Builder
	v4, port := routers[0].v4(), routers[0].port
	fmt.Fprintf(&b, "servers = {\n  lb1 = %q\n  lb2 = %q\n}\n", own(0, port, v4), own(1, port, v4))
	for _, r := range routers {
		fmt.Fprintf(&b, "vip %q {\n  address = [\"%s\"]\n  interface = \"eth%d\"\n  nodes = [server.lb1, server.lb2]\n  priorities = { lb1 = %d, lb2 = %d }\n",
			r.name, strings.Join(r.addresses, `", "`), r.port, r.priorities[0], r.priorities[1])
		fmt.Fprintf(&b, "  router_id = %d\n  version = %d\n  interval = \"%v\"\n  unicast = %v\n", r.id, r.version, r.interval, r.unicast)
		if r.noPreempt {
			b.WriteString("  preempt = false\n")
		}
		if r.delay > 0 {
			fmt.Fprintf(&b, "  preempt_delay = \"%v\"\n", r.delay)
		}
		for _, key := range []struct{ name, value string }{{"password", r.password}, {"checksum", r.checksum}, {"group", r.group}} {
			if key.value != "" {
				fmt.Fprintf(&b, "  %s = %q\n", key.name, key.value)
			}
		}
		if r.virtualMAC {
			b.WriteString("  virtual_mac = true\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}
