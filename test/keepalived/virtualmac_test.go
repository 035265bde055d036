package keepalived

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"skein/test/harness"
)

// Test 14: one node gives the address the virtual MAC address of RFC 9568 section 7.3, the other one its own. Visitors follow in both
// directions, by the announcements.
func TestVirtualMAC(t *testing.T) {
	t.Parallel()
	virtual := "00:00:5e:00:01:33" // router 51
	for _, who := range []string{skein, keepalived} {
		t.Run("of "+who, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, pair [2]string) {
				r := plain()
				s := newSite(t, pair, r.address(), 1)
				routers, macs := [2]router{r, r}, [2]string{}
				for i, n := range s.nodes {
					n.host.Origin(":80", nil)
					macs[i] = n.host.Port(0).MAC.String()
					if n.program == who {
						routers[i].virtualMAC, macs[i] = true, virtual
					}
				}
				high, low := s.nodes[0], s.nodes[1]
				low.start(routers[1])
				s.settled(low)
				s.answers(r, low, macs[1])
				high.start(routers[0])
				s.settled(high)
				s.answers(r, high, macs[0])
				died := time.Now()
				_, ended := high.term()
				s.owners.Wait(low.host, settling)
				s.answers(r, low, macs[1])
				ended()
				for _, a := range low.adverts(r.id, died, time.Time{}) {
					if a.SrcMAC.String() != macs[1] {
						t.Errorf("%s sends from %s, want %s", low, a.SrcMAC, macs[1])
					}
				}
				s.content()
			})
		})
	}
}

// answers fails the test unless the visitor reaches the node by the address within a second, at the MAC address.
func (s *site) answers(r router, n *node, mac string) {
	s.t.Helper()
	c := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return s.visitor.Dial(ctx, network, addr)
		},
	}}
	got := ""
	if !harness.Soon(time.Second, func() bool {
		resp, err := c.Get("http://" + r.address() + "/")
		if err != nil {
			got = err.Error()
			return false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		got = fmt.Sprint(string(b), " ", err)
		return err == nil && string(b) == n.host.Name
	}) {
		s.t.Errorf("%s does not answer at %s: %s", n, r.address(), got)
	}
	at := s.visitor.Neighbor(r.address()).String()
	if at == n.host.Port(0).MAC.String() && n.program == keepalived {
		return // it announces the virtual MAC, but when it then looks for the visitor itself, it asks from the other one
	}
	if at != mac {
		s.t.Errorf("the visitor believes that %s is at %s, want %s", r.address(), at, mac)
	}
}
