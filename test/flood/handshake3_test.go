package flood

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"skein/test/harness"
)

// oneWay is a socket of a client that sends a first flight and never hears an answer, as one whose source address is not its
// own. It counts both directions: what a server may send to an address that has not shown to be the sender's is three times what
// came from it (RFC 9000 section 8.1).
type oneWay struct {
	net.PacketConn
	sent, most    int64
	out, received *atomic.Int64
}

// WriteTo implements [net.PacketConn].
func (o *oneWay) WriteTo(p []byte, to net.Addr) (int, error) {
	if o.sent >= o.most {
		return len(p), nil // no second flight
	}
	o.sent += int64(len(p))
	o.out.Add(int64(len(p)))
	return o.PacketConn.WriteTo(p, to)
}

// ReadFrom implements [net.PacketConn].
func (o *oneWay) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := o.PacketConn.ReadFrom(p)
		if err != nil {
			return n, from, err
		}
		o.received.Add(int64(n))
	}
}

// TestHandshakes3 begins five thousand handshakes, each from an address of its own, and finishes none. A visitor who is there
// already goes on; new ones get in; no more is sent than the rule allows, to no address.
func TestHandshakes3(t *testing.T) {
	s := start(t)
	to, err := net.ResolveUDPAddr("udp", s.secure)
	if err != nil {
		t.Fatal(err)
	}
	var out, in atomic.Int64
	var worst atomic.Int64 // received for a hundred sent
	begin := func() {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		o := &oneWay{PacketConn: pc, most: 2500, out: &out, received: new(atomic.Int64)} // a first flight
		ctx, stop := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer stop()
		if _, err := quic.Dial(ctx, o, to, &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h3"}}, &quic.Config{}); err == nil {
			t.Error("a handshake was completed without hearing an answer")
		}
		_ = pc.Close()
		in.Add(o.received.Load())
		for old := worst.Load(); o.sent > 0 && 100*o.received.Load()/o.sent > old; old = worst.Load() {
			worst.CompareAndSwap(old, 100*o.received.Load()/o.sent)
		}
	}
	checks := s.event("h3", "address_checks")
	refused := s.Metric("skein_http_tls_handshake_errors_total")
	late := time.Duration(0)
	s.withstand(t, s.visitor3(), bounds{memory: 128}, func(t *testing.T) {
		var left atomic.Int64
		left.Store(int64(harness.Count(500, 5000, 50_000)))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for left.Add(-1) >= 0 {
					begin()
				}
			})
		}
		for range 20 { // new visitors
			v := s.visitor3()
			v.ask()
			if v.err != nil {
				t.Errorf("a new visitor: %v", v.err)
			}
			late = max(late, v.worst)
			v.client.CloseIdleConnections()
		}
		all.Wait()
	})
	t.Logf("%d bytes were answered with %d: %.2f for one, at most %.2f; %d clients had to show their address; %v handshakes failed; a new visitor waited at most %v",
		out.Load(), in.Load(), float64(in.Load())/float64(out.Load()), float64(worst.Load())/100, s.event("h3", "address_checks")-checks,
		s.Metric("skein_http_tls_handshake_errors_total")-refused, late.Round(time.Millisecond))
	if worst.Load() > 300 {
		t.Errorf("an address got %.2f bytes for each that came from it, want at most 3", float64(worst.Load())/100)
	}
	if s.event("h3", "address_checks") == checks {
		t.Error("nobody had to show an address")
	}
	if late > most && !harness.Raced() {
		t.Errorf("a new visitor waited %v, want at most %v", late, most)
	}
	s.Stop()
}
