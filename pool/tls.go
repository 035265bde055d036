package pool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"skein/config"
)

// ClientTLS is how a pool's members are spoken to over TLS: the same for work and for checks. The configuration has no server
// name unless t says one; whoever connects to a member sets the member's host then, of which an IP address is verified as such
// and not sent (RFC 6066 section 3). protocols are offered by ALPN.
func ClientTLS(t *config.MemberTLS, protocols ...string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.Name, InsecureSkipVerify: !t.Verify, NextProtos: protocols}
	if t.CA != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("tls: ca holds no certificate in PEM form")
		}
	}
	if t.Cert != nil {
		own, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}
