package https

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"skein/test/harness"
)

// identityFields are what members are told of a client's certificate.
func identityFields() []string {
	return []string{
		"Client-Cert", "Client-Cert-Chain", "X-Client-Verify", "X-Client-Cert-Subject", "X-Client-Cert-Issuer", "X-Client-Cert-Serial",
		"X-Client-Cert-Fingerprint",
	}
}

// mirror is an origin that answers with the request's fields.
func mirror(t testing.TB) string {
	t.Helper()
	return harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
}

// told reads a mirror's answer and fails the test unless its identity fields are those of the certificate; nil is none.
func told(t testing.TB, body string, want *leaf, ca *ca) {
	t.Helper()
	var h http.Header
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	fields := map[string][]string{}
	if want != nil {
		sum := sha256.Sum256(want.x509.Raw)
		for name, value := range map[string]string{
			"Client-Cert":               ":" + base64.StdEncoding.EncodeToString(want.x509.Raw) + ":", // RFC 9440 section 2.2
			"X-Client-Verify":           "SUCCESS",
			"X-Client-Cert-Subject":     strings.ReplaceAll(want.x509.Subject.String(), "ü", "%C3%BC"),
			"X-Client-Cert-Issuer":      ca.cert.Subject.String(),
			"X-Client-Cert-Serial":      want.x509.SerialNumber.Text(16),
			"X-Client-Cert-Fingerprint": hex.EncodeToString(sum[:]),
		} {
			fields[name] = []string{value}
		}
	}
	for _, name := range identityFields() {
		if got, want := fmt.Sprint(h[name]), fmt.Sprint(fields[name]); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	for name := range h { // other spellings that programs take for the same
		if as := strings.ReplaceAll(strings.ToLower(name), "_", "-"); strings.Contains(as, "client-") && h[http.CanonicalHeaderKey(as)] == nil {
			t.Errorf("field %q arrived", name)
		}
	}
}

// forged is what a client sends who would like to be somebody else.
func forged() []string {
	var all []string
	for _, f := range identityFields() {
		all = append(all, f+": forged")
	}
	return append(all, "client-cert: again", "X_Client_Verify: SUCCESS", "Client_Cert: forged")
}

func versions() map[string]uint16 {
	return map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
}

// Who shows a certificate of the CA is named to the member, in a full handshake and a resumed one; others are refused, or let in
// without a name. No client names itself.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	clients, strangers := newCA(t, "clients' CA"), newCA(t, "another CA")

	me := clients.issue(nil, func(c *x509.Certificate) { c.DNSNames = nil }, "Jürgen, O=\"quoted\"")
	stranger := strangers.server("stranger")
	// TLS 1.2 knows no word for a certificate that is missing (RFC 8446 section 4.4.2.4, RFC 5246 section 7.4.6).
	alerts := map[uint16]string{tls.VersionTLS12: "tls: handshake failure", tls.VersionTLS13: "tls: certificate required"}
	for _, mode := range []string{"require", "request"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := start(t, mirror(t), fmt.Sprintf("https {\n client_ca = %q\n client_auth = %q\n}", clients.file(), mode), "")
			for name, version := range versions() {
				for _, protocol := range []string{"http/1.1", "h2"} {
					config := s.client()
					config.MinVersion, config.MaxVersion, config.NextProtos = version, version, []string{protocol}
					t.Run(name+" "+protocol, func(t *testing.T) {
						with := config.Clone()
						with.Certificates = []tls.Certificate{me.tls}
						with.ClientSessionCache = tls.NewLRUClientSessionCache(1)
						for i := range 3 {
							body, state, err := fetch(s.addr, with, forged())
							if err != nil {
								t.Fatal(err)
							}
							if state.DidResume != (i > 0) {
								t.Errorf("connection %d was resumed: %v", i, state.DidResume)
							}
							told(t, body, me, clients)
						}
						body, _, err := fetch(s.addr, config, forged())
						switch {
						case mode == "require" && err == nil:
							t.Errorf("a client without a certificate was let in: %s", body)
						case mode == "require" && protocol != "h2" && !strings.Contains(err.Error(), alerts[version]): // Go has other words over h2
							t.Errorf("a client without a certificate got %v, want the alert %q", err, alerts[version])
						case mode == "request" && err != nil:
							t.Error(err)
						case mode == "request":
							told(t, body, nil, clients)
						}
						// Go's client would not even show it, as its CA is not among those asked for.
						wrong := config.Clone()
						wrong.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger.tls, nil }
						if body, _, err := fetch(s.addr, wrong, nil); err == nil {
							t.Errorf("a client with a certificate of another CA was let in: %s", body)
						}
					})
				}
			}
			s.Stop()
		})
	}
}

// A session from before a reload that changes the CA, or asks for certificates at all, is no entry after it.
func TestSessionsEndWithTheirCA(t *testing.T) {
	t.Parallel()
	first, second := newCA(t, "first"), newCA(t, "second")
	me := first.server("me")
	addr, c, origin := harness.FreeAddr(t), newCA(t, "test CA"), mirror(t)
	cert := c.server(host).block("site")
	file := func(more string) string {
		return cert + block1(addr, origin, "https {\n tickets = [secret(\"tickets\")]\n"+more+"\n}") + quiet
	}
	s := harness.Start(t, file(""), secrets(t, map[string]string{"tickets": strings.Repeat("secret", 8)}))
	for name, version := range versions() {
		config := &tls.Config{
			RootCAs: c.pool(), ServerName: host, MinVersion: version, MaxVersion: version,
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		t.Run(name, func(t *testing.T) {
			s.Reload(file(""))
			if _, _, err := fetch(addr, config, nil); err != nil {
				t.Fatal(err)
			}
			s.Reload(file(fmt.Sprintf("client_ca = %q", first.file())))
			if body, _, err := fetch(addr, config, nil); err == nil {
				t.Errorf("a session from before certificates were asked for was let in: %s", body)
			}
			config.Certificates = []tls.Certificate{me.tls}
			if body, _, err := fetch(addr, config, nil); err != nil {
				t.Fatal(err)
			} else {
				told(t, body, me, first)
			}
			s.Reload(file(fmt.Sprintf("client_ca = %q", second.file())))
			if body, state, err := fetch(addr, config, nil); err == nil {
				t.Errorf("a session of the CA before was let in (resumed: %v): %s", state.DidResume, body)
			}
		})
	}
	s.Stop()
}

// fetch gets / with the protocol that the configuration asks for, over a connection of its own.
func fetch(addr string, config *tls.Config, fields []string) (body string, state tls.ConnectionState, err error) {
	if len(config.NextProtos) == 0 || config.NextProtos[0] != "h2" {
		a, state, err := ask(addr, config, host, "/", fields...)
		if err != nil {
			return "", state, err
		}
		return a.body, state, nil
	}
	var c *tls.Conn
	tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		v, err := tryDial(addr, config)
		if err != nil {
			return nil, err
		}
		c = v.Conn
		return c, nil
	}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequest("GET", "https://"+host+"/", nil)
	if err != nil {
		return "", state, err
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	a, err := tr.RoundTrip(r)
	if err != nil {
		return "", state, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return string(b), c.ConnectionState(), err
}
