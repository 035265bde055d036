package https

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"skein/test/harness"
)

// named is an origin that says its name.
func named(t testing.TB, name string) string {
	t.Helper()
	return harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
}

// Which certificate a client gets, and which block answers.
func TestNames(t *testing.T) {
	t.Parallel()
	c := newCA(t, "test CA")
	one, two := harness.FreeAddr(t), harness.FreeAddr(t)
	file := c.server("a.test").block("a") + c.server("*.w.test").block("wild") + c.server("deep.w.test").block("deep") +
		c.server("fallback.test").block("fallback") + c.server("first.test").block("first") + c.server("second.test").block("second")
	for _, b := range []struct{ name, listen, hosts string }{
		{"wild", one, `hosts = ["*.w.test"]`},
		{"a", one, `hosts = ["a.test"]`},
		{"deep", one, `hosts = ["deep.w.test"]`},
		{"fallback", one, ""},
		{"first", two, `hosts = ["first.test"]`},
		{"second", two, `hosts = ["second.test"]`},
	} {
		file += fmt.Sprintf("http %q {\n listen = %q\n tls = tls.%s\n servers = [%q]\n %s\n}\n", b.name, b.listen, b.name, named(t, b.name), b.hosts)
	}
	s := harness.Start(t, file+quiet)
	for _, test := range []struct {
		name, listen, sni, host, cert, block string
	}{
		{"a host", one, "a.test", "a.test", "a.test", "a"},
		{"in capitals", one, "A.TEST", "A.Test", "a.test", "a"},
		{"with a port and a dot", one, "a.test", "a.test.:8443", "a.test", "a"},
		{"a wildcard", one, "x.w.test", "x.w.test", "*.w.test", "wild"},
		{"a host before a wildcard", one, "deep.w.test", "deep.w.test", "deep.w.test", "deep"},
		{"a wildcard's certificate covers one label", one, "y.x.w.test", "y.x.w.test", "*.w.test", "wild"},
		{"the wildcard's own name", one, "w.test", "w.test", "fallback.test", "fallback"},
		{"an unknown name", one, "unknown.test", "unknown.test", "fallback.test", "fallback"},
		{"no name", one, "", "a.test", "fallback.test", "a"},
		{"an address for a name", one, "127.0.0.1", "127.0.0.1", "fallback.test", "fallback"},
		{"another block's host over the same connection", one, "a.test", "deep.w.test", "a.test", "deep"},
		{"without a block for all: the first one's certificate", two, "unknown.test", "first.test", "first.test", "first"},
		{"no name, without a block for all", two, "", "second.test", "first.test", "second"},
		{"a host that no block has", two, "first.test", "unknown.test", "first.test", "421"},
		{"the other listener's host", two, "second.test", "a.test", "second.test", "421"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, protocol := range []string{"http/1.1", "h2"} {
				config := &tls.Config{ServerName: test.sni, NextProtos: []string{protocol}, InsecureSkipVerify: true}
				body, status, state := fetchHost(t, test.listen, config, test.host)
				if status != 200 {
					body = fmt.Sprint(status)
				}
				if cert := state.PeerCertificates[0].Subject.CommonName; cert != test.cert || body != test.block {
					t.Errorf("%s: certificate of %s, answer of %s; want %s and %s", protocol, cert, body, test.cert, test.block)
				}
			}
		})
	}
	s.Stop()
}

func fetchHost(t testing.TB, addr string, config *tls.Config, host string) (body string, status int, state tls.ConnectionState) {
	t.Helper()
	v := dial(t, addr, config)
	defer v.Close()
	if v.ConnectionState().NegotiatedProtocol == "h2" {
		a := exchange2(t, v, host)
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), a.StatusCode, v.ConnectionState()
	}
	v.send(get(host, "/"))
	a := v.answer("GET")
	return a.body, a.StatusCode, v.ConnectionState()
}

