package keepalived

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/test/harness"
)

// visit makes the visitor look the address up, so that its kernel has an entry that announcements can change.
func (s *site) visit(r router) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// Nobody listens there; the refusal is an answer, too.
	if c, err := s.visitor.Dial(ctx, "tcp", net.JoinHostPort(r.address(), "9")); err == nil {
		c.Close()
	}
}

// pointsTo waits until the visitor takes this node for the owner. Both programs say where the address is at least once a second.
func (s *site) pointsTo(r router, n *node) {
	s.t.Helper()
	want := n.host.Port(0).MAC.String()
	if !harness.Soon(1500*time.Millisecond, func() bool { return s.visitor.Neighbor(r.address()).String() == want }) {
		s.t.Errorf("the visitor believes that %s is at %s, want %s of %s", r.address(), s.visitor.Neighbor(r.address()), want, n)
	}
}

// has waits until a node has these addresses and no others: the first one is there before the last.
func (s *site) has(n *node, want []string) {
	s.t.Helper()
	slices.Sort(want)
	if !harness.Soon(settling, func() bool { return slices.Equal(n.host.Addresses(), want) }) {
		s.t.Errorf("%s has other addresses (-want +got):\n%s", n, cmp.Diff(want, n.host.Addresses()))
	}
}
