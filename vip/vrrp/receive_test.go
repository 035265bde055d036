package vrrp

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unicast(s *Settings) { s.Peers = ips("10.0.0.9", "10.0.0.8") }
func far(s *Settings)     { s.Far = true }
func secret(s *Settings)  { s.Password = "secret" }
func overSix(s *Settings) {
	s.Addresses, s.Source = ips("fd00::100"), ip("fe80::5")
}

// TestRefused changes one thing in an advertisement that is right: a backup counts why it does not take it, and its timer runs on.
func TestRefused(t *testing.T) {
	advert := func(change func(a *Advert)) func(m *Machine) Received {
		return func(m *Machine) Received {
			a := m.advert(200)
			if change != nil {
				change(&a)
			}
			from := "10.0.0.9"
			if !m.v4() {
				from = "fe80::9"
			}
			return m.fromPeer(a, from)
		}
	}
	packet := func(change func(r *Received)) func(m *Machine) Received {
		return func(m *Machine) Received {
			r := advert(nil)(m)
			change(&r)
			return r
		}
	}
	// to is an advertisement as it would be sent to another destination.
	to := func(src, dst string) func(m *Machine) Received {
		return func(m *Machine) Received {
			a := m.advert(200)
			return Received{Payload: a.Append(nil, ip(src), ip(dst), false), Src: ip(src), Dst: ip(dst), TTL: 255}
		}
	}
	tests := []struct {
		name     string
		settings []Settings
		received func(m *Machine) Received
		want     string // "" is taken
	}{
		{"good", v3(), advert(nil), ""},
		{"good v2", v3(v2), advert(nil), ""},
		{"good v2 password", v3(v2, secret), advert(nil), ""},
		{"good v2 password, cut", v3(v2, func(s *Settings) { s.Password = "longpassword" }), advert(func(a *Advert) { a.Password = password("longpass") }), ""},
		{"good IPv6", v3(overSix), advert(nil), ""},
		{"good v2 over IPv6", v3(v2, overSix), advert(nil), ""},
		{"good unicast", v3(unicast), advert(nil), ""},
		{"another order of addresses", v3(), advert(func(a *Advert) { a.Addresses = ips("10.0.0.101", "10.0.0.100") }), ""},
		{"checksum without the pseudo-header", v3(), packet(func(r *Received) { resum(r.Payload) }), ""},
		{"so in every mode", v3(func(s *Settings) { s.Checksum = PseudoHeader }), packet(func(r *Received) { resum(r.Payload) }), ""},
		{"far", v3(unicast, far), packet(func(r *Received) { r.TTL = 60 }), ""},
		{"link-local with a zone", v3(overSix), packet(func(r *Received) { r.Src = ip("fe80::9%eth0") }), ""},

		{"truncated", v3(), packet(func(r *Received) { r.Payload = r.Payload[:11] }), "length"},
		{"nothing", v3(), packet(func(r *Received) { r.Payload = nil }), "length"},
		{"another router", v3(), advert(func(a *Advert) { a.RouterID = 11 }), "router_id"},
		{"our own", v3(), func(m *Machine) Received { return m.fromPeer(m.advert(200), "10.0.0.5") }, "own"},
		{"TTL 254", v3(), packet(func(r *Received) { r.TTL = 254 }), "ttl"},
		{"TTL 254 unicast", v3(unicast), packet(func(r *Received) { r.TTL = 254 }), "ttl"},
		{"version", v3(), advert(func(a *Advert) { a.Version, a.Interval = 2, sec }), "version"},
		{"no version", v3(), packet(func(r *Received) { r.Payload[0] = 0x51 }), "version"},
		{"no password", v3(v2, secret), advert(func(a *Advert) { a.Auth = authNone }), "auth_type"},
		{"a password not asked for", v3(v2), advert(func(a *Advert) { a.Auth, a.Password = authPass, password("x") }), "auth_type"},
		{"wrong password", v3(v2, secret), advert(func(a *Advert) { a.Password = password("Secret") }), "password"},
		{"password longer", v3(v2, secret), advert(func(a *Advert) { a.Password = password("secret1") }), "password"},
		{"v2 interval", v3(v2), advert(func(a *Advert) { a.Interval = 2 * sec }), "interval"},
		{"v3 interval 0", v3(), advert(func(a *Advert) { a.Interval = 0 }), "interval"},
		{"type 2", v3(), packet(func(r *Received) { r.Payload[0] = 0x32; resum(r.Payload) }), "type"},
		{"an address less", v3(), advert(func(a *Advert) { a.Addresses = a.Addresses[:1] }), "count"},
		{"an address more", v3(), advert(func(a *Advert) { a.Addresses = ips("10.0.0.100", "10.0.0.101", "10.0.0.102") }), "count"},
		{"another address", v3(), advert(func(a *Advert) { a.Addresses = ips("10.0.0.100", "10.0.0.102") }), "addresses"},
		{"an address twice", v3(), advert(func(a *Advert) { a.Addresses = ips("10.0.0.100", "10.0.0.100") }), "addresses"},
		{"checksum", v3(), packet(func(r *Received) { r.Payload[6] ^= 1 }), "checksum"},
		{"checksum of another source", v3(), packet(func(r *Received) { r.Src = ip("10.0.0.8") }), "checksum"},
		{"IPv6 without the pseudo-header", v3(overSix), packet(func(r *Received) { resum(r.Payload) }), "checksum"},
		{"multicast to a unicast router", v3(unicast), to("10.0.0.9", "224.0.0.18"), "destination"},
		{"unicast to a multicast router", v3(), to("10.0.0.9", "10.0.0.5"), "destination"},
		{"another group", v3(), to("10.0.0.9", "224.0.0.5"), "destination"},
		{"not a peer", v3(unicast), to("10.0.0.7", "10.0.0.5"), "source"},
		{"the other family", v3(), packet(func(r *Received) { r.Src = ip("fe80::9") }), "source"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := follow(t, test.settings, nil)
			g.Start(epoch)
			m := g.Machines()[0]
			before := m.deadline
			r := test.received(m)
			if actions := g.Receive(epoch+ms, m, r); len(actions) > 0 {
				t.Errorf("Receive = %s, want nothing", story(g, actions))
			}
			want := map[string]uint64{}
			if test.want != "" {
				want[test.want] = 1
			}
			c := m.Counters()
			if diff := cmp.Diff(want, c.Refused); diff != "" {
				t.Error(diff)
			}
			if taken := c.Received == 1; taken != (test.want == "") || taken == (m.deadline == before) || taken != m.Master().IsValid() {
				t.Errorf("received %d, deadline %v, before %v, master %v", c.Received, m.deadline, before, m.Master())
			}
		})
	}
}

