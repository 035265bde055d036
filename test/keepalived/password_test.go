package keepalived

import (
	"testing"
	"time"
)

// Test 8: the password of version 2 (RFC 2338 section 5.3.6.1). What is longer than eight bytes is cut off, by both.
func TestPassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		one, two string
		reason   string // why they refuse each other; "" is that they do not
		text     string
	}{
		{"right", "secret", "secret", "", ""},
		{"long", "longerthaneight", "longerthaneight", "", ""},
		{"cut", "longerth", "longerthaneight", "", ""},
		{"wrong", "secret", "Secret", "password", "received an invalid passwd"},
		{"missing", "secret", "", "auth_type", "received a 1 auth, expecting 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, pair [2]string) {
				c := c
				one, two := plain(), plain()
				one.version, one.interval, one.password = 2, time.Second, c.one
				two.version, two.interval, two.password = 2, time.Second, c.two
				s := newSite(t, pair, one.address(), 1)
				high, low := s.nodes[0], s.nodes[1]
				low.start(two)
				high.start(one)
				if c.reason != "" {
					s.both()
					if c.name == "missing" && pair[0] == keepalived {
						c.text = "received a 0 auth, expecting 1"
					}
					s.refuses(c.reason, c.text)
					return
				}
				s.settled(high)
				zero, ended := high.term()
				first := low.speaks(one, zero)
				s.bounded(low.String()+" takes over", high.givesUp(one, zero).Time, first.Time, one.skew(1, one.interval)+20*time.Millisecond)
				s.settled(low)
				ended()
				s.content("Truncating auth_pass")
			})
		})
	}
}
