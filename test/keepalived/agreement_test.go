package keepalived

import (
	"fmt"
	"testing"
	"time"
)

// variants are the ways to speak VRRP. Skein speaks version 2 over IPv4 only, as RFC 3768 has it.
func variants() []router {
	var all []router
	for _, unicast := range []bool{false, true} {
		two, three, six := plain(), plain(), plain()
		two.version, two.interval = 2, time.Second
		six.addresses = []string{"fd00::100/64"}
		for _, r := range []router{two, three, six} {
			r.unicast = unicast
			all = append(all, r)
		}
	}
	return all
}

func (r router) variant() string {
	way, family := "multicast", 4
	if r.unicast {
		way = "unicast"
	}
	if !r.v4() {
		family = 6
	}
	return fmt.Sprintf("v%d-%s-ipv%d", r.version, way, family)
}

// Test 1: whichever way they speak and whoever is first, there is one owner within the protocol's time: after the start of the first,
// after its death and after its return.
func TestAgreement(t *testing.T) {
	t.Parallel()
	for _, r := range variants() {
		t.Run(r.variant(), func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, pair [2]string) { agree(t, pair, r) })
		})
	}
}

func agree(t *testing.T, pair [2]string, r router) {
	s := newSite(t, pair, r.address(), 1)
	high, low := s.start(r)
	begin := time.Now()

	died := high.kill()
	last := high.last(r, time.Now())
	s.bounded(low.String()+" takes over", last.Time, low.speaks(r, died).Time, r.masterDown(low.number))
	s.settled(low)

	high.start(r)
	s.settled(high)
	s.single(begin, time.Now())
	s.content()
}