// Auto sends as the peer does that was heard last; the others do not care.
func TestChecksumModes(t *testing.T) {
	tests := []struct {
		mode         Checksum
		before, then bool // without the pseudo-header: at first, and after a peer who does so
	}{
		{"", false, true},
		{Auto, false, true},
		{PseudoHeader, false, false},
		{RFC9568, true, true},
	}
	for _, test := range tests {
		t.Run(string(test.mode), func(t *testing.T) {
			settings := v3(unicast, func(s *Settings) { s.Checksum = test.mode })
			g := follow(t, settings, []scene{{0, start, "init>backup", down3}})
			m := g.Machines()[0]
			sent := func(actions []Action) bool {
				t.Helper()
				if len(actions) < 2 || actions[0].Kind != Send || actions[1].Kind != Send {
					t.Fatalf("sent %s", story(g, actions))
				}
				plains := 0
				for i, want := range ips("10.0.0.9", "10.0.0.8") {
					_, plain, err := Parse(Received{Payload: actions[i].Payload, Src: m.s.Source, Dst: actions[i].Dst})
					if err != nil || actions[i].Dst != want {
						t.Fatalf("to %v: %v, want to %v", actions[i].Dst, err, want)
					}
					if plain {
						plains++
					}
				}
				return plains == 2
			}
			if got := sent(g.Tick(epoch + down3)); got != test.before {
				t.Errorf("without pseudo-header: %v, want %v", got, test.before)
			}
			r := m.fromPeer(m.advert(90), "10.0.0.9")
			resum(r.Payload)
			if got := sent(g.Receive(epoch+down3+ms, m, r)); got != test.then {
				t.Errorf("without pseudo-header after a peer without: %v, want %v", got, test.then)
			}
			r = m.fromPeer(m.advert(90), "10.0.0.8")
			if got := sent(g.Receive(epoch+down3+60*ms, m, r)); got != test.before {
				t.Errorf("without pseudo-header after a peer with: %v, want %v", got, test.before)
			}
		})
	}
}

// The whole packet of a machine, not only of an Advert.
func TestMachineSends(t *testing.T) {
	g, err := NewGroup(Settings{
		Version: 2, RouterID: 52, Addresses: ips("10.0.0.101", "10.0.0.102"), Source: ip("10.0.0.1"), Interval: sec, Priority: 100,
		Password: "longpassword",
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Start(epoch)
	a := g.Tick(epoch + down2)[0]
	if got, want := hex.EncodeToString(a.Payload), "213464020101a6510a0000650a0000666c6f6e6770617373"; got != want || a.Dst != ip("224.0.0.18") {
		t.Errorf("sent %s to %v, want %s (keepalived)", got, a.Dst, want)
	}
	if got := Multicast(true); got != netip.MustParseAddr("ff02::12") {
		t.Errorf("Multicast(true) = %v", got)
	}
}
