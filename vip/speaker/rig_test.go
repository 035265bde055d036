package speaker

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skein/kernel"
	"skein/vip/vrrp"
)

// node is a machine on a fake network, with a speaker and a parent that is played by the test.
type node struct {
	t       *testing.T
	host    *kernel.Fake
	channel *pipe
	speaker *Speaker
	done    chan struct{}
	beaten  chan struct{} // closed when the parent beats no more
	log     bytes.Buffer  // what goes to standard error
	state   string

	mu      sync.Mutex // guards what follows
	fitness Fitness
	silent  bool // the parent does not beat
	busy    bool // the parent works
	stopped bool
	looks   int           // how often it was looked at
	ahead   time.Duration // how much later it is on this machine
	reports []Report
	serial  uint64
}

// pipe is a channel in memory.
type pipe struct {
	orders, reports chan []byte
	parentGone      chan struct{}
	closed          chan struct{}
	deaf            chan struct{} // closed: the parent reads nothing any more
	once            sync.Once
}

func (p *pipe) Receive(b []byte) (int, error) {
	select {
	case o := <-p.orders:
		return copy(b, o), nil
	case <-p.parentGone:
		return 0, &net.OpError{Op: "read", Net: "unixpacket", Err: io.EOF} // as the kernel's channel says it
	case <-p.closed:
		return 0, io.ErrClosedPipe
	}
}

