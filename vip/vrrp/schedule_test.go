package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const floor = 11 // 2 * 5 nodes + 1: unfit and drained nodes advertise 1 - 10

// plan is what the nodes of a world have in common.
type plan struct {
	interval time.Duration // the longest
	slack    time.Duration // delays of preemption and start
	crossed  bool          // each link has its own order of nodes
}

// newWorld makes 2 - 5 nodes with groups of 1 - 3 machines.
func newWorld(seed uint64, trace func(string, ...any)) (*world, plan) {
	rng := rand.New(rand.NewPCG(seed, 4))
	w := &world{rng: rng, now: Time(rng.Int64N(int64(time.Hour))), trace: trace}
	nodes, links := 2+rng.IntN(4), 1+rng.IntN(3)
	if rng.IntN(2) == 0 {
		links = 1 // what most people have deserves half of the time
	}
	p := plan{crossed: links > 1 && rng.IntN(4) == 0}
	version, unicast, preempt := 2+rng.IntN(2), rng.IntN(2) == 0, rng.IntN(3) > 0
	p.interval = time.Second
	if version == 3 {
		p.interval = 100 * time.Millisecond
	}
	unlike := version == 3 && rng.IntN(4) == 0 // intervals
	first := make([]Settings, links)
	for l := range first {
		s := &first[l]
		*s = Settings{Version: version, RouterID: uint8(10 + l), Interval: p.interval, Preempt: preempt, Floor: floor}
		s.Checksum = []Checksum{Auto, PseudoHeader, RFC9568}[rng.IntN(3)]
		v6 := rng.IntN(2) == 0
		if version == 2 && !v6 && rng.IntN(2) == 0 {
			s.Password = "secret"
		}
		s.Addresses = virtual(v6, l, 1+rng.IntN(3))
		if rng.IntN(4) == 0 {
			s.PreemptDelay = p.interval * time.Duration(rng.IntN(8)) / 2
		}
		if rng.IntN(4) == 0 {
			s.StartDelay = p.interval * time.Duration(rng.IntN(8)) / 2
		}
		p.slack = max(p.slack, s.PreemptDelay+s.StartDelay)
	}
	base := rng.Perm(nodes)
	equal := rng.IntN(5) == 0
	for id := range nodes {
		n := &node{w: w, id: id, held: make([][]netip.Addr, links), fault: make([]bool, links), last: make([]Time, links), late: time.Duration(rng.IntN(int(p.interval / 500)))}
		for l := range links {
			s := first[l]
			if unlike {
				s.Interval = p.interval / time.Duration(1+rng.IntN(3)) / step * step
			}
			s.Source = real(s.Addresses[0].Is6(), l, id)
			s.Priority = uint8(100 + 10*base[id])
			if equal {
				s.Priority = 100
			}
			if p.crossed {
				s.Priority = uint8(100 + 10*((base[id]+l*l)%nodes))
			}
			if unicast {
				for other := range nodes {
					if other != id {
						s.Peers = append(s.Peers, real(s.Source.Is6(), l, other))
					}
				}
			}
			n.settings = append(n.settings, s)
			n.cut = append(n.cut, make([]bool, nodes))
		}
		w.nodes = append(w.nodes, n)
	}
	if !equal && !p.crossed && rng.IntN(8) == 0 { // an owner
		owner := w.nodes[slices.Index(base, nodes-1)]
		for l := range links {
			owner.settings[l].Priority = OwnerPriority
		}
	}
	return w, p
}

func virtual(v6 bool, link, count int) (all []netip.Addr) {
	for i := range count {
		a := fmt.Sprintf("10.%d.0.%d", link, 100+i)
		if v6 {
			a = fmt.Sprintf("fd00:%d::%d", link, 100+i)
		}
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func real(v6 bool, link, id int) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 7: byte(link), 15: byte(id + 1)})
	}
	return netip.AddrFrom4([4]byte{10, byte(link), 0, byte(id + 1)})
}

