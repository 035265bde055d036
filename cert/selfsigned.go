package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// selfSignedLife is below the 398 days that browsers accept of any certificate.
const selfSignedLife = 397 * 24 * time.Hour

// signed is a certificate that we vouch for ourselves. It lives in memory alone: a restart makes another.
type signed struct {
	hosts []string
	ips   []net.IP
	live  atomic.Pointer[shown]
}

// prepareSigned gives a block a certificate of its own making, the same as before while its hosts stay.
func (s *Store) prepareSigned(n *next, hosts []string, address string) (*signed, error) {
	k := address + " " + strings.Join(hosts, " ")
	if e := n.signed[k]; e != nil {
		return e, nil
	}
	e := s.signed[k]
	if e == nil {
		e = &signed{ips: listenIPs(address)}
		for _, host := range append(slices.Clone(hosts), "localhost") {
			if ip := net.ParseIP(host); ip != nil {
				e.ips = append(e.ips, ip)
			} else {
				e.hosts = append(e.hosts, host)
			}
		}
		if err := e.refresh(s.options.Now()); err != nil {
			return nil, err
		}
	}
	n.signed[k] = e
	return e, nil
}

// listenIPs is what a client on this machine may call the address.
func listenIPs(address string) []net.IP {
	a, err := netip.ParseAddrPort(address)
	if err != nil || a.Addr().IsUnspecified() { // ":443"
		return []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	return []net.IP{net.IP(a.Addr().Unmap().AsSlice())}
}

// refresh makes a certificate when there is none, or when two thirds of its life are over.
func (e *signed) refresh(now time.Time) error {
	if c := e.live.Load(); c != nil && now.Before(c.tls.Leaf.NotAfter.Add(-selfSignedLife/3)) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("generate serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Skein self-signed"}, CommonName: e.hosts[0]},
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              e.hosts,
		IPAddresses:           e.ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make self-signed certificate for %s: %w", strings.Join(e.hosts, ", "), err)
	}
	c, err := newShown(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	if err != nil {
		return err
	}
	c.signed = true
	e.live.Store(c)
	return nil
}

func (e *signed) current() *shown { return e.live.Load() }

func (e *signed) status() Status {
	st := newStatus("self-signed", "", e.live.Load(), nil, nil)
	st.Renewal = st.NotAfter.Add(-selfSignedLife / 3)
	return st
}
