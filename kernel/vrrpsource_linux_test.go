package kernel

import (
	"testing"
	"time"
)

// The addresses may be on one link while the nodes speak by another one, in both families.
func TestVRRPByAnotherLink(t *testing.T) {
	for _, c := range []struct{ name, here, there string }{
		{"IPv4", "10.9.0.1", "10.9.0.2"},
		{"IPv6", "fd00::1", "fd00::2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPair(t)
			w.ip("link add c0 type veth peer name c1") // where the addresses are
			w.ip("addr add 203.0.113.1/24 dev c0")
			w.ip("link set c0 up")
			var there VRRPSocket
			w.in(w.b, func() { there = w.open(New(), VRRPOptions{Link: "b0", Source: ip(c.there)}) })
			here := w.open(New(), VRRPOptions{Link: "c0", Source: ip(c.here)})
			for _, way := range []struct {
				from, to VRRPSocket
				dst      string
			}{{here, there, c.there}, {there, here, c.here}} {
				arrived := hear(way.to)
				w.must(way.from.Send(ip(way.dst), message()))
				select {
				case got := <-arrived:
					if got.dst != ip(way.dst) || got.ttl != 255 || got.err != nil {
						t.Errorf("Receive() = %+v, want a message to %s", got, way.dst)
					}
				case <-time.After(2 * time.Second):
					t.Fatalf("nothing arrived at %s", way.dst)
				}
			}
		})
	}
}