// weather is the bad time: everything that can go wrong, at random.
func (w *world) weather(p plan) {
	w.loss, w.double = w.rng.Float64()*0.4, w.rng.Float64()*0.2
	w.delay = 1 + time.Duration(w.rng.Int64N(int64(p.interval)))
	for _, n := range w.nodes {
		n.start()
	}
	for range 4 + w.rng.IntN(12) {
		w.run(w.now + time.Duration(w.rng.Int64N(int64(4*p.interval))))
		if w.failure != "" {
			return
		}
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		switch awake := n.group != nil && n.wakes <= w.now; {
		case awake && w.rng.IntN(3) > 0:
			n.trouble(p)
		case n.group == nil && !n.resumes.set && w.rng.IntN(2) == 0:
			n.start()
		default:
			w.cutSome()
		}
	}
}

// trouble happens to a node that is awake.
func (n *node) trouble(p plan) {
	w, g := n.w, n.group
	link := w.rng.IntN(len(g.machines))
	switch w.rng.IntN(9) {
	case 0:
		n.crash()
	case 1:
		n.wakes = w.now + time.Duration(w.rng.Int64N(int64(8*p.interval)))
		n.say("sleeps until %v", n.wakes)
	case 2:
		n.setPriorities(uint8(1 + w.rng.IntN(10))) // unfit, or drained
	case 3:
		n.setPriorities(0)
	case 4:
		n.do("yield", func() []Action { return g.Yield(w.now, "drained") })
	case 5:
		n.release(time.Duration(w.rng.Int64N(int64(5 * p.interval))))
	case 6:
		n.fault[link] = !n.fault[link]
		n.tellFaults()
	case 7:
		n.do("stop", func() []Action { return g.Stop(w.now) })
		n.group = nil
	case 8:
		w.reload(link, 1+w.rng.IntN(4))
	}
}

// setPriorities of all machines; 0 is that of the settings.
func (n *node) setPriorities(priority uint8) {
	for i, m := range n.group.machines {
		p := priority
		if p == 0 {
			p = n.settings[i].Priority
		}
		n.say("priority %d on link %d", p, i)
		n.do("priority", func() []Action { return n.group.SetPriority(n.w.now, m, p) })
	}
}

// reload gives all nodes another number of addresses on one link.
func (w *world) reload(link, count int) {
	w.say("reload: %d addresses on link %d", count, link)
	for _, n := range w.nodes {
		s := &n.settings[link]
		s.Addresses = virtual(s.Source.Is6(), link, count)
		if n.group == nil || n.wakes > w.now {
			continue // it will notice when it starts; one that sleeps is reloaded at the end
		}
		n.configure(link)
	}
}

func (n *node) configure(link int) {
	n.do("configure", func() []Action {
		actions, ok := n.group.Configure(n.w.now, n.group.machines[link], n.settings[link])
		if !ok {
			n.w.fail("node %d: configure refused %+v", n.id, n.settings[link])
		}
		return actions
	})
}

// cutSome lets some nodes not hear some others, on one link or on all.
func (w *world) cutSome() {
	share := w.rng.Float64()
	if w.rng.IntN(2) == 0 {
		share = 0
	}
	w.say("cut %.0f %% of the ways", 100*share)
	for _, n := range w.nodes {
		for from := range w.nodes {
			all := w.rng.Float64() < share
			for l := range n.cut {
				n.cut[l][from] = all || w.rng.Float64() < share/4
			}
		}
	}
}

// calm ends the bad time: the network works again, everybody wakes. Some stay switched off, unfit or without a link.
func (w *world) calm() {
	w.say("calm")
	w.loss, w.double, w.delay = 0, 0, 200*time.Microsecond
	for _, n := range w.nodes {
		for l := range n.cut {
			clear(n.cut[l])
			n.fault[l] = n.fault[l] && w.rng.IntN(3) == 0
		}
		n.wakes = min(n.wakes, w.now)
		switch {
		case n.resumes.set:
			n.resumes.at = w.now // it has time now
			n.resume()
		case n.group == nil && w.rng.IntN(4) > 0:
			n.start()
		case n.group == nil:
			n.say("is switched off")
			n.held = make([][]netip.Addr, len(n.held))
		}
		if n.group == nil {
			continue
		}
		for len(n.inbox) > 0 {
			n.wake()
		}
		n.tellFaults()
		for l := range n.settings {
			n.configure(l)
		}
		if w.rng.IntN(2) == 0 {
			n.setPriorities(0)
		}
	}
}