func (p *pipe) Send(b []byte) error {
	select {
	case p.reports <- b:
		return nil
	case <-p.parentGone:
		return io.ErrClosedPipe
	case <-p.closed:
		return io.ErrClosedPipe
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// network is the fake, of a machine whose clock the test can push forward, as when the machine was stopped.
type network struct {
	*kernel.Fake
	n *node
}

func (w network) Now() time.Duration {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	return w.Fake.Now() + w.n.ahead
}

// Look is the parent's state. A busy one takes a tenth of a processor.
func (n *node) Look() (kernel.ProcessState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks++
	s := kernel.ProcessState{Stopped: n.stopped}
	if n.busy {
		s.Worked = n.host.Now() / 10
	}
	return s, nil
}

func (n *node) Close() error { return nil }

// start starts a speaker on a host. It ends with the test.
func start(t *testing.T, host *kernel.Fake) *node {
	t.Helper()
	n := &node{t: t, host: host, fitness: Fit, state: filepath.Join(t.TempDir(), "vip.json")}
	n.again()
	return n
}

// again starts another speaker for the node, where the one before has ended.
func (n *node) again() {
	if n.beaten != nil {
		<-n.beaten // the parent before
	}
	n.channel = &pipe{
		orders: make(chan []byte, 16), reports: make(chan []byte), parentGone: make(chan struct{}),
		closed: make(chan struct{}), deaf: make(chan struct{}),
	}
	beaten := make(chan struct{})
	n.done, n.beaten = make(chan struct{}), beaten
	n.speaker = New(network{n.host, n}, n.channel, Options{
		Process: func(int) (Process, error) { return n, nil }, ID: 7, Err: &n.log,
	})
	c, done := n.channel, n.done
	go func() {
		defer close(done)
		n.speaker.Run()
	}()
	go func() {
		for {
			select {
			case b := <-c.reports:
				var r Report
				if err := json.Unmarshal(b, &r); err != nil {
					n.t.Errorf("report %s: %v", b, err)
				}
				n.mu.Lock()
				n.reports = append(n.reports, r)
				n.mu.Unlock()
			case <-c.closed:
				return
			case <-c.deaf:
				return
			}
		}
	}()
	go func() {
		defer close(beaten)
		for {
			n.beat()
			select {
			case <-time.After(BeatEvery):
			case <-done:
				return
			}
		}
	}()
	n.t.Cleanup(func() {
		n.die()
		<-done
	})
}

// beat is what the parent says if it is not silent.
func (n *node) beat() {
	n.mu.Lock()
	n.serial++
	b := &Beat{Serial: n.serial, Ranks: map[string]Rank{"front": {Fitness: n.fitness}, "back": {Fitness: n.fitness}}}
	quiet := n.silent || n.stopped
	n.mu.Unlock()
	if !quiet {
		n.order(Order{Beat: b})
	}
}

func (n *node) order(o Order) {
	b, err := json.Marshal(o)
	if err != nil {
		n.t.Error(err)
	}
	select {
	case n.channel.orders <- b:
	case <-n.channel.parentGone:
	case <-n.channel.closed:
	}
}

// set changes what the parent or the machine is like.
func (n *node) set(change func(n *node)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// die is the end of the parent.
func (n *node) die() {
	select {
	case <-n.channel.parentGone:
	default:
		close(n.channel.parentGone)
	}
}

// configure tells the speaker what to do and returns what it answers.
func (n *node) configure(resume []vrrp.Snapshot, groups ...Group) string {
	n.t.Helper()
	n.beat() // as the balancer does: what it is fit for is known before it begins
	n.mu.Lock()
	n.serial++
	serial := n.serial
	n.mu.Unlock()
	n.order(Order{Configure: &Configure{Serial: serial, Parent: 1, State: n.state, Groups: groups, Resume: resume}})
	synctest.Wait()
	for _, r := range n.heard() {
		if r.Configured != nil && r.Configured.Serial == serial {
			return r.Configured.Error
		}
	}
	n.t.Errorf("%s: no answer to a configuration", n.host.Name())
	return ""
}

func (n *node) heard() []Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.reports)
}

// changes are the transitions of a family of front that were reported, as "backup master".
func (n *node) changes(family int) (states []vrrp.State) {
	for _, r := range n.heard() {
		if r.Change != nil && r.Change.Family == family && r.Change.VIP == "front" {
			states = append(states, r.Change.To)
		}
	}
	return states
}

// status is the last one that was reported.
func (n *node) status(vip string, family int) InstanceStatus {
	n.t.Helper()
	for _, r := range slices.Backward(n.heard()) {
		if r.Status == nil {
			continue
		}
		for _, i := range r.Status.Instances {
			if i.VIP == vip && i.Family == family {
				return i
			}
		}
		break
	}
	n.t.Fatalf("%s: no status of %s over IPv%d", n.host.Name(), vip, family)
	return InstanceStatus{}
}

// logged tells whether a log line has these words.
func (n *node) logged(words string) bool {
	for _, r := range n.heard() {
		if r.Log != nil && r.Log.Message == words {
			return true
		}
	}
	return false
}

// router is an instance of the vip front over the multicast group: 10.0.0.100 or fd00::100 and what else is wanted.
func router(host *kernel.Fake, priority uint8, prefixes ...string) Instance {
	i := Instance{VIP: "front", Interface: "eth0", Unfit: priority/10 - 12, Drained: priority/10 - 15}
	for _, p := range prefixes {
		i.Prefixes = append(i.Prefixes, netip.MustParsePrefix(p))
		i.Router.Addresses = append(i.Router.Addresses, netip.MustParsePrefix(p).Addr())
	}
	v6 := i.Prefixes[0].Addr().Is6()
	links, _ := host.Links()
	for _, p := range links[0].Prefixes {
		if p.Addr().Is6() == v6 && (!v6 || p.Addr().IsLinkLocalUnicast()) {
			i.Router.Source = p.Addr()
			break
		}
	}
	i.Router.Version, i.Router.RouterID = 3, 10
	i.Router.Interval = 100 * time.Millisecond
	i.Router.Priority, i.Router.Floor, i.Router.Preempt = priority, 9, true
	return i
}

func one(i ...Instance) Group { return Group{Name: i[0].VIP, Instances: i} }

const front = "10.0.0.100/24"

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// pair is two nodes, lb1 with priority 200 and lb2 with 190, of which lb1 is master. Time is then a whole number of its
// advertisements and half an interval.
func pair(t *testing.T, prefixes ...string) (*kernel.FakeLAN, *node, *node) {
	t.Helper()
	lan := kernel.NewFakeLAN()
	a := start(t, lan.Host("lb1", prefix("10.0.0.11/24"), prefix("fd00::11/64")))
	b := start(t, lan.Host("lb2", prefix("10.0.0.12/24"), prefix("fd00::12/64")))
	if len(prefixes) == 0 {
		prefixes = []string{front}
	}
	for n, priority := range map[*node]uint8{a: 200, b: 190} {
		if e := n.configure(nil, one(router(n.host, priority, prefixes...))); e != "" {
			t.Fatalf("configure: %s", e)
		}
	}
	time.Sleep(masterDown(200) + 950*time.Millisecond)
	synctest.Wait()
	if got := lan.Holders(prefix(prefixes[0]).Addr()); !slices.Equal(got, []string{"lb1"}) {
		t.Fatalf("holders = %v, want lb1", got)
	}
	return lan, a, b
}

// masterDown is how long a backup waits at an interval of 100 ms, and skew its share of it.
func masterDown(priority int) time.Duration { return 300*time.Millisecond + skew(priority) }

func skew(priority int) time.Duration {
	return time.Duration(256-priority) * 100 * time.Millisecond / 256
}

// happened is when an address was added, removed or announced by a host last, and how often.
func happened(lan *kernel.FakeLAN, host string, what kernel.FakeWhat, a netip.Addr) (at time.Time, times int) {
	for _, e := range lan.Events() {
		if e.Host == host && e.What == what && e.Addr == a {
			at = e.At
			times++
		}
	}
	return at, times
}

// said is when a host sent an advertisement last and its priority.
func said(lan *kernel.FakeLAN, host string) (at time.Time, priority byte) {
	for _, e := range lan.Events() {
		if e.Host == host && e.What == kernel.FakeSent {
			at, priority = e.At, e.Payload[2]
		}
	}
	return at, priority
}

// settled waits for d and lets everything happen.
func settled(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// owner fails unless exactly this host has the address.
func owner(t *testing.T, lan *kernel.FakeLAN, a string, want ...string) {
	t.Helper()
	if got := lan.Holders(addr(a)); !slices.Equal(got, want) {
		t.Errorf("%s is on %v, want %v", a, got, want)
	}
}
