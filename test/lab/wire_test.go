package lab

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"skein/test/harness"
)

// numbered sends datagrams with the numbers 0 - n-1 from a to b and returns those that arrive until nothing comes for a while, in their order.
func numbered(t *testing.T, a, b *Host, n int, every, until time.Duration) (got []int, took time.Duration) {
	t.Helper()
	in := receiver(t, b, "udp", b.Port(0).Addr().String()+":0")
	defer in.Close()
	out, err := a.Dial(context.Background(), "udp", in.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	begin := time.Now()
	last := begin
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 10); ; {
			if _, _, err := in.ReadFrom(b); err != nil {
				return
			}
			got = append(got, int(b[0])<<8|int(b[1]))
			last = time.Now()
		}
	}()
	for i := range n {
		if _, err := out.Write([]byte{byte(i >> 8), byte(i)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(every) // what is measured is what a wire does to frames that come one by one
	}
	in.SetReadDeadline(time.Now().Add(until))
	<-done
	return got, last.Sub(begin)
}

// pause is how long nothing arrives until a test believes that nothing will. Frames in a wire need less.
const pause = 200 * time.Millisecond

func inOrder(n []int) (turned, repeated int) {
	seen, most := map[int]bool{}, -1
	for _, i := range n {
		switch {
		case seen[i]:
			repeated++
		case i < most:
			turned++
		}
		seen[i] = true
		most = max(most, i)
	}
	return turned, repeated
}

func TestWire(t *testing.T) {
	t.Parallel()
	_, _, a, b, c := three(t)
	w := a.Port(0).Wire()
	const n = 500
	near := func(got, want int) bool { return got > want*2/3 && got < want*4/3 }
	numbered(t, a, b, 1, 0, pause) // a queue for who does not know the other's MAC address yet would lose some
	got, _ := numbered(t, a, b, n, 0, pause)
	if turned, repeated := inOrder(got); len(got) != n || turned+repeated > 0 {
		t.Errorf("a new wire: %d of %d arrive, %d turned, %d repeated", len(got), n, turned, repeated)
	}
	w.Lose(0.3)
	got, _ = numbered(t, a, b, n, 0, pause)
	if turned, repeated := inOrder(got); !near(n-len(got), n*3/10) || turned+repeated > 0 {
		t.Errorf("lost 0.3: %d of %d arrive, %d turned, %d repeated", len(got), n, turned, repeated)
	}
	w.Lose(0)
	w.Duplicate(0.3)
	got, _ = numbered(t, b, a, n, 0, pause)
	if turned, repeated := inOrder(got); !near(repeated, n*3/10) || turned > 0 {
		t.Errorf("doubled 0.3: %d of %d arrive, %d turned, %d repeated", len(got), n, turned, repeated)
	}
	w.Duplicate(0)
	w.Reorder(0.3)
	got, _ = numbered(t, a, b, n, 100*time.Microsecond, overtake+pause)
	// Frames that wait together arrive in their own order, after the one that overtakes them all.
	if turned, repeated := inOrder(got); !near(turned, n*3/10) || repeated > 0 || len(got) != n {
		t.Errorf("reordered 0.3: %d of %d arrive, %d turned, %d repeated", len(got), n, turned, repeated)
	}
	w.Reorder(0)
	w.Delay(50*time.Millisecond, 20*time.Millisecond)
	got, took := numbered(t, a, b, 20, 0, pause)
	if turned, repeated := inOrder(got); len(got) != 20 || turned+repeated > 0 || took < 30*time.Millisecond || took > 500*time.Millisecond {
		t.Errorf("delayed: %d of 20 arrive within %v, %d turned, %d repeated", len(got), took, turned, repeated)
	}
	if relayed, doubled, reordered, lost := w.Frames(); relayed < 4*n-400 || !near(doubled, n*3/10) || !near(reordered, n*3/10) || !near(lost, n*3/10) {
		t.Errorf("the wire counts %d relayed, %d doubled, %d reordered, %d lost", relayed, doubled, reordered, lost)
	}
	// Other faults hold as well. TCP with its offloads passes.
	w.Delay(0, 0)
	serve(b, ":80")
	if !reaches(a, "10.0.0.12:80") {
		t.Error("a does not reach b")
	}
	a.Port(0).Unplug()
	if reaches(a, "10.0.0.12:80") {
		t.Error("a reaches b though it is unplugged")
	}
	a.Port(0).Plug()
	a.Port(0).Lose(Out, 1, TCP)
	if reaches(a, "10.0.0.12:80") {
		t.Error("a reaches b though its TCP is lost")
	}
	a.Port(0).Lose(Out, 0, TCP)
	large := bytes.Repeat([]byte("large"), 1<<20)
	l := c.Listen(":81")
	go func() {
		s, err := l.Accept()
		if err != nil {
			return
		}
		s.Write(large)
		s.Close()
	}()
	s, err := a.Dial(context.Background(), "tcp", "10.0.0.99:81")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(patience))
	if all, err := io.ReadAll(s); err != nil || !bytes.Equal(all, large) {
		t.Errorf("received %d bytes (%v), want %d", len(all), err, len(large))
	}
}

// The same seed and the same frames have the same fate.
func TestWireSeed(t *testing.T) {
	t.Parallel()
	fate := func(seed uint64) []int {
		l := New(t)
		lan := l.Switch("lan")
		a, b := l.Host("a", lan.Port("10.0.0.11/24")), l.Host("b", lan.Port("10.0.0.12/24"))
		w := l.Wire(a.Port(0), b.Port(0))
		a.Sysctl("net/ipv6/conf/all/disable_ipv6", "1") // its multicast reports would take chances at times of their own
		b.Sysctl("net/ipv6/conf/all/disable_ipv6", "1")
		numbered(t, a, b, 1, 0, pause) // now they know each other
		w.Lose(0.5)
		w.Seed(seed)
		got, _ := numbered(t, a, b, 100, 0, pause)
		return got
	}
	one, same, other := fate(7), fate(7), fate(8)
	if len(one) < 20 || len(one) > 80 {
		t.Errorf("%d of 100 arrive, want half", len(one))
	}
	if !slices.Equal(one, same) {
		t.Errorf("the same seed lets %v and %v arrive", one, same)
	}
	if slices.Equal(one, other) {
		t.Error("another seed lets the same arrive")
	}
}

// A pair of ports on a wire of its own does not reach the switch.
func TestWireOfTwo(t *testing.T) {
	t.Parallel()
	l, _, a, b, c := three(t)
	l.Wire(a.Port(0), b.Port(0))
	serve(b, ":80")
	harness.Eventually(t, patience, "a reaches b", func() bool { return reaches(a, "[fd00::12]:80") })
	if reaches(c, "10.0.0.12:80") {
		t.Error("c reaches b")
	}
}