// One name with two keys: clients that can verify ECDSA get that, others RSA. A chain is sent whole.
func TestTwoKeys(t *testing.T) {
	t.Parallel()
	c := newCA(t, "test CA")
	file := c.issue(rsaKey(t), nil, host).block("rsa") + c.server(host).block("ecdsa")
	addr := harness.FreeAddr(t)
	file += strings.Replace(block1(addr, hello(t), ""), "tls.site", "[tls.rsa, tls.ecdsa]", 1)
	s := harness.Start(t, file+quiet)
	for name, version := range versions() {
		config := &tls.Config{RootCAs: c.pool(), ServerName: host, MinVersion: version, MaxVersion: version}
		_, state, err := ask(addr, config, host, "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := state.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey); !ok {
			t.Errorf("TLS %s: a modern client got another key than ECDSA", name)
		}
	}
	// Go's client cannot be told to know no ECDSA but by the suites of TLS 1.2.
	config := &tls.Config{RootCAs: c.pool(), ServerName: host, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	_, state, err := ask(addr, config, host, "/")
	if err != nil {
		t.Fatal(err)
	}
	if k := state.PeerCertificates[0].PublicKeyAlgorithm; k != x509.RSA {
		t.Errorf("a client that knows only RSA got %v", k)
	}
	// Weak suites are refused whoever asks.
	config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
	if _, _, err := ask(addr, config, host, "/"); err == nil {
		t.Error("a client that knows only weak ciphers was let in")
	}
	s.Stop()
}

// Versions and protocols: what the file says, and nothing else.
func TestVersionsAndProtocols(t *testing.T) {
	t.Parallel()
	origin := hello(t)
	strict := start(t, origin, "https {\n min_version = \"1.3\"\n}", "")
	h1 := start(t, origin, "protocols = [\"http/1.1\"]", "")
	h2 := start(t, origin, "protocols = [\"h2\"]", "")
	both := start(t, origin, "", "")
	for _, test := range []struct {
		name   string
		s      *site
		offers []string
		max    uint16
		gets   string // protocol; or "refused", a failed handshake, or "closed", after it
	}{
		{"1.2 where 1.3 is the least", strict, nil, tls.VersionTLS12, "refused"},
		{"1.3 where it is the least", strict, nil, tls.VersionTLS13, ""},
		{"1.1", both, nil, tls.VersionTLS11, "refused"},
		{"1.0", both, nil, tls.VersionTLS10, "refused"},
		{"1.2", both, nil, tls.VersionTLS12, ""},
		{"no ALPN", both, nil, 0, ""},
		{"the server chooses", both, []string{"http/1.1", "h2"}, 0, "h2"},
		{"http/1.1", both, []string{"http/1.1"}, 0, "http/1.1"},
		{"only unknown ones", both, []string{"spdy/3", "h3"}, 0, "refused"},
		{"a known one among unknown ones", both, []string{"spdy/3", "http/1.1"}, 0, "http/1.1"},
		{"h2 of a site without", h1, []string{"h2", "http/1.1"}, 0, "http/1.1"},
		{"only h2 of a site without", h1, []string{"h2"}, 0, "refused"},
		{"HTTP/1.0", both, []string{"http/1.0"}, 0, "refused"},
		{"only h2", h2, []string{"http/1.1", "h2"}, 0, "h2"},
		{"only http/1.1 of a site without", h2, []string{"http/1.1"}, 0, "closed"}, // crypto/tls takes it for a client without ALPN
	} {
		t.Run(test.name, func(t *testing.T) {
			config := test.s.client()
			config.NextProtos, config.MaxVersion = test.offers, test.max
			if test.max != 0 {
				config.MinVersion = tls.VersionTLS10
			}
			v, err := tryDial(test.s.addr, config)
			if err != nil {
				if test.gets != "refused" || !strings.Contains(err.Error(), "remote error: tls:") {
					t.Errorf("handshake: %v, want %q", err, test.gets)
				}
				return
			}
			defer v.Close()
			v.t = t
			if test.gets == "closed" {
				v.closed()
				return
			}
			if p := v.ConnectionState().NegotiatedProtocol; p != test.gets {
				t.Fatalf("protocol = %q, want %q", p, test.gets)
			}
			if test.gets == "h2" {
				exchange2(t, v, host).Body.Close()
			} else if a := v.get("/"); a.body != "hello" {
				t.Errorf("answer = %d %q", a.StatusCode, a.body)
			}
		})
	}
	for _, s := range []*site{strict, h1, h2, both} {
		s.Stop()
	}
}

// acme-tls/1 is for a CA's validations: a stranger gets no certificate for it, and no request goes that way.
func TestStrangerValidates(t *testing.T) {
	t.Parallel()
	s := start(t, hello(t), "", "")
	for _, offers := range [][]string{{"acme-tls/1"}, {"acme-tls/1", "http/1.1"}, {"http/1.1", "acme-tls/1"}} {
		config := &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: offers}
		v, err := tryDial(s.addr, config)
		switch {
		case len(offers) == 1 && err == nil:
			t.Error("a stranger's validation was answered")
		case len(offers) == 1:
		case err != nil:
			t.Errorf("%v: %v", offers, err)
		default:
			v.t = t
			if p := v.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
				t.Errorf("%v: protocol = %q", offers, p)
			}
			v.get("/")
			v.Close()
		}
	}
	s.Stop()
}
