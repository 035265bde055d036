package cert

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"skein/config"
)

const (
	letsEncrypt  = certmagic.LetsEncryptProductionCA
	issueTimeout = 5 * time.Minute // one order, with validation
	storeTimeout = 10 * time.Second
)

// authority is a CA, our account there, and the storage that all nodes with this account share:
//
//	accounts/CA/ID.json               location and key of the account
//	certificates/CA/NAME.pem          key and chain in one value, so that no node ever reads a new key with an old chain
//	challenges/TYPE/NAME.json         what a validation expects, answered by whichever node is asked
//	ocsp/HASH                         answers of responders
//
// Locks are the storage's: one node orders a name's certificate, the others find it when their turn comes.
type authority struct {
	log     *slog.Logger
	config  config.ACME
	key     string // names the CA in storage
	storage certmagic.Storage
	client  *acmez.Client
	mute    atomic.Int64 // UNIX time until which it is not asked for advice about renewals: it did not answer
}

// nextAuthority is the authority of c: the running one while nothing about it changes, so that its nonces and connections stay.
func (s *Store) nextAuthority(c *config.Config) (*authority, error) {
	if c.ACME == nil {
		return nil, nil
	}
	a := *c.ACME
	a.Pos, a.OnDemand = config.Pos{}, nil // no business of the CA
	if a.Directory == "" {
		a.Directory = letsEncrypt
	}
	if len(a.Challenges) == 0 {
		a.Challenges = []string{"tls-alpn-01", "http-01"}
	}
	if a.Storage == "" {
		a.Storage = filepath.Join(c.State, "acme")
	}
	if s.ca != nil && reflect.DeepEqual(s.ca.config, a) {
		return s.ca, nil
	}
	ca, err := s.newAuthority(a)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: acme: %w", c.ACME.Pos.File, c.ACME.Pos.Line, err)
	}
	return ca, nil
}

func (s *Store) newAuthority(c config.ACME) (*authority, error) {
	ca := &authority{log: s.log, config: c, key: certmagic.StorageKeys.Safe(c.Directory), storage: s.options.Storage}
	if ca.storage == nil {
		if err := os.MkdirAll(c.Storage, 0o700); err != nil {
			return nil, fmt.Errorf("storage: %w", err)
		}
		ca.storage = &certmagic.FileStorage{Path: c.Storage}
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if c.CA != nil {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("ca holds no certificate in PEM")
		}
	}
	ca.client = &acmez.Client{
		Client: &acme.Client{
			Directory:   c.Directory,
			UserAgent:   "skein",
			HTTPClient:  &http.Client{Transport: bounded{t}, Timeout: time.Minute},
			PollTimeout: 2 * time.Minute,
			Logger:      slog.New(quiet{s.log.Handler()}),
		},
		ChallengeSolvers: map[string]acmez.Solver{},
	}
	for _, kind := range c.Challenges {
		switch kind {
		case acme.ChallengeTypeHTTP01, acme.ChallengeTypeTLSALPN01:
			ca.client.ChallengeSolvers[kind] = &solver{ca.storage, &s.challenges}
		case acme.ChallengeTypeDNS01:
			provider := s.options.DNS
			if provider == nil {
				if len(c.DNS) == 0 {
					return nil, errors.New("challenge dns-01 needs a command that publishes records: dns = [\"/path/to/hook\"]")
				}
				provider = &hook{log: s.log, argv: c.DNS}
			}
			ca.client.ChallengeSolvers[kind] = &dnsSolver{provider}
		default:
			return nil, fmt.Errorf("challenge %q is not known; there are tls-alpn-01, http-01 and dns-01", kind)
		}
	}
	return ca, nil
}

// issue orders a certificate for name with a new key: a key that is never used again need not be trusted for long.
func (ca *authority) issue(ctx context.Context, name string, replaces *x509.Certificate) (*shown, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	key, err := newKey(ca.config.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	csr, err := acmez.NewCSR(key, []string{name})
	if err != nil {
		return nil, nil, fmt.Errorf("make signing request: %w", err)
	}
	var chains []acme.Certificate
	for again := false; ; again = true {
		a, err := ca.useAccount(ctx)
		if err != nil {
			return nil, nil, err
		}
		order, err := acmez.OrderParametersFromCSR(a, csr)
		if err != nil {
			return nil, nil, fmt.Errorf("make order: %w", err)
		}
		order.Replaces = replaces // RFC 9773 section 5: the order counts as a renewal, outside of most rate limits
		if chains, err = ca.client.ObtainCertificate(ctx, order); err == nil {
			break
		}
		var p acme.Problem
		if !errors.As(err, &p) || again {
			return nil, nil, err
		}
		switch {
		case p.Type == acme.ProblemTypeAccountDoesNotExist: // the CA was set up anew
			if kept, err := ca.loadAccount(ctx); err == nil && kept.Location == a.Location { // no other node has done it
				if err := ca.storage.Delete(ctx, ca.accountKey()); err != nil {
					return nil, nil, fmt.Errorf("forget account: %w", err)
				}
			}
			replaces = nil
		case replaces != nil && p.Resource == nil && p.Type != acme.ProblemTypeRateLimited:
			// No validation failed, so it may be the predecessor that the CA objects to: another account's, or replaced already.
			replaces = nil
		default:
			return nil, nil, err
		}
	}
	if len(chains) == 0 {
		return nil, nil, errors.New("the CA gave no certificate")
	}
	pem, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	pem = append(pem, chains[0].ChainPEM...)
	c, err := readBundle(pem)
	if err == nil && !c.covers(sampleOf(name)) {
		err = fmt.Errorf("it is for %v", names(c.tls.Leaf))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the CA's certificate is of no use: %w", err)
	}
	return c, pem, nil
}

// newKey makes a private key of the configured kind.
func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func (ca *authority) certificateKey(name string) string {
	return path.Join("certificates", ca.key, certmagic.StorageKeys.Safe(name)+".pem")
}

// load reads what storage has for name; fs.ErrNotExist is nothing.
func (ca *authority) load(ctx context.Context, name string) (*shown, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	b, err := ca.storage.Load(ctx, ca.certificateKey(name))
	if err != nil {
		return nil, err
	}
	return readBundle(b)
}

func (ca *authority) keep(ctx context.Context, name string, bundle []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := ca.storage.Store(ctx, ca.certificateKey(name), bundle); err != nil {
		return fmt.Errorf("store certificate: %w", err)
	}
	return nil
}

func readBundle(b []byte) (*shown, error) {
	c, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	return newShown(c)
}

// lock takes a lock of all nodes. The returned function gives it back.
func (ca *authority) lock(ctx context.Context, name string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	name = certmagic.StorageKeys.Safe(name)
	if err := ca.storage.Lock(ctx, name); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		if err := ca.storage.Unlock(ctx, name); err != nil {
			ca.log.Warn("lock was not given back: other nodes wait until it is stale", "lock", name, "error", err)
		}
	}, nil
}

// storage is where answers of responders are kept; nil is nowhere. mu is held.
func (s *Store) storage() certmagic.Storage {
	if s.ca == nil {
		return s.options.Storage
	}
	return s.ca.storage
}

// maxAnswer bounds what a CA may say at once.
const maxAnswer = 1 << 20

// bounded ends answers that are longer than any CA's.
type bounded struct{ *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	w, err := b.Transport.RoundTrip(r)
	if err == nil {
		w.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(w.Body, maxAnswer), w.Body}
	}
	return w, err
}

// quiet makes all that a library says debugging: what it thinks worth a warning (a used nonce) is routine.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(name string) slog.Handler   { return quiet{q.Handler.WithGroup(name)} }
