package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Wire is a cable in user space, which treats frames badly: two TAP devices, and a relay between them. A new one only relays. Its
// settings are for both directions and hold from the next frame on; what it does follows from a seed and the frames that come.
//
//	host eth0 - cable - [bridge] - TAP = relay = TAP - switch, or the same again
type Wire struct {
	ports []*Port           // that it serves: one, and then the other end is in its switch, or two
	near  []*netlink.Bridge // where these ports' cables are
	taps  [2]*tap
	lanes [2]*lane

	mu     sync.Mutex // guards manner
	manner manner

	passed, lost, doubled, reordered atomic.Int64
}

// manner is how a wire treats frames.
type manner struct {
	delay, jitter         time.Duration
	lose, double, reorder float64
}

// Wire puts a wire between the port and its switch.
func (p *Port) Wire() *Wire {
	p.lab.t.Helper()
	return p.lab.lay(p)
}

// Wire joins two ports by a wire of their own. They leave their switches.
func (l *Lab) Wire(a, b *Port) *Wire {
	l.t.Helper()
	return l.lay(a, b)
}

// lay makes a wire and connects the ports to it.
func (l *Lab) lay(ports ...*Port) *Wire {
	l.t.Helper()
	w := &Wire{ports: ports}
	l.wires++
	for i := range w.taps {
		var err error
		name := fmt.Sprintf("wire%d.%d", l.wires, i)
		if err := l.cables.do(func() error {
			w.taps[i], err = newTAP(name)
			return err
		}); err != nil {
			l.t.Fatalf("make a wire: %v", err)
		}
		must := func(what string, err error) {
			if err != nil {
				l.t.Fatalf("make a wire: %s: %v", what, err)
			}
		}
		link, err := l.cables.route.LinkByName(name)
		must("find the TAP", err)
		w.taps[i].link = &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name, Index: link.Attrs().Index}}
		if i < len(ports) {
			b := l.newBridge(name + "b")
			w.near = append(w.near, b)
			must("plug the TAP in", l.cables.route.LinkSetMaster(w.taps[i].link, b))
		}
		must("set the TAP up", l.cables.route.LinkSetUp(w.taps[i].link))
	}
	for i := range w.lanes {
		w.lanes[i] = &lane{wire: w, from: w.taps[i], to: w.taps[1-i], frames: make(chan []byte, 256), quit: make(chan struct{}), done: make(chan struct{})}
	}
	w.Seed(1)
	for i := range w.lanes {
		go w.lanes[i].read()
		go w.lanes[i].relay()
	}
	l.t.Cleanup(func() {
		for i := range w.lanes {
			close(w.lanes[i].quit)
			w.taps[i].file.Close()
		}
		for i := range w.lanes {
			<-w.lanes[i].done
		}
	})
	for _, p := range ports {
		p.wire = w
		p.attach()
	}
	return w
}

// bridge is where the port's cable is.
func (w *Wire) bridge(p *Port) *netlink.Bridge {
	if len(w.ports) == 2 && w.ports[1] == p {
		return w.near[1]
	}
	return w.near[0]
}

// far is the end that belongs into the port's switch, nil if the wire leads to another port.
func (w *Wire) far() *netlink.Device {
	if len(w.ports) == 2 {
		return nil
	}
	return w.taps[1].link
}

// Delay holds each frame for d, plus or minus up to jitter. The order stays.
func (w *Wire) Delay(d, jitter time.Duration) {
	w.set(func(m *manner) { m.delay, m.jitter = d, jitter })
}

// Lose drops a share of the frames, 0 - 1.
func (w *Wire) Lose(share float64) { w.set(func(m *manner) { m.lose = share }) }

// Duplicate sends a share of the frames twice.
func (w *Wire) Duplicate(share float64) { w.set(func(m *manner) { m.double = share }) }

// Reorder holds a share of the frames until a later one has passed, but at most [overtake].
func (w *Wire) Reorder(share float64) { w.set(func(m *manner) { m.reorder = share }) }

// overtake is how long a frame that shall be overtaken waits for it.
const overtake = time.Second

