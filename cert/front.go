package cert

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3"

	"skein/config"
)

// A handshake finds its certificate like this:
//
//	address -> table -> block: the host, before the longest wildcard, before the block without hosts, before the first
//	                      -> entries that cover the name, ECDSA before RSA, by what the client can verify
//
// A block's own certificate is shown even when it does not cover the name, as every server does: the client then says what
// is wrong in words that its user knows.

// entry is one certificate, wherever it comes from.
type entry interface {
	current() *shown // nil is none yet
	status() Status
}

// shown is a certificate as handshakes use it; it is never changed, only replaced.
type shown struct {
	tls    tls.Certificate // Leaf is set
	mark   [sha256.Size]byte
	signed bool // by ourselves
}

// newShown reads the leaf that handshakes need again and again.
func newShown(c tls.Certificate) (*shown, error) {
	if c.Leaf == nil {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		c.Leaf = leaf
	}
	return &shown{tls: c, mark: sha256.Sum256(c.Leaf.Raw)}, nil
}

// covers says whether a client that asked for name will accept c's names.
func (c *shown) covers(name string) bool { return c.tls.Leaf.VerifyHostname(name) == nil }

func (c *shown) ecdsa() bool { _, ok := c.tls.Leaf.PublicKey.(*ecdsa.PublicKey); return ok }

// front is one listening address over all configurations.
type front struct {
	table atomic.Pointer[table] // nil when the address is no longer configured
	outer *tls.Config
}

func newFront(protocols []string) *front {
	f := &front{}
	f.outer = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetConfigForClient: f.config}
	return f
}

var errNoListener = errors.New("cert: this address no longer speaks TLS") // only connections accepted during a reload see it

func (f *front) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	t := f.table.Load()
	if t == nil {
		return nil, errNoListener
	}
	// RFC 8737 section 4: a validation offers acme-tls/1 and nothing else.
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmez.ACMETLS1Protocol {
		return t.validation, nil
	}
	return t.inner, nil
}

// Front is what the listening address speaks, after the commit of a configuration in which it has TLS; nil for others. The
// value stays valid over reloads. A connection that has negotiated acme-tls/1 is a CA's validation: it is over after the
// handshake and carries no request.
func (s *Store) Front(address string) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fronts[address]; f != nil {
		return f.outer
	}
	return nil
}

// block is what one http block shows on one address.
type block struct {
	hosts   []string
	entries []entry
	names   map[string]*managed // those of entries that a CA gives; nil without acme
}

// table is one address in one configuration.
type table struct {
	address    string
	front      *config.Front
	protocols  []string
	blocks     []*block
	exact      map[string]*block
	wild       map[string]*block // by ".example.com"
	fallback   *block
	acme       bool // some block's certificates come from a CA: names on demand need not be a block's
	inner      *tls.Config
	validation *tls.Config
	context    []byte // separates ticket keys
	epoch      int64  // of the ticket keys that inner has; guarded by Store.mu
}

func newTable(address string, f *config.Front) *table {
	return &table{address: address, front: f, exact: map[string]*block{}, wild: map[string]*block{}}
}

func (t *table) add(b *block, h *config.HTTP) error {
	if f := h.TLS; f.MinVersion != t.front.MinVersion || !bytes.Equal(f.ClientCA, t.front.ClientCA) || f.ClientAuth != t.front.ClientAuth ||
		!slices.EqualFunc(f.Tickets, t.front.Tickets, bytes.Equal) {
		return fmt.Errorf("its min_version, client_ca, client_auth or tickets differ from another block's that listens on %s; blocks that share a listener must agree", t.address)
	}
	if t.front.ClientCA != nil && !x509.NewCertPool().AppendCertsFromPEM(t.front.ClientCA) {
		return errors.New("client_ca holds no certificate in PEM")
	}
	for _, p := range h.Protocols {
		if !slices.Contains(t.protocols, p) && (p == "h2" || p == "http/1.1") {
			t.protocols = append(t.protocols, p)
		}
	}
	t.blocks = append(t.blocks, b)
	t.acme = t.acme || b.names != nil
	for _, host := range b.hosts {
		if suffix, ok := strings.CutPrefix(host, "*"); ok {
			t.wild[suffix] = b
		} else {
			t.exact[host] = b
		}
	}
	if len(b.hosts) == 0 && t.fallback == nil {
		t.fallback = b
	}
	return nil
}

