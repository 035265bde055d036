package kernel

import (
	"net"
	"net/netip"
	"testing"
)

// A connection keeps its name, another one gets another: also those that no program has accepted yet, and those of a listener
// for both families.
func TestConnectionIDs(t *testing.T) {
	for _, test := range []struct{ name, listen, dial string }{
		{"IPv4", "127.0.0.41:0", "127.0.0.41"},
		{"both families", "[::]:0", "127.0.0.42"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", test.listen)
			if err != nil {
				t.Skipf("listen: %v", err)
			}
			defer l.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			dial := func() net.Conn {
				c, err := net.Dial("tcp", net.JoinHostPort(test.dial, port))
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			ids := func() map[uint64]bool {
				list, err := New().ConnectionIDs([]netip.Addr{netip.MustParseAddr(test.dial)})
				if err != nil {
					t.Fatal(err)
				}
				set := map[uint64]bool{}
				for _, id := range list {
					set[id] = true
				}
				if len(set) != len(list) || set[0] {
					t.Fatalf("ids = %v, want different ones", list)
				}
				return set
			}
			// The client's end has the same local address here, if it dials its own machine: both are counted.
			before := len(ids())
			first := dial()
			defer first.Close()
			one := ids()
			if len(one) <= before {
				t.Fatalf("%d connections, want more than %d", len(one), before)
			}
			second := dial()
			defer second.Close()
			two := ids()
			if len(two) <= len(one) {
				t.Fatalf("%d connections, want more than %d", len(two), len(one))
			}
			for id := range one {
				if !two[id] {
					t.Errorf("connection %d has another name now", id)
				}
			}
		})
	}
}
