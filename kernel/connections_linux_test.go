package kernel

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestConnections(t *testing.T) {
	w := newPair(t)
	n := New()
	count := func(list ...string) int {
		t.Helper()
		c, err := n.Connections(prefixAddrs(list...))
		w.must(err)
		return c
	}
	// One listener for both families, so that its IPv4 connections are ::ffff:10.9.0.2 to the kernel, and one of each family.
	var both, v4, v6 net.Listener
	w.in(w.b, func() {
		for _, l := range []struct {
			to               *net.Listener
			network, address string
		}{{&both, "tcp", ":0"}, {&v4, "tcp4", "0.0.0.0:0"}, {&v6, "tcp6", "[::]:0"}} {
			var err error
			*l.to, err = net.Listen(l.network, l.address)
			w.must(err)
			t.Cleanup(func() { _ = (*l.to).Close() })
		}
	})
	dial := func(l net.Listener, host string) net.Conn {
		_, port, err := net.SplitHostPort(l.Addr().String())
		w.must(err)
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		w.must(err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial(both, "10.9.0.2")
	dial(v4, "10.9.0.2")
	dial(both, "fd00::2")
	last := dial(v6, "fd00::2")
	w.in(w.b, func() {
		w.eventually("handshakes", func() bool { return count("10.9.0.2", "fd00::2") == 4 })
		for _, c := range []struct {
			list []string
			want int
		}{
			{[]string{"10.9.0.2"}, 2},
			{[]string{"fd00::2"}, 2},
			{[]string{"::ffff:10.9.0.2"}, 2},
			{[]string{"10.9.0.2", "fd00::2"}, 4},
			{[]string{"10.9.0.1", "fd00::1"}, 0}, // the other end
			{[]string{"0.0.0.0", "::"}, 0},       // listeners are no connections
			{nil, 0},
		} {
			if got := count(c.list...); got != c.want {
				t.Errorf("Connections(%v) = %d, want %d", c.list, got, c.want)
			}
		}
	})
	// A visitor that has said all it has to say still waits for the answer: CLOSE_WAIT.
	w.must(last.(*net.TCPConn).CloseWrite())
	served, err := v6.Accept()
	w.must(err)
	w.must(served.SetReadDeadline(time.Now().Add(2 * time.Second)))
	if _, err := served.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read from the visitor = %v, want its end", err)
	}
	w.in(w.b, func() {
		if got := count("fd00::2"); got != 2 {
			t.Errorf("Connections() with one in CLOSE_WAIT = %d, want 2", got)
		}
	})
	// One that both have closed is none: the side that closed first keeps it in TIME_WAIT.
	w.must(served.Close())
	w.must(last.Close())
	w.in(w.b, func() {
		w.eventually("end of the connection", func() bool { return count("fd00::2") == 1 })
	})
}

// A handshake that waits for the visitor's ACK counts: its SYN has been answered, so the visitor will not send it again to the
// new owner.
func TestConnectionsCountHandshakes(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp"} {
		t.Run(network, func(t *testing.T) {
			w := newPair(t)
			var port uint16
			mac := w.link("a0").MAC.String()
			w.in(w.b, func() {
				l, err := net.Listen(network, ":0")
				w.must(err)
				t.Cleanup(func() { _ = l.Close() })
				port = netip.MustParseAddrPort(l.Addr().String()).Port()
				w.ip("neigh add 10.9.0.77 lladdr " + mac + " dev b0 nud permanent")
			})
			// A SYN of an address that nobody has, so that nobody answers the SYN+ACK with a reset.
			s, err := newFrameSocket()
			w.must(err)
			defer s.close()
			w.must(s.sendFrame(w.link("a0").Index, w.syn(ip("10.9.0.77"), ip("10.9.0.2"), port)))
			w.in(w.b, func() {
				w.eventually("a half-open connection in Connections()", func() bool {
					c, err := New().Connections(prefixAddrs("10.9.0.2"))
					w.must(err)
					return c == 1
				})
			})
		})
	}
}

// syn is a frame with a TCP SYN to the other end.
func (w *world) syn(src, dst netip.Addr, port uint16) []byte {
	var to net.HardwareAddr
	w.in(w.b, func() { to = w.link("b0").MAC })
	b := appendEthernet(nil, to, w.link("a0").MAC, typeIPv4)
	at := len(b)
	b = append(b, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, unix.IPPROTO_TCP, 0, 0)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(b[at:], 0))
	at = len(b)
	b = append(b, 0x30, 0x39)
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0)
	pseudo := sum(src.AsSlice(), sum(dst.AsSlice(), unix.IPPROTO_TCP+20))
	binary.BigEndian.PutUint16(b[at+16:], checksum(b[at:], pseudo))
	return b
}

func TestListMessages(t *testing.T) {
	wanted := map[netip.Addr]bool{ip("10.9.0.2"): true}
	message := make([]byte, unix.SizeofNlMsghdr+diagMessageSize)
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], unix.SOCK_DIAG_BY_FAMILY)
	body := message[unix.SizeofNlMsghdr:]
	body[0] = unix.AF_INET
	copy(body[diagSourceAt:], []byte{10, 9, 0, 2})
	done := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint32(done, uint32(len(done)))
	binary.NativeEndian.PutUint16(done[4:], unix.NLMSG_DONE)
	for _, c := range []struct {
		name  string
		b     []byte
		count int
		done  bool
		err   bool
	}{
		{"nothing", nil, 0, false, false},
		{"one", message, 1, false, false},
		{"two and the end", append(append(append([]byte{}, message...), message...), done...), 2, true, false},
		{"cut off", message[:len(message)-1], 0, false, true},
		{"length zero", make([]byte, 16), 0, false, true},
	} {
		ids, done, err := listMessages(nil, c.b, wanted)
		count := len(ids)
		if count != c.count || done != c.done || (err != nil) != c.err {
			t.Errorf("listMessages(%s) = %d, %v, %v, want %d, %v, error %v", c.name, count, done, err, c.count, c.done, c.err)
		}
	}
}

// BenchmarkConnections counts 10,000 connections.
func BenchmarkConnections(b *testing.B) {
	const pairs = 5000 // both ends are on this machine, and have the address
	l, err := net.Listen("tcp", "127.0.0.43:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 43)}}
	for range pairs {
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Skipf("no %d connections here: %v", pairs, err)
		}
		defer c.Close()
	}
	n := New()
	for b.Loop() {
		if got, err := n.Connections([]netip.Addr{ip("127.0.0.43")}); err != nil || got != 2*pairs {
			b.Fatalf("Connections() = %d, %v, want %d", got, err, 2*pairs)
		}
	}
}
