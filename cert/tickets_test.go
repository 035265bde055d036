package cert

import (
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"skein/config"
)

// node is one store with a clock of its own.
type node struct {
	*Store
	now time.Time
}

func newNode(t *testing.T, now time.Time, blocks ...*config.HTTP) *node {
	n := &node{now: now}
	n.Store, _ = newStore(t, Options{Now: func() time.Time { return n.now }})
	load(t, n.Store, sites(blocks...))
	return n
}

// resumes says whether a session that was begun at one node goes on at another.
func resumes(t *testing.T, begin, end *tls.Config, client *tls.Config) bool {
	t.Helper()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	first, err := shake(t, begin, client)
	if err != nil || first.DidResume {
		t.Fatalf("first handshake: resumed %v, %v", first.DidResume, err)
	}
	second, err := shake(t, end, client)
	if err != nil {
		t.Fatalf("second handshake: %v", err)
	}
	return second.DidResume
}

func TestSessionsGoOnAtOtherNodes(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	f := []*config.TLS{ca.files(t, dir, "a", "p256", "a.test")}
	front := func(secrets ...string) *config.HTTP {
		h := site(&config.Front{Certificates: f})
		for _, s := range secrets {
			h.TLS.Tickets = append(h.TLS.Tickets, []byte(s))
		}
		return h
	}
	at := time.Unix(20000*int64(ticketEpoch/time.Second), 0).Add(time.Hour)
	for _, c := range []struct {
		name       string
		begin, end *config.HTTP
		skew       time.Duration // of the second node's clock
		want       bool
	}{
		{"one secret", front("one"), front("one"), 0, true},
		{"other secrets", front("one"), front("two"), 0, false},
		{"no secrets", front(), front(), 0, false},
		{"a new secret is known everywhere and not used yet", front("one", "two"), front("two", "one"), 0, true},
		{"the old secret is gone", front("one"), front("two"), 0, false},
		{"the other clock is an epoch ahead", front("one"), front("one"), ticketEpoch, true},
		{"the other clock is an epoch behind", front("one"), front("one"), -ticketEpoch, true},
		{"two epochs later", front("one"), front("one"), 2 * ticketEpoch, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := anyone("a.test")
			client.MinVersion, client.MaxVersion = version, version
			a, b := newNode(t, at, c.begin), newNode(t, at.Add(c.skew), c.end)
			if got := resumes(t, a.Front(":443"), b.Front(":443"), client); got != c.want {
				t.Errorf("%s, %s: session goes on = %v, want %v", c.name, tls.VersionName(version), got, c.want)
			}
		}
	}
}

func TestTicketKeysRotate(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	f := []*config.TLS{ca.files(t, dir, "a", "p256", "a.test")}
	start := time.Unix(20000*int64(ticketEpoch/time.Second), 0)
	for _, secrets := range [][][]byte{nil, {[]byte("one")}} {
		for _, c := range []struct {
			epochs int
			want   bool
		}{{0, true}, {1, true}, {3, false}} {
			h := site(&config.Front{Certificates: f, Tickets: secrets})
			n := newNode(t, start, h)
			client := anyone("a.test")
			client.Time = func() time.Time { return start } // the client must not be what ends it
			client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			if _, err := shake(t, n.Front(":443"), client); err != nil {
				t.Fatal(err)
			}
			for range c.epochs { // as Run does
				n.now = n.now.Add(ticketEpoch)
				n.tick()
			}
			state, err := shake(t, n.Front(":443"), client)
			if err != nil {
				t.Fatal(err)
			}
			if state.DidResume != c.want {
				t.Errorf("%d secrets, %d epochs later: session goes on = %v, want %v", len(secrets), c.epochs, state.DidResume, c.want)
			}
		}
	}
}

func TestTicketKeysOverAReload(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	h := site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "a", "p256", "a.test")}})
	n := newNode(t, time.Now(), h)
	client := anyone("a.test")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	if _, err := shake(t, n.Front(":443"), client); err != nil {
		t.Fatal(err)
	}
	load(t, n.Store, sites(h))
	if state, err := shake(t, n.Front(":443"), client); err != nil || !state.DidResume {
		t.Errorf("after a reload: session goes on = %v (%v), want true", state.DidResume, err)
	}
}

// A session that was begun with a certificate of one CA is no entry to a listener that trusts another one, nor is a session
// without any.
func TestTicketsDoNotCrossClientCAs(t *testing.T) {
	ca, dir, one, two := newTestCA(t, "ca"), t.TempDir(), newTestCA(t, "one"), newTestCA(t, "two")
	f := []*config.TLS{ca.files(t, dir, "a", "p256", "a.test")}
	block := func(address string, ca *testCA, auth string) *config.HTTP {
		h := site(&config.Front{Certificates: f, Tickets: [][]byte{[]byte("shared")}, ClientAuth: auth})
		if ca != nil {
			h.TLS.ClientCA = ca.pem
		}
		h.Listen = []string{address}
		return h
	}
	n := newNode(t, time.Now(), block(":1", one, "require"), block(":2", two, "request"), block(":3", nil, ""), block(":4", one, "require"))
	certPEM, keyPEM := one.leaf(t, "p256", "client.test")
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		begin, end string
		want       bool
	}{{":1", ":1", true}, {":1", ":4", true}, {":1", ":2", false}, {":1", ":3", false}, {":3", ":2", false}, {":3", ":3", true}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := anyone("a.test")
			client.MinVersion, client.MaxVersion = version, version
			client.GetClientCertificate = func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if i.SupportsCertificate(&pair) == nil {
					return &pair, nil
				}
				return &tls.Certificate{}, nil
			}
			if got := resumes(t, n.Front(c.begin), n.Front(c.end), client); got != c.want {
				t.Errorf("%s: from %s to %s: session goes on = %v, want %v", tls.VersionName(version), c.begin, c.end, got, c.want)
			}
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	k := newTickets(time.Now)
	var all [][32]byte
	for _, secret := range []string{"one", "two"} {
		for _, context := range []string{"", "ca"} {
			all = append(all, k.keys([][]byte{[]byte(secret)}, []byte(context), 7)...)
		}
	}
	if len(all) != 12 {
		t.Errorf("%d keys, want 3 of each of 4", len(all))
	}
	for i, key := range all {
		if slices.Contains(all[:i], key) {
			t.Errorf("key %d is not new", i)
		}
	}
	if a, b := newTickets(time.Now).keys(nil, nil, 7)[0], newTickets(time.Now).keys(nil, nil, 7)[0]; a == b {
		t.Error("two processes without secrets have one key")
	}
}
