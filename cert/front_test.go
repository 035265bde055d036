package cert

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/config"
)

func TestWhichCertificateANameGets(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t, "ca")
	file := func(name string, names ...string) *config.TLS { return ca.files(t, dir, name, "p256", names...) }
	front := func(c ...*config.TLS) *config.Front { return &config.Front{Certificates: c} }
	plain := []*config.HTTP{
		site(front(file("first", "first.test"), file("second", "second.test")), "first.test", "second.test"),
		site(front(file("wild", "*.wild.test")), "*.wild.test"),
		site(front(file("exact", "exact.wild.test")), "exact.wild.test"),
		site(front(file("deep", "*.deep.wild.test")), "*.deep.wild.test"),
	}
	withDefault := append(slices.Clone(plain), site(front(file("default", "default.test"))))
	cases := []struct {
		blocks     []*config.HTTP
		name, want string
	}{
		{plain, "first.test", "first.test"},
		{plain, "second.test", "second.test"},
		{plain, "SECOND.test", "second.test"},
		{plain, "exact.wild.test", "exact.wild.test"},
		{plain, "other.wild.test", "*.wild.test"},
		{plain, "a.deep.wild.test", "*.deep.wild.test"},
		{plain, "a.b.wild.test", "*.wild.test"}, // the block takes it; the client will complain about the certificate
		{plain, "wild.test", "first.test"},
		{plain, "nobody.test", "first.test"},
		{plain, "", "first.test"},
		{withDefault, "nobody.test", "default.test"},
		{withDefault, "", "default.test"},
		{withDefault, "first.test", "first.test"},
	}
	for _, c := range cases {
		s, _ := newStore(t, Options{})
		load(t, s, sites(c.blocks...))
		state, err := shake(t, s.Front(":443"), anyone(c.name))
		if err != nil {
			t.Errorf("handshake for %q: %v", c.name, err)
			continue
		}
		if got := state.PeerCertificates[0].DNSNames[0]; got != c.want {
			t.Errorf("certificate for %q of %d blocks = %s, want %s", c.name, len(c.blocks), got, c.want)
		}
	}
}

func TestClientGetsTheKeyThatItCanVerify(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t, "ca")
	s, _ := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{
		ca.files(t, dir, "rsa", "rsa", "site.test"), ca.files(t, dir, "ec", "p256", "site.test"),
	}}, "site.test")))
	for _, c := range []struct {
		suite uint16
		want  x509.PublicKeyAlgorithm
	}{
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, x509.RSA},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, x509.ECDSA},
		{0, x509.ECDSA},
	} {
		for _, name := range []string{"site.test", "other.test", ""} {
			client := anyone(name)
			if c.suite != 0 {
				client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{c.suite}
			}
			state, err := shake(t, s.Front(":443"), client)
			if err != nil {
				t.Errorf("suite %s, name %q: %v", tls.CipherSuiteName(c.suite), name, err)
			} else if got := state.PeerCertificates[0].PublicKeyAlgorithm; got != c.want {
				t.Errorf("suite %s, name %q: key = %s, want %s", tls.CipherSuiteName(c.suite), name, got, c.want)
			}
		}
	}
}

func TestWhatAListenerSpeaks(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t, "ca")
	f := ca.files(t, dir, "a", "p256", "a.test")
	modern := site(&config.Front{Certificates: []*config.TLS{f}, MinVersion: tls.VersionTLS13})
	modern.Listen = []string{":444"}
	plain := site(nil)
	plain.Listen = []string{":80"}
	h1 := site(&config.Front{Certificates: []*config.TLS{f}})
	h1.Listen, h1.Protocols = []string{":445"}, []string{"http/1.1"}
	s, _ := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{f}}), modern, h1, plain))
	if s.Front(":80") != nil || s.Front(":1") != nil {
		t.Error("Front of a listener without TLS is not nil")
	}
	old, weak := anyone("a.test"), anyone("a.test")
	old.MaxVersion = tls.VersionTLS12
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	ancient := anyone("a.test")
	ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	hybrid := anyone("a.test")
	hybrid.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
	alpn := func(p ...string) *tls.Config { c := anyone("a.test"); c.NextProtos = p; return c }
	for _, c := range []struct {
		name    string
		address string
		client  *tls.Config
		want    string // protocol; "!" is a refusal
	}{
		{"TLS 1.2", ":443", old, ""},
		{"no CBC, no RSA key exchange", ":443", weak, "!"},
		{"no TLS 1.1", ":443", ancient, "!"},
		{"TLS 1.3 alone", ":444", old, "!"},
		{"hybrid key exchange", ":443", hybrid, ""},
		{"the server prefers h2", ":443", alpn("http/1.1", "h2"), "h2"},
		{"http/1.1", ":443", alpn("http/1.1"), "http/1.1"},
		{"no h2 here", ":445", alpn("h2", "http/1.1"), "http/1.1"},
		{"nothing in common", ":445", alpn("h2"), "!"},
		{"a validation that nobody asked for", ":443", alpn("acme-tls/1"), "!"},
	} {
		state, err := shake(t, s.Front(c.address), c.client)
		got := state.NegotiatedProtocol
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%s: protocol = %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func TestFrontOutlivesReloads(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t, "ca")
	s, _ := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "a", "p256", "a.test")}})))
	front := s.Front(":443")
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "b", "p256", "b.test")}})))
	if s.Front(":443") != front {
		t.Error("Front is another value after a reload")
	}
	state, err := shake(t, front, anyone(""))
	if err != nil || state.PeerCertificates[0].DNSNames[0] != "b.test" {
		t.Errorf("certificate after the reload = %v (%v), want b.test", state.PeerCertificates, err)
	}
	load(t, s, sites())
	if s.Front(":443") != nil {
		t.Error("Front of a listener that is gone is not nil")
	}
	if _, err := shake(t, front, anyone("")); err == nil {
		t.Error("a handshake with a listener that is gone succeeded")
	}
}

