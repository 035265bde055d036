package cert

import (
	"crypto/sha256"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/mholt/acmez/v3/acme"

	"skein/config"
)

// A validation has no client certificate: a listener that demands one answers it all the same, and lets nobody else in by it.
func TestValidationOfAListenerWithClientCertificates(t *testing.T) {
	s, _ := newStore(t, Options{})
	c := sites(site(&config.Front{ACME: true, ClientCA: newTestCA(t, "clients").pem, ClientAuth: "require"}, "a.test", "b.test"))
	c.ACME = &config.ACME{Directory: "https://127.0.0.1:1/", Storage: t.TempDir(), Challenges: []string{"tls-alpn-01"}}
	load(t, s, c)
	ch := acme.Challenge{Type: "tls-alpn-01", Token: "token", KeyAuthorization: "token.thumb", Identifier: acme.Identifier{Type: "dns", Value: "a.test"}}
	solver := s.ca.client.ChallengeSolvers["tls-alpn-01"]
	if err := solver.Present(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	client := anyone("A.test")
	client.NextProtos = []string{"acme-tls/1"}
	state, err := shake(t, s.Front(":443"), client)
	if err != nil || state.NegotiatedProtocol != "acme-tls/1" {
		t.Fatalf("protocol = %q (%v), want acme-tls/1", state.NegotiatedProtocol, err)
	}
	// RFC 8737 section 3: the extension holds the digest of the key authorization.
	sum := sha256.Sum256([]byte(ch.KeyAuthorization))
	want, err := asn1.Marshal(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range state.PeerCertificates[0].Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) {
			found = e.Critical && slices.Equal(e.Value, want)
		}
	}
	if !found {
		t.Error("the certificate does not hold the digest of the key authorization")
	}
	client.ServerName = "b.test"
	if _, err := shake(t, s.Front(":443"), client); err == nil {
		t.Error("a validation of another name succeeded")
	}
	if err := solver.CleanUp(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	client.ServerName = "a.test"
	if _, err := shake(t, s.Front(":443"), client); err == nil {
		t.Error("a validation that is over succeeded")
	}
	if body, ok := s.Challenge("a.test", challengePath+"token"); ok {
		t.Errorf("Challenge without http-01 = %q, want none", body)
	}
}
