package cert

import (
	"crypto/x509"
	"time"
)

// Status is what an administrator may know of one certificate.
type Status struct {
	Names       []string  // that it is valid for; those that it is wanted for while there is none
	Source      string    // "file", "self-signed", "acme", "on-demand"
	Path        string    // of the certificate's file; "" without
	Issuer      string    // "" while there is none
	NotAfter    time.Time // zero while there is none
	Renewal     time.Time // when it is replaced, or the next attempt to; zero for files
	Error       string    // why the last attempt to replace it failed, since then nothing has succeeded; "" is none
	Staple      string    // of OCSP: "" without a responder, "none" yet, "good", "revoked", "unknown"
	StapleUntil time.Time // when the stapled answer expires; zero without
	StapleError string    // why the last attempt to refresh the answer failed; "" is none
}

// Status says how all certificates are: files first, then self-signed and managed ones, by name.
func (s *Store) Status() []Status {
	s.mu.Lock()
	all := s.entries()
	s.mu.Unlock()
	list := make([]Status, 0, len(all))
	for _, e := range all {
		list = append(list, e.status())
	}
	return list
}

func newStatus(source, path string, c *shown, failed error, staple *stapleState) Status {
	st := Status{Source: source, Path: path}
	if c != nil {
		st.Names, st.Issuer, st.NotAfter = names(c.tls.Leaf), issuerName(c.tls.Leaf), c.tls.Leaf.NotAfter
	}
	if failed != nil {
		st.Error = failed.Error()
	}
	if staple != nil {
		staple.report(&st, c)
	}
	return st
}

func names(leaf *x509.Certificate) []string {
	all := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 && leaf.Subject.CommonName != "" {
		all = append(all, leaf.Subject.CommonName)
	}
	return all
}

func issuerName(leaf *x509.Certificate) string {
	if n := leaf.Issuer.CommonName; n != "" {
		return n
	}
	return leaf.Issuer.String()
}
