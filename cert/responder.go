package cert

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

func statusWord(status int) string {
	switch status {
	case ocsp.Good:
		return "good"
	case ocsp.Revoked:
		return "revoked"
	}
	return "unknown"
}

// until is the end of an answer's life; one without (RFC 6960 section 4.2.2.1: newer information is always there) gets a day.
func until(a *ocsp.Response) time.Time {
	if a.NextUpdate.IsZero() {
		return a.ThisUpdate.Add(24 * time.Hour)
	}
	return a.NextUpdate
}

func halfLife(a *ocsp.Response) time.Time { return a.ThisUpdate.Add(until(a).Sub(a.ThisUpdate) / 2) }

// parseAnswer checks who signed an answer, what it is about and when it is valid.
func parseAnswer(der []byte, c *shown, now time.Time) (*ocsp.Response, error) {
	issuer, err := x509.ParseCertificate(c.tls.Certificate[1])
	if err != nil {
		return nil, fmt.Errorf("parse issuer: %w", err)
	}
	a, err := ocsp.ParseResponseForCert(der, c.tls.Leaf, issuer)
	if err != nil {
		return nil, fmt.Errorf("parse OCSP answer: %w", err)
	}
	if now.Before(a.ThisUpdate.Add(-5*time.Minute)) || !now.Before(until(a)) {
		return nil, fmt.Errorf("OCSP answer is valid from %s to %s: not now", a.ThisUpdate, until(a))
	}
	return a, nil
}

// fetcher asks responders.
type fetcher struct{ client *http.Client }

func newFetcher() *fetcher {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true, // one question in days
		MaxResponseHeaderBytes: stapleMax,
	}
	return &fetcher{client: &http.Client{Transport: t, Timeout: stapleTimeout}}
}

// ask is one question to the certificate's responder.
func (f *fetcher) ask(ctx context.Context, c *shown, now time.Time) (*ocsp.Response, []byte, error) {
	issuer, err := x509.ParseCertificate(c.tls.Certificate[1])
	if err != nil {
		return nil, nil, fmt.Errorf("parse issuer: %w", err)
	}
	// SHA-1 names the issuer, it signs nothing: the one form that every responder knows (RFC 5019 section 2.1.1).
	question, err := ocsp.CreateRequest(c.tls.Leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		return nil, nil, fmt.Errorf("make OCSP request: %w", err)
	}
	url := c.tls.Leaf.OCSPServer[0]
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(question))
	if err != nil {
		return nil, nil, fmt.Errorf("make OCSP request: %w", err)
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	w, err := f.client.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("ask OCSP responder: %w", err)
	}
	defer w.Body.Close()
	der, err := io.ReadAll(io.LimitReader(w.Body, stapleMax+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read OCSP answer of %s: %w", url, err)
	case w.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("OCSP responder %s says %s", url, w.Status)
	case len(der) > stapleMax:
		return nil, nil, errors.New("OCSP responder " + url + " says more than 64 KiB")
	}
	a, err := parseAnswer(der, c, now)
	return a, der, err
}