func TestBlocksOfOneListenerMustAgree(t *testing.T) {
	s, _ := newStore(t, Options{})
	_, _, err := s.Prepare(t.Context(), sites(
		site(&config.Front{SelfSigned: true}, "a.test"), site(&config.Front{SelfSigned: true, MinVersion: tls.VersionTLS13}, "b.test")), nil)
	if err == nil || !strings.Contains(err.Error(), "must agree") {
		t.Errorf("Prepare = %v, want that the blocks must agree", err)
	}
}

func TestSelfSigned(t *testing.T) {
	now := time.Now()
	s, _ := newStore(t, Options{Now: func() time.Time { return now }})
	h := site(&config.Front{SelfSigned: true}, "a.test", "*.b.test", "192.0.2.1")
	h.Listen = []string{":443", "10.1.2.3:443", "[fd00::1]:443"}
	load(t, s, sites(h))
	get := func(address, name string) *x509.Certificate {
		t.Helper()
		state, err := shake(t, s.Front(address), anyone(name))
		if err != nil {
			t.Fatalf("handshake: %v", err)
		}
		return state.PeerCertificates[0]
	}
	c := get(":443", "a.test")
	for _, name := range []string{"a.test", "x.b.test", "localhost", "127.0.0.1", "::1", "192.0.2.1"} {
		if err := c.VerifyHostname(name); err != nil {
			t.Errorf("certificate is not for %s: %v", name, err)
		}
	}
	for address, ip := range map[string]string{"10.1.2.3:443": "10.1.2.3", "[fd00::1]:443": "fd00::1"} {
		if c := get(address, ""); len(c.IPAddresses) != 2 || !c.IPAddresses[0].Equal(net.ParseIP(ip)) {
			t.Errorf("certificate of %s is for %v, want %s", address, c.IPAddresses, ip)
		}
	}
	load(t, s, sites(h))
	if !get(":443", "a.test").Equal(c) {
		t.Error("a reload made another certificate")
	}
	now = now.Add(selfSignedLife * 3 / 4)
	s.tick()
	if again := get(":443", "a.test"); again.Equal(c) || !again.NotAfter.After(c.NotAfter) {
		t.Error("the certificate was not made anew late in its life")
	}
	other := site(&config.Front{SelfSigned: true}, "c.test")
	load(t, s, sites(other))
	want := []Status{{Names: []string{"c.test", "localhost", "127.0.0.1", "::1"}, Source: "self-signed", Issuer: "c.test", NotAfter: now.Add(selfSignedLife).Truncate(time.Second).UTC(), Renewal: now.Add(selfSignedLife * 2 / 3).Truncate(time.Second).UTC()}}
	if diff := cmp.Diff(want, s.Status(), cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= time.Second })); diff != "" {
		t.Errorf("Status (-want +got):\n%s", diff)
	}
}

func TestClientCertificates(t *testing.T) {
	dir, ca, clients, others := t.TempDir(), newTestCA(t, "ca"), newTestCA(t, "clients"), newTestCA(t, "others")
	f := []*config.TLS{ca.files(t, dir, "a", "p256", "a.test")}
	require := site(&config.Front{Certificates: f, ClientCA: clients.pem, ClientAuth: "require"})
	request := site(&config.Front{Certificates: f, ClientCA: clients.pem, ClientAuth: "request"})
	request.Listen = []string{":444"}
	s, _ := newStore(t, Options{})
	load(t, s, sites(require, request))
	with := func(ca *testCA) *tls.Config {
		c := anyone("a.test")
		if ca != nil {
			certPEM, keyPEM := ca.leaf(t, "p256", "client.test")
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return c
	}
	for _, c := range []struct {
		name, address string
		client        *testCA
		ok            bool
	}{
		{"require, with", ":443", clients, true},
		{"require, without", ":443", nil, false},
		{"require, of a stranger", ":443", others, false},
		{"request, with", ":444", clients, true},
		{"request, without", ":444", nil, true},
		{"request, of a stranger", ":444", others, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := with(c.client)
			client.MinVersion, client.MaxVersion = version, version
			if _, err := shake(t, s.Front(c.address), client); (err == nil) != c.ok {
				t.Errorf("%s, %s: %v, want success %v", c.name, tls.VersionName(version), err, c.ok)
			}
		}
	}
	bad := site(&config.Front{Certificates: f, ClientCA: []byte("nothing"), ClientAuth: "require"})
	if _, _, err := s.Prepare(t.Context(), sites(bad), nil); err == nil {
		t.Error("Prepare took a client_ca without certificates")
	}
}
