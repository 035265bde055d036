package lab

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// receiver is a UDP socket in the host with room for all that a test sends, however late it is read.
func receiver(t *testing.T, h *Host, network, addr string) net.PacketConn {
	t.Helper()
	var in net.PacketConn
	if err := h.Do(func() (err error) {
		in, err = net.ListenPacket(network, addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	raw, err := in.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return in
}

// datagrams sends n datagrams of UDP from one host to another and returns how many arrive.
func datagrams(t *testing.T, from, to *Host, network, addr string, n int) int {
	t.Helper()
	in := receiver(t, to, network, addr)
	defer in.Close()
	out, err := from.Dial(context.Background(), network, in.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	got := make(chan int)
	go func() {
		count := 0
		for b := make([]byte, 10); ; {
			if _, _, err := in.ReadFrom(b); err != nil {
				got <- count
				return
			}
			count++
		}
	}()
	for range n {
		if _, err := out.Write([]byte{'d'}); err != nil {
			t.Fatal(err)
		}
	}
	in.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	return <-got
}

func TestLoss(t *testing.T) {
	t.Parallel()
	_, lan, a, b, _ := three(t)
	const n = 1000
	port := a.Port(0)
	seen := lan.Capture(Of(UDP))
	// The queue for who does not know the other's MAC address yet would lose some.
	datagrams(t, a, b, "udp4", "10.0.0.12:0", 1)
	for _, c := range []struct {
		name      string
		lose      func()
		out, in   int // of n datagrams, those that come from a and to a
		tolerance int
	}{
		{"nothing", func() {}, n, n, 0},
		{"all that it sends", func() { port.Lose(Out, 1) }, 0, n, 0},
		{"all that it sends, and a third of what it gets", func() { port.Lose(In, 1./3) }, 0, 667, 100},
		{"a third of what it gets", func() { port.Lose(Out, 0) }, n, 667, 100},
		{"nothing again", func() { port.Lose(In, 0) }, n, n, 0},
		{"VRRP", func() { port.Lose(In, 1, VRRP); port.Lose(Out, 1, VRRP) }, n, n, 0},
		{"UDP and TCP that it sends", func() { port.Lose(Out, 1, UDP, TCP) }, 0, n, 0},
		{"IPv6 alone", func() { port.Lose(Out, 0, UDP, TCP); port.Lose(Out, 1, IPv6) }, n, n, 0},
		{"IPv4", func() { port.Lose(Out, 1, IPv4) }, 0, n, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.lose()
			near := func(got, want int) bool { return got >= want-c.tolerance && got <= want+c.tolerance }
			if got := datagrams(t, a, b, "udp4", "10.0.0.12:0", n); !near(got, c.out) {
				t.Errorf("%d of %d datagrams of a arrive, want %d", got, n, c.out)
			}
			if got := datagrams(t, b, a, "udp4", "10.0.0.11:0", n); !near(got, c.in) {
				t.Errorf("%d of %d datagrams to a arrive, want %d", got, n, c.in)
			}
		})
	}
	port.Lose(Out, 0, IPv4)
	if got := datagrams(t, a, b, "udp6", "[fd00::12]:0", 10); got != 0 {
		t.Errorf("%d datagrams arrive by IPv6, want 0", got)
	}
	// The switch sees what it loses.
	if n := len(seen.Packets()); n < 10_000 {
		t.Errorf("%d datagrams were seen, want all", n)
	}
}

func TestCapture(t *testing.T) {
	t.Parallel()
	_, lan, a, b, c := three(t)
	inA, inB, between := a.Capture(0), b.Capture(0), lan.Capture()
	serve(a, ":80")
	begin := time.Now()
	if !reaches(b, "10.0.0.11:80") || !reaches(b, "[fd00::11]:80") {
		t.Fatal("b does not reach a")
	}
	end := time.Now()
	mac := func(h *Host) string { return h.Port(0).MAC.String() }
	for _, w := range []struct {
		name    string
		capture *Capture
		match   func(Packet) bool
	}{
		{"SYN at b", inB, func(p Packet) bool { return p.Flags == SYN && p.Out && p.DstPort == 80 && p.Dst == a.Port(0).Addr() }},
		{"SYN at a", inA, func(p Packet) bool { return p.Flags == SYN && !p.Out && p.DstPort == 80 && p.Src == b.Port(0).Addr() }},
		{"SYN in the switch", between, func(p Packet) bool { return p.Flags == SYN && p.SrcMAC.String() == mac(b) }},
		{"SYN by IPv6", inA, func(p Packet) bool {
			return p.Flags == SYN|ACK && p.Out && p.SrcPort == 80 && p.Src.Is6() && p.TTL == 64
		}},
		{"a question of ARP", inA, func(p Packet) bool {
			return p.ARP != nil && p.ARP.Operation == 1 && p.ARP.SenderMAC.String() == mac(b) && p.ARP.Target == a.Port(0).Addr() && !p.ARP.Gratuitous()
		}},
		{"an answer of IPv6", inB, func(p Packet) bool {
			n := p.Advertisement
			return n != nil && n.Solicited && n.MAC.String() == mac(a) && n.Target.String() == "fd00::11" && p.TTL == 255
		}},
	} {
		if p := w.capture.Wait(w.match, patience); p.Time.Before(begin) || p.Time.After(end) {
			t.Errorf("%s was seen at %v, want between %v and %v", w.name, p.Time, begin, end)
		}
	}
	if n := inA.Lost() + inB.Lost() + between.Lost(); n > 0 {
		t.Errorf("%d frames were lost", n)
	}
	// Frames that no program would send: VRRP over IPv4 with nothing in it, from a to all, and another that only c gets.
	vrrp := func(from byte) []byte {
		f := []byte{0x01, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, from, 8, 0}
		f = append(f, 0x45, 0xc0, 0, 28, 0, 0, 0x40, 0, 254, 112, 0, 0, 10, 0, 0, from, 224, 0, 0, 18)
		return append(f, 0x31, 10, 100, 1, 0, 100, 0, 0)
	}
	inC := c.Capture(0, Of(VRRP))
	a.Port(0).Emit(vrrp(11))
	c.Port(0).Inject(vrrp(77))
	for _, from := range []byte{11, 77} {
		p := inC.Wait(func(p Packet) bool { return p.Src.As4()[3] == from }, patience)
		if p.TTL != 254 || p.TOS != 0xc0 || len(p.VRRP()) != 8 || p.VRRP()[1] != 10 || p.Out {
			t.Errorf("received %+v", p)
		}
	}
	inB.Wait(func(p Packet) bool { return p.Protocol == VRRP && p.Src.As4()[3] == 11 }, patience)
	if p, ok := inB.Find(func(p Packet) bool { return p.Protocol == VRRP && p.Src.As4()[3] == 77 }); ok {
		t.Errorf("b got a frame that was only for c: %v", p)
	}
}

// Whatever is in a frame, decoding it does not panic: every prefix of a frame of each kind, and each with every length field that
// it has set to the most.
func TestDecodeGarbage(t *testing.T) {
	head := func(kind uint16, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint16(make([]byte, 12), kind), rest...)
	}
	na := append([]byte{0x60, 0, 0, 0, 0, 48, 0, 255}, make([]byte, 32)...)
	na = append(na, unix.IPPROTO_ICMPV6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // hop-by-hop options of 16 bytes
	na = append(na, append(make([]byte, 24), 2, 1, 1, 2, 3, 4, 5, 6)...)
	na[56], na[60] = 136, 0x20
	tcp := append([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, make([]byte, 20)...)
	arp := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, make([]byte, 20)...)
	for _, frame := range [][]byte{head(unix.ETH_P_IPV6, na...), head(unix.ETH_P_IP, tcp...), head(unix.ETH_P_ARP, arp...)} {
		for i := range len(frame) + 1 {
			p := Packet{Frame: frame[:i:i]}
			p.decode()
			_ = p.String()
		}
		for i := range frame {
			for _, v := range []byte{0, 1, 0xff} {
				changed := append([]byte(nil), frame...)
				changed[i] = v
				p := Packet{Frame: changed}
				p.decode()
				_ = p.String()
			}
		}
	}
	p := Packet{Frame: head(unix.ETH_P_IPV6, na...)}
	p.decode()
	if a := p.Advertisement; a == nil || !a.Override || a.MAC.String() != "01:02:03:04:05:06" {
		t.Errorf("decoded advertisement = %+v", a)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	_, _, a, b, _ := three(t)
	add := func(h *Host, addr string) {
		t.Helper()
		if p := h.Start("ip", "addr", "add", addr, "dev", "eth0"); p.Wait(patience) != 0 {
			t.Fatal(p.Log())
		}
	}
	del := func(h *Host, addr string) {
		t.Helper()
		if p := h.Start("ip", "addr", "del", addr, "dev", "eth0"); p.Wait(patience) != 0 {
			t.Fatal(p.Log())
		}
	}
	for _, addr := range []string{"10.0.0.100/24", "fd00::100/128"} {
		bare := addr[:len(addr)-len("/24")]
		if addr[0] == 'f' {
			bare = addr[:len(addr)-len("/128")]
		}
		add(a, addr) // before it is watched
		w := Watch(bare, a, b)
		start := time.Now()
		add(b, addr)
		// The kernel tells of it when the command has ended already.
		count := func(n int) func() bool { return func() bool { return len(w.Owners(time.Now())) == n } }
		harness.Eventually(t, patience, "a and b own it", count(2))
		del(a, addr)
		alone := w.Wait(b, patience)
		del(b, addr)
		harness.Eventually(t, patience, "nobody owns it", count(0))
		add(a, addr)
		w.Wait(a, patience)
		if n := len(w.Doubles()); n != 1 || w.DoubleTime() <= 0 || w.DoubleTime() > alone.Sub(start) {
			t.Errorf("%d times two owners, for %v, want once for at most %v", n, w.DoubleTime(), alone.Sub(start))
		}
		if n := len(w.Gaps()); n != 1 || w.LongestGap() <= 0 || w.LongestGap() > time.Since(alone) {
			t.Errorf("%d gaps, the longest %v, want one of at most %v", n, w.LongestGap(), time.Since(alone))
		}
		if got := w.Owners(alone); len(got) != 1 || got[0] != "b" {
			t.Errorf("owners then = %v, want b", got)
		}
		// A host that is cut off keeps the address, and does not count.
		w.Exclude(a)
		add(b, addr)
		w.Wait(b, patience)
		w.Include(a)
		harness.Eventually(t, patience, "a and b own it at the end", count(2))
		t.Logf("\n%s", w)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	_, _, a, _, c := three(t)
	a.Origin(":80", nil)
	for name, o := range map[string]Probing{"new connections": {}, "kept": {Keep: true}} {
		t.Run(name, func(t *testing.T) {
			p := c.Probe("http://10.0.0.11/", o)
			p.Answered(patience)
			begin := time.Now()
			a.Port(0).Unplug()
			time.Sleep(300 * time.Millisecond) // the fault lasts so long
			a.Port(0).Plug()
			p.Answered(patience)
			time.Sleep(1200 * time.Millisecond) // until SYNs have been sent again
			r := p.Stop()
			t.Log(r)
			if gap := r.Gap(); gap < 280*time.Millisecond || gap > 700*time.Millisecond {
				t.Errorf("gap = %v, want about 300 ms", gap)
			}
			if n := len(r.Failed()); n > 0 {
				t.Errorf("%d requests failed", n)
			}
			if n := len(r.Retransmitted()); n < 10 {
				t.Errorf("%d requests were retransmitted, want those of the fault", n)
			}
			if n := len(r.Late(200 * time.Millisecond)); n < 10 {
				t.Errorf("%d requests were late, want those of the fault", n)
			}
			if quiet := r.Between(r.From, begin); quiet.Gap() > 100*time.Millisecond {
				t.Errorf("gap before the fault = %v", quiet.Gap())
			}
			if n := r.Servers()["a"]; n != len(r.Requests) || n < 200 {
				t.Errorf("%d answers of a to %d requests", n, len(r.Requests))
			}
			fresh := 0
			for _, q := range r.Requests {
				if q.Fresh {
					fresh++
				}
			}
			if o.Keep && fresh > len(r.Requests)*9/10 || !o.Keep && fresh != len(r.Requests) {
				t.Errorf("%d of %d requests had new connections", fresh, len(r.Requests))
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		p := c.Probe("http://10.0.0.11:81/", Probing{})
		harness.Eventually(t, patience, "requests fail", func() bool { return len(p.Report().Failed()) > 10 })
		if r := p.Stop(); len(r.Failed()) != len(r.Requests) || r.Gap() < 40*time.Millisecond {
			t.Errorf("report = %v", r)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		p := c.Probe("http://10.0.0.50/", Probing{Timeout: 100 * time.Millisecond}) // nobody
		harness.Eventually(t, patience, "requests fail", func() bool { return len(p.Report().Failed()) > 50 })
		r := p.Stop()
		for _, q := range r.Requests {
			if q.Took() > time.Second {
				t.Errorf("a request took %v", q.Took())
			}
		}
	})
}