// Seed begins the chances anew. A new wire has 1.
func (w *Wire) Seed(seed uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.lanes {
		w.lanes[i].chance = rand.New(rand.NewPCG(seed, uint64(i)))
	}
}

// Frames counts what became of frames, of both directions: those that were relayed, and among them those sent twice and those
// that were overtaken; those that were lost.
func (w *Wire) Frames() (relayed, doubled, reordered, lost int) {
	return int(w.passed.Load()), int(w.doubled.Load()), int(w.reordered.Load()), int(w.lost.Load())
}

func (w *Wire) set(f func(*manner)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.manner)
}

// lane is one direction of a wire.
type lane struct {
	wire     *Wire
	from, to *tap
	chance   *rand.Rand // guarded by the wire's mutex
	frames   chan []byte
	quit     chan struct{}
	done     chan struct{} // closed when relay has ended
}

// laneLimit is how many frames a lane holds; more are lost, as in any buffer.
const laneLimit = 10_000

// waiting is a frame that will be sent.
type waiting struct {
	due   time.Time
	frame []byte
}

// read takes frames from the TAP until it is closed.
func (l *lane) read() {
	defer close(l.frames)
	b := make([]byte, 64<<10)
	for {
		n, err := l.from.file.Read(b)
		if err != nil {
			return
		}
		select {
		case l.frames <- append([]byte(nil), b[:n]...):
		case <-l.quit:
			return
		}
	}
}

// relay sends frames when they are due.
func (l *lane) relay() {
	defer close(l.done)
	var queue, held []waiting // both in the order of their times
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		for len(queue) > 0 && !queue[0].due.After(now) {
			l.send(queue[0].frame)
			queue = queue[1:]
			for _, h := range held { // they have been overtaken
				l.wire.reordered.Add(1)
				l.send(h.frame)
			}
			held = nil
		}
		for len(held) > 0 && !held[0].due.After(now) {
			l.send(held[0].frame)
			held = held[1:]
		}
		next := time.Hour
		for _, q := range [][]waiting{queue, held} {
			if len(q) > 0 {
				next = min(next, q[0].due.Sub(now))
			}
		}
		timer.Reset(next)
		select {
		case <-l.quit:
			return
		case <-timer.C:
		case frame, ok := <-l.frames:
			if !ok {
				return
			}
			queue, held = l.treat(frame, queue, held)
		}
	}
}

// treat decides what becomes of a frame.
func (l *lane) treat(frame []byte, queue, held []waiting) (q, h []waiting) {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	m := l.wire.manner
	// Every frame asks for the same chances, whatever the manner is, so that a change of one does not change the others.
	lose, double, reorder, spread := l.chance.Float64(), l.chance.Float64(), l.chance.Float64(), l.chance.Float64()
	if lose < m.lose || len(queue)+len(held) >= laneLimit {
		l.wire.lost.Add(1)
		return queue, held
	}
	now := time.Now()
	if reorder < m.reorder {
		return queue, append(held, waiting{now.Add(overtake), frame})
	}
	due := now.Add(m.delay + time.Duration((2*spread-1)*float64(m.jitter)))
	if n := len(queue); n > 0 && due.Before(queue[n-1].due) {
		due = queue[n-1].due
	}
	queue = append(queue, waiting{due, frame})
	if double < m.double {
		l.wire.doubled.Add(1)
		queue = append(queue, waiting{due, frame})
	}
	return queue, held
}

// send writes a frame. While the TAP is down it is lost.
func (l *lane) send(frame []byte) {
	if _, err := l.to.file.Write(frame); err != nil {
		l.wire.lost.Add(1)
		return
	}
	l.wire.passed.Add(1)
}

// tap is an Ethernet interface whose cable is a file.
type tap struct {
	file *os.File
	link *netlink.Device
}

// newTAP makes one in the namespace of the calling thread. It is gone when the file is closed.
func newTAP(name string) (*tap, error) {
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", device, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TAP %s: %w", name, err)
	}
	// Only now: epoll(7) does not take the file before it has an interface.
	return &tap{file: os.NewFile(uintptr(fd), name)}, nil
}
