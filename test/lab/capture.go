package lab

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// Capture collects the frames of one interface, in memory. It keeps the last [captureLimit] of them.
type Capture struct {
	t    testing.TB
	name string
	keep func(*Packet) bool
	file *os.File
	done chan struct{}

	mu      sync.Mutex // guards the rest
	packets []Packet   // never changed, so that readers may hold a part of it
	dropped int        // how many came before packets
	lost    int        // of the kernel
	err     error
}

// captureLimit is how many frames are kept, at least; up to twice as many are held.
const captureLimit = 100_000

// Capture begins to collect the frames of the n-th port as the host sees them, until the test ends. With keep functions, it
// collects those frames only that all of them want: a busy test drowns what it looks for.
func (h *Host) Capture(n int, keep ...func(*Packet) bool) *Capture {
	h.lab.t.Helper()
	return capture(h.lab.t, h.space, h.ports[n].String(), h.ports[n].link.Index, keep)
}

// Capture begins to collect all frames that come to the switch from any port. Those that it loses (see [Port.Lose]) are among
// them.
func (s *Switch) Capture(keep ...func(*Packet) bool) *Capture {
	s.lab.t.Helper()
	return capture(s.lab.t, s.lab.cables, s.String(), s.bridge.Index, keep)
}

// Of wants frames of these protocols, for Capture.
func Of(protocols ...Protocol) func(*Packet) bool {
	return func(p *Packet) bool {
		for _, protocol := range protocols {
			if p.Type == protocol || p.Protocol == protocol {
				return true
			}
		}
		return false
	}
}

func capture(t testing.TB, s *space, name string, index int, keep []func(*Packet) bool) *Capture {
	t.Helper()
	c := &Capture{t: t, name: name, done: make(chan struct{}), keep: func(p *Packet) bool {
		for _, k := range keep {
			if !k(p) {
				return false
			}
		}
		return true
	}}
	if err := s.do(func() error { return c.open(index) }); err != nil {
		t.Fatalf("capture at %s: %v", name, err)
	}
	go c.read()
	t.Cleanup(c.Stop)
	return c
}

// open makes the socket.
func (c *Capture) open(index int) error {
	// Without a protocol it receives nothing until it is bound to its interface.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	c.file = os.NewFile(uintptr(fd), "packet socket")
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
		return fmt.Errorf("set SO_RCVBUFFORCE: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("set SO_TIMESTAMPNS: %w", err)
	}
	// A bridge shows what it only forwards to who is promiscuous.
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}); err != nil {
		return fmt.Errorf("set PACKET_MR_PROMISC: %w", err)
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: index})
}

// read collects until the socket is closed.
func (c *Capture) read() {
	defer close(c.done)
	raw, err := c.file.SyscallConn()
	if err != nil {
		c.fail(err)
		return
	}
	frame, control := make([]byte, snap), make([]byte, 128)
	for {
		var n, controls int
		var from unix.Sockaddr
		var got error
		err := raw.Read(func(fd uintptr) bool {
			n, controls, _, from, got = unix.Recvmsg(int(fd), frame, control, unix.MSG_TRUNC)
			return got != unix.EAGAIN && got != unix.EINTR
		})
		if err != nil {
			return // closed
		}
		if got == unix.ENETDOWN { // said once when the interface goes down
			continue
		}
		if got != nil {
			c.fail(got)
			return
		}
		p := Packet{Time: stamp(control[:controls]), Frame: append([]byte(nil), frame[:min(n, snap)]...), Length: n}
		if l, ok := from.(*unix.SockaddrLinklayer); ok {
			p.Out = l.Pkttype == unix.PACKET_OUTGOING
		}
		p.decode()
		if c.keep(&p) {
			c.add(p)
		}
	}
}

// stamp is the kernel's time stamp (SO_TIMESTAMPNS), which is of the wall clock, as a time of the monotonic one.
func stamp(control []byte) time.Time {
	now := time.Now()
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return now
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			sec, nsec := int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))
			return now.Add(time.Unix(sec, nsec).Sub(now.Round(0)))
		}
	}
	return now
}

func (c *Capture) add(p Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets = append(c.packets, p)
	if len(c.packets) >= 2*captureLimit {
		c.dropped += captureLimit
		c.packets = append([]Packet(nil), c.packets[captureLimit:]...)
	}
}

func (c *Capture) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// Packets are the frames so far, in the order in which the kernel saw them.
func (c *Capture) Packets() []Packet {
	c.t.Helper()
	packets, _ := c.since(0)
	return packets
}

// since is the frames from the n-th on that are still there, and how many there have been.
func (c *Capture) since(n int) (packets []Packet, all int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.t.Fatalf("capture at %s: %v", c.name, c.err)
	}
	end := len(c.packets)
	return c.packets[min(max(0, n-c.dropped), end):end:end], c.dropped + end
}

// Lost is how many frames are missing from [Capture.Packets] because there were too many.
func (c *Capture) Lost() int {
	c.t.Helper()
	raw, err := c.file.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	raw.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			c.lost += int(s.Drops) // since the last question
		}
	})
	return c.lost + c.dropped
}

// Find returns the first frame that matches and whether there is one.
func (c *Capture) Find(match func(Packet) bool) (Packet, bool) {
	c.t.Helper()
	return first(c.Packets(), match)
}

func first(packets []Packet, match func(Packet) bool) (Packet, bool) {
	for _, p := range packets {
		if match(p) {
			return p, true
		}
	}
	return Packet{}, false
}

// Wait waits for a frame that matches, from the beginning of the capture, and fails the test if none comes in time.
func (c *Capture) Wait(match func(Packet) bool, within time.Duration) Packet {
	c.t.Helper()
	var found Packet
	looked := 0 // frames that did not match before do not now
	harness.Eventually(c.t, within, "a frame at "+c.name, func() (ok bool) {
		var packets []Packet
		packets, looked = c.since(looked)
		found, ok = first(packets, match)
		return ok
	})
	return found
}

// Stop ends the capture. Its packets stay.
func (c *Capture) Stop() {
	c.file.Close()
	<-c.done
}

// Emit sends a frame from the host, as one of its programs could: MAC addresses first.
func (p *Port) Emit(frame []byte) {
	p.lab.t.Helper()
	p.must("send a frame", p.host.space.do(func() error { return send(p.link.Index, frame) }))
}

// Inject sends a frame to the host, as if it came from the network.
func (p *Port) Inject(frame []byte) {
	p.lab.t.Helper()
	p.must("send a frame", p.lab.cables.do(func() error { return send(p.cable.Index, frame) }))
}

func send(index int, frame []byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index})
}

func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
