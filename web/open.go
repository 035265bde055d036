package web

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strings"
)

// open does what comes before the first request: the PROXY header, then TLS. It returns the protocol that the requests will
// come by, and false if the connection has ended.
func (c *conn) open() (protocol string, ok bool) {
	config := c.port.tls.Load()
	t := c.port.table.Load()
	protocol = "http/1.1"
	if !t.h1 {
		protocol = "h2"
	}
	if !c.proxied && config == nil {
		return protocol, true
	}
	if !c.sock.Arm(t.settings.Timeouts.TLS) {
		return "", false
	}
	if c.proxied && !c.introduced() {
		return "", false
	}
	if config == nil {
		return protocol, c.sock.Arm(0)
	}
	return c.shakeHands(t, config)
}

// introduced reads the PROXY header of a trusted peer.
func (c *conn) introduced() bool {
	a, err := readProxy(c.sock)
	if err != nil {
		c.w.stats.ProxyErrors.Add(1)
		c.w.log.Debug("PROXY header was refused", "peer", c.who.ip, "listen", c.port.address, "error", err)
		return false
	}
	if a.IsValid() {
		c.who.is(a)
	}
	if !c.port.seat(&c.place, c.who.ip) {
		c.w.stats.Refused.Add(1)
		c.sock.Reset()
		return false
	}
	return true
}

// shakeHands begins TLS. A failed handshake is nothing to log each time: scanners make thousands.
func (c *conn) shakeHands(t *table, config *tls.Config) (protocol string, ok bool) {
	if c.who.probe != nil {
		config = withoutCertificate(config)
	}
	tc, err := c.sock.Secure(config)
	if err != nil {
		return "", false
	}
	c.sock.Progress(t.settings.Timeouts.TLS, 0)
	err = c.sock.Handshake()
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain) && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader):
		c.w.stats.HandshakeErrors.Add(1)
		c.sock.Insecure()
		_, err = c.sock.Write([]byte(plainAnswer))
		c.linger = err == nil
		return "", false
	case err != nil && c.who.probe != nil: // it sees that itself
		return "", false
	case err != nil:
		c.w.stats.HandshakeErrors.Add(1)
		// The client may have sent its request already, and must be able to read the alert: that a certificate is asked for, say.
		c.linger = !c.sock.Expired() && !errors.Is(err, io.EOF)
		c.sock.Insecure()
		c.w.log.Debug("TLS handshake was not completed", "client", c.who.ip, "listen", c.port.address, "error", err)
		return "", false
	}
	s := tc.ConnectionState()
	if c.who.probe == nil {
		c.w.stats.Handshakes.Add(1)
	}
	if s.DidResume { // never a probe's
		c.w.stats.Resumed.Add(1)
	}
	c.who.secure = true
	c.who.identity = identity(s.PeerCertificates)
	if !c.sock.Arm(0) {
		return "", false
	}
	switch s.NegotiatedProtocol {
	case "":
		return "http/1.1", t.h1 // who knows no ALPN speaks HTTP/1.1 (RFC 9113 section 3.2)
	case "acme-tls/1": // the certificate was all that the CA wanted to see (RFC 8737 section 3)
		return "", false
	}
	return s.NegotiatedProtocol, true
}

// looksLikeHTTP reports whether the first bytes of a TLS connection are a method instead.
func looksLikeHTTP(head [5]byte) bool {
	for _, m := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH"} {
		if string(head[:]) == m {
			return true
		}
	}
	return false
}

const plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 53\r\nConnection: close\r\n\r\nBad Request: this port speaks https, not plain http.\n"

// identity is what members are told of a client's certificate: RFC 9440's Client-Cert, and the parts that applications ask
// for by name. It is nil without one.
func identity(chain []*x509.Certificate) []byte {
	if len(chain) == 0 {
		return nil
	}
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	var b []byte
	b = appendField(b, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(leaf.Raw)+":")
	b = appendField(b, "X-Client-Verify", "SUCCESS")
	b = appendField(b, "X-Client-Cert-Subject", visible(leaf.Subject.String()))
	b = appendField(b, "X-Client-Cert-Issuer", visible(leaf.Issuer.String()))
	b = appendField(b, "X-Client-Cert-Serial", leaf.SerialNumber.Text(16))
	return appendField(b, "X-Client-Cert-Fingerprint", hex.EncodeToString(sum[:]))
}

// visible makes a name safe in a field: whoever asked for the certificate chose it. Percent forms stand for what is not
// visible ASCII.
func visible(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x20 || c >= 0x7f || c == '%' {
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