// finish makes the configurations that handshakes get.
func (t *table) finish(s *Store) {
	if t.fallback == nil {
		t.fallback = t.blocks[0]
	}
	if len(t.protocols) == 0 {
		t.protocols = []string{"http/1.1"}
	}
	slices.Sort(t.protocols) // the server's order decides: h2 before http/1.1
	t.inner = &tls.Config{
		MinVersion: max(t.front.MinVersion, tls.VersionTLS12),
		NextProtos: t.protocols,
		// TLS 1.2 with forward secrecy and AEAD alone: CBC and RSA key exchange are what scanners (and Lucky 13, ROBOT)
		// object to. TLS 1.3 has nothing else.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.choose(t, hello)
		},
	}
	if t.front.ClientCA != nil {
		t.inner.ClientCAs = x509.NewCertPool()
		t.inner.ClientCAs.AppendCertsFromPEM(t.front.ClientCA) // add has looked into it
		t.inner.ClientAuth = tls.RequireAndVerifyClientCert
		if t.front.ClientAuth == "request" {
			t.inner.ClientAuth = tls.VerifyClientCertIfGiven
		}
		sum := sha256.Sum256(t.front.ClientCA)
		t.context = sum[:]
	}
	// A validating CA has no client certificate, and what it gets is no session to come back to.
	t.validation = &tls.Config{
		MinVersion:             tls.VersionTLS12,
		NextProtos:             []string{acmez.ACMETLS1Protocol},
		GetCertificate:         s.validationCertificate,
		SessionTicketsDisabled: true,
	}
	s.tickets.set(t)
}

// blockFor finds the block that a name belongs to; named says that it is one of the block's hosts.
func (t *table) blockFor(name string) (b *block, named bool) {
	if b := t.exact[name]; b != nil {
		return b, true
	}
	for i := range len(name) {
		if name[i] == '.' {
			if b := t.wild[name[i:]]; b != nil && i > 0 {
				return b, true
			}
		}
	}
	return t.fallback, false
}

// choose is GetCertificate of every listener.
func (s *Store) choose(t *table, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	b, named := t.blockFor(name)
	best := b.best(name, hello, s.options.Now)
	if name != "" && (b.names != nil || !named && t.acme) && (best == nil || best.signed || !best.covers(name)) {
		// Its certificate is a CA's that has not given it yet. What we signed for it ourselves serves meanwhile, if the block
		// says so; another name's would only confuse.
		ctx := hello.Context()
		if ctx == nil { // a hello that no handshake has made
			ctx = context.Background()
		}
		own, err := s.missing(ctx, b, name)
		switch {
		case own != nil:
			best = own
		case err != nil && (best == nil || !best.covers(name)):
			about := name
			if errors.Is(err, errTooMany) {
				about = "" // of names that strangers make up there is no end
			}
			s.told.once(s.options.Now(), about, func() {
				s.log.Warn("handshake was refused: no certificate", "name", name, "listen", t.address, "error", err)
			})
			return nil, fmt.Errorf("cert: no certificate for %s: %w", name, err)
		}
	}
	if best == nil && b != t.fallback {
		best = t.fallback.best(name, hello, s.options.Now)
	}
	if best == nil {
		err := errors.New("none has been obtained yet; see skein status and the log for its reason")
		s.told.once(s.options.Now(), "", func() {
			s.log.Warn("handshake was refused: no certificate", "name", name, "listen", t.address, "error", err)
		})
		return nil, fmt.Errorf("cert: no certificate for %q: %w", name, err)
	}
	return &best.tls, nil
}

// best is the block's best certificate for name and the client: one that covers the name before one that does not, somebody
// else's word before our own, one that the client can verify before one that it cannot, one that has not expired before one
// that has, ECDSA before RSA (whose signatures cost us ten times as much).
func (b *block) best(name string, hello *tls.ClientHelloInfo, now func() time.Time) *shown {
	if len(b.entries) == 1 {
		return b.entries[0].current()
	}
	var best *shown
	top := -1
	anyName := *hello
	anyName.ServerName = "" // SupportsCertificate would refuse every certificate of another name
	for _, e := range b.entries {
		c := e.current()
		if c == nil {
			continue
		}
		points := 0
		if name != "" && c.covers(name) {
			points += 16
		}
		if !c.signed {
			points += 8
		}
		if anyName.SupportsCertificate(&c.tls) == nil {
			points += 4
		}
		if now().Before(c.tls.Leaf.NotAfter) {
			points += 2
		}
		if c.ecdsa() {
			points++
		}
		if points > top {
			best, top = c, points
		}
	}
	return best
}