// judge says who may be master and whether exactly that one is, and for how long.
func (w *world) judge(since Time) {
	var alive, masters []*node
	for _, n := range w.nodes {
		if n.group == nil || n.group.faulty() != nil {
			continue
		}
		alive = append(alive, n)
		if n.group.state == Master {
			masters = append(masters, n)
		}
		if n.changed > since {
			w.fail("node %d has changed at %v and should be quiet since %v", n.id, n.changed, since)
		}
	}
	if len(alive) == 0 {
		return
	}
	if len(masters) != 1 {
		w.fail("%d masters", len(masters))
		return
	}
	master := masters[0]
	for _, n := range alive {
		if n != master && n.shouldTake(master) {
			w.fail("node %d is master, but node %d is better", master.id, n.id)
		}
	}
}

// shouldTake says whether n, hearing master, has to take over: it is better by every machine of the group.
func (n *node) shouldTake(master *node) bool {
	for i, m := range n.group.machines {
		theirs := master.group.machines[i].priority
		serves := m.priority >= floor && theirs < floor
		if !serves && !((m.s.Preempt || m.owner()) && m.priority > theirs) {
			return false
		}
	}
	return true
}

// play returns what went wrong, and the world as it is then.
func play(seed uint64, trace func(string, ...any)) (string, *world) {
	w, p := newWorld(seed, trace)
	w.weather(p)
	if w.failure == "" {
		w.calm()
	}
	// Two elections: one from what the bad time has left, one for a better node that begins to preempt after its delays.
	w.run(w.now + p.slack + 12*p.interval)
	since := w.now
	w.run(w.now + 5*p.interval)
	w.judge(since)
	return w.failure, w
}

// TestSchedules plays random schedules. SKEIN_VRRP_SEED=n plays one with its story.
func TestSchedules(t *testing.T) {
	if s := os.Getenv("SKEIN_VRRP_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		tell(t, seed)
		return
	}
	count := uint64(100_000)
	if os.Getenv("SKEIN_SOAK") != "" {
		count = 1_000_000
	}
	if testing.Short() {
		count = 5_000
	}
	const shares = 4 // side by side
	for first := range uint64(shares) {
		t.Run(strconv.FormatUint(first, 10), func(t *testing.T) {
			t.Parallel()
			for seed := first; seed < count; seed += shares {
				if failure, _ := play(seed, nil); failure != "" {
					tell(t, seed)
					return
				}
			}
		})
	}
}

// TestSchedulesHappen makes sure that the schedules are as bad as they should be: a rule that none of them meets is not tested by them.
func TestSchedulesHappen(t *testing.T) {
	var sum Counters
	sum.Refused = map[string]uint64{}
	twice, lone := 0, 0 // schedules whose nodes had masters beside each other; that ended with one node alone
	for seed := range uint64(1000) {
		_, w := play(seed, nil)
		beside, alive := uint64(0), 0
		for _, n := range w.nodes {
			if n.group == nil {
				continue
			}
			alive++
			for _, m := range n.group.machines {
				c := m.Counters()
				beside += c.MastersBeside
				sum.SentZero += c.SentZero
				sum.ReceivedZero += c.ReceivedZero
				sum.BecameMaster += c.BecameMaster
				sum.BecameFault += c.BecameFault
				sum.Slept += c.Slept
				for r, n := range c.Refused {
					sum.Refused[r] += n
				}
			}
		}
		if beside > 0 {
			twice++
		}
		if alive == 1 {
			lone++
		}
	}
	t.Logf("1000 schedules: %+v, %d with masters beside each other, %d with one node at the end", sum, twice, lone)
	for name, n := range map[string]uint64{
		"priority 0 sent": sum.SentZero, "priority 0 heard": sum.ReceivedZero, "became master": sum.BecameMaster, "fault": sum.BecameFault, "slept": sum.Slept,
		"refused for their count": sum.Refused["count"], "masters beside": uint64(twice), "one node": uint64(lone),
	} {
		if n < 20 {
			t.Errorf("%s: %d times in 1000 schedules, want at least 20", name, n)
		}
	}
}

// tell plays a schedule again, with its story.
func tell(t *testing.T, seed uint64) {
	var story strings.Builder
	failure, _ := play(seed, func(format string, args ...any) { fmt.Fprintf(&story, format+"\n", args...) })
	t.Logf("seed %d:\n%s", seed, &story)
	if failure != "" {
		t.Fatalf("seed %d: %s; again: SKEIN_VRRP_SEED=%d go test -v -run 'TestSchedules$' ./vip/vrrp", seed, failure, seed)
	}
}
