package keepalived

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"skein/test/harness"
)

// Test 10: nodes that are told different addresses refuse each other, and say so.
func TestListDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		two          []string
		reason, text string
	}{
		{"another number", []string{"10.0.0.100/24", "10.0.0.101/24"}, "count", "expected"},
		{"another address", []string{"10.0.0.101/24"}, "addresses", "not present in MASTER advert"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, pair [2]string) {
				one, two := plain(), plain()
				two.addresses = c.two
				s := newSite(t, pair, one.address(), 1)
				s.nodes[0].start(one)
				s.nodes[1].start(two)
				s.refuses(c.reason, c.text)
				for i, r := range []router{one, two} {
					harness.Eventually(t, settling, "each is the owner of its own", func() bool { return s.nodes[i].host.Has(r.address()) })
				}
			})
		})
	}
}

// Test 10: addresses that keepalived owns without saying so are none of the other one's business.
func TestExcluded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		r.excluded = []string{"10.0.0.101/24"}
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		for _, n := range s.nodes {
			if has := n.host.Has("10.0.0.101"); has != (n == high && n.program == keepalived) {
				t.Errorf("%s has 10.0.0.101: %v", n, has)
			}
		}
		at, ended := high.term()
		low.speaks(r, at)
		s.settled(low)
		ended()
		s.content()
	})
}

// Test 10: a master that gets another address in place of one says its former list for a minute, so that a keepalived which has not been
// reloaded yet follows. One that has been takes nothing else than its new list, and comes forward; but it is heard, and answered with
// that list.
func TestListChanges(t *testing.T) {
	t.Parallel()
	for _, skip := range []bool{true, false} {
		t.Run(fmt.Sprintf("skip_check=%v", skip), func(t *testing.T) {
			t.Parallel()
			r := plain()
			r.addresses = append(r.addresses, "10.0.0.101/24")
			r.skipCheck = skip
			s := newSite(t, [2]string{skein, keepalived}, r.address(), 1)
			high, low := s.start(r)
			begin := time.Now()
			changed := r
			changed.addresses = []string{"10.0.0.100/24", "10.0.0.102/24"}
			high.reload(changed)
			time.Sleep(3 * r.masterDown(low.number))
			for _, a := range low.adverts(r.id, begin, time.Time{}) {
				t.Errorf("%s opposes before it is reloaded: %v", low, a)
			}
			s.follows(skip, r, high, low)

			low.reload(changed)
			harness.Eventually(t, settling, "skein says the new list", func() bool {
				return bytes.Contains(high.last(r, time.Now()).Payload, netip.MustParseAddr("10.0.0.102").AsSlice())
			})
			s.settled(high)
			s.has(high, []string{"eth0 10.0.0.11/24", "eth0 fd00::11/64", "eth0 10.0.0.100/24", "eth0 10.0.0.102/24"})
			s.has(low, []string{"eth0 10.0.0.12/24", "eth0 fd00::12/64"})
			for _, d := range s.owners.Between(begin, time.Now()).Doubles() {
				s.bounded("keepalived is answered", d.From, d.To, r.interval)
			}
			s.content("not present in MASTER advert")
		})
	}
}

// follows waits, in a soak, until the minute is over. With vrrp_skip_check_adv_addr keepalived looks at the list only when the master
// changes, and follows on; without it, at each advertisement, and it opposes.
func (s *site) follows(skip bool, r router, high, low *node) {
	s.t.Helper()
	if !harness.Soak() {
		return
	}
	begin := time.Now()
	time.Sleep(time.Minute + r.masterDown(low.number))
	if opposes := len(low.adverts(r.id, begin, time.Time{})) > 0; opposes == skip {
		s.t.Errorf("%s opposes a list that is not its own: %v", low, opposes)
	}
	if !high.host.Has(r.address()) {
		s.t.Errorf("%s has lost the address", high)
	}
}

// Test 10: forty addresses, of a network that nobody else is in, and one that has the length of the node's own.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pair [2]string) {
		r := plain()
		r.addresses = nil
		for n := range 40 {
			r.addresses = append(r.addresses, fmt.Sprintf("10.9.0.%d/24", n+1)) // the first of a network is the primary address
		}
		r.addresses[39] = "10.0.0.140/24"
		s := newSite(t, pair, r.address(), 1)
		high, low := s.start(r)
		s.complete(r, high, low)
		at, ended := high.term()
		low.speaks(r, at)
		s.settled(low)
		ended()
		s.complete(r, low, high)
		high.start(r)
		s.settled(high)
		s.complete(r, high, low)
		s.content()
	})
}

// complete fails the test if the owner lacks an address, or the other one has one too many, or has lost its own.
func (s *site) complete(r router, owner, other *node) {
	s.t.Helper()
	want := []string{
		fmt.Sprintf("eth0 10.0.0.%d/24", 11+owner.number), fmt.Sprintf("eth0 fd00::%d/64", 11+owner.number),
	}
	for _, a := range r.addresses {
		want = append(want, "eth0 "+a)
	}
	s.has(owner, want)
	s.has(other, []string{fmt.Sprintf("eth0 10.0.0.%d/24", 11+other.number), fmt.Sprintf("eth0 fd00::%d/64", 11+other.number)})
}
