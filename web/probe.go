package web

import (
	"cmp"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"skein/internal/listen"
	"skein/web/http1"
)

// probe is one request by which this process asks itself whether it serves.
type probe struct {
	until time.Time // when it is given up
}

// probes are those that run, and what they share.
type probes struct {
	path   []byte // that nobody else knows
	proofs proofs

	open atomic.Int32 // how many are in from
	mu   sync.Mutex   // guards from
	from map[netip.AddrPort]*probe
}

// begin makes the path. The same key in all processes of a chain of upgrades makes the same one, as an elder that still accepts
// gets some of its heir's.
func (p *probes) begin(s *listen.Set) {
	key := s.Secret("probe of our own listeners")
	p.path = []byte("/.well-known/skein/serving/" + hex.EncodeToString(key[:]))
	p.from = map[netip.AddrPort]*probe{}
}

// at returns the probe that comes from an address: there is no other way to have it than to be bound to it, and we are. It is
// nil for visitors.
func (p *probes) at(from netip.AddrPort) *probe {
	if p.open.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from[from]
}

func (p *probes) add(from netip.AddrPort, own *probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from[from] = own
	p.open.Store(int32(len(p.from)))
}

func (p *probes) remove(from netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.from, from)
	p.open.Store(int32(len(p.from)))
}

// servingField says which block has answered a probe.
const servingField = "Skein-Serving"

// probe sends one request to a block and returns why it does not serve: a [*verdict] if it said so itself.
func (w *Web) probe(ctx context.Context, t target) error {
	own := &probe{}
	own.until, _ = ctx.Deadline() // there is one
	var nc net.Conn
	var err error
	if t.here {
		var from netip.AddrPort
		nc, from, err = w.dialOwn(ctx, t.to, own)
		if from.IsValid() {
			defer w.probes.remove(from)
		}
	}
	// An address that has just gone, or a machine whose loopback interface is down.
	if !t.here || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENETUNREACH) {
		nc, err = w.inject(t.port, own)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", sysError(err))
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	table := t.port.table.Load()
	version, name := "http/1.1", t.site.name()
	if !table.h1 {
		version = "h2"
	}
	scheme := "http"
	if t.port.tls.Load() != nil {
		scheme = "https"
		c := &tls.Config{InsecureSkipVerify: true, ServerName: name, NextProtos: []string{version}} // it is we ourselves
		if name == "" {
			name = t.site.madeUpName()
		}
		tc := tls.Client(nc, c)
		err := tc.HandshakeContext(ctx)
		if err != nil && c.ServerName == "" && isAlert(err) {
			// The block has certificates for certain names only, and which ones nobody knows before they are asked for. That it
			// answers at all is what there is to see here; the rest can be seen without it.
			if !w.enter() {
				return net.ErrClosed
			}
			defer w.accepting.Done()
			return w.proveSite(t.site, table, own)
		}
		if err != nil {
			return fmt.Errorf("tls: %w", sysError(err))
		}
		nc = tc
	}
	return w.request(ctx, nc, scheme+"://"+cmp.Or(name, t.site.madeUpName())+string(w.probes.path), version, t.site.cfg.Name)
}

// request asks over a connection that is there.
func (w *Web) request(ctx context.Context, nc net.Conn, url, version, block string) error {
	given := func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	tr := &http.Transport{DialContext: given, DialTLSContext: given, Protocols: &http.Protocols{}, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: bufferSize}
	tr.Protocols.SetHTTP1(version != "h2")
	tr.Protocols.SetHTTP2(version == "h2")
	tr.Protocols.SetUnencryptedHTTP2(version == "h2")
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", agent)
	a, err := tr.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("answer: %w", sysError(err))
	}
	defer a.Body.Close()
	switch got := a.Header.Get(servingField); {
	case got != block:
		return fmt.Errorf("answer: status %d came from another block, or from another program", a.StatusCode)
	case a.StatusCode == http.StatusNoContent:
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(a.Body, bufferSize))
	if err != nil {
		return fmt.Errorf("answer: %w", sysError(err))
	}
	return &verdict{strings.TrimSpace(string(text))}
}

// agent is the User-Agent of what we ask by ourselves, as in checks.
const agent = "skein/check"

// name is the first name that the block has for itself, "" if it has none or takes whole domains.
func (s *site) name() string {
	for _, h := range s.cfg.Hosts {
		if !strings.HasPrefix(h, "*.") {
			return h
		}
	}
	return ""
}

// madeUpName is one that the block takes. It is not used for TLS: a CA might be asked for a certificate.
func (s *site) madeUpName() string {
	for _, h := range s.cfg.Hosts {
		if below, ok := strings.CutPrefix(h, "*"); ok {
			return "skein-serving-probe" + below
		}
	}
	return "skein.invalid"
}

// withoutCertificate is config for a client that cannot have a certificate of somebody else's CA.
func withoutCertificate(config *tls.Config) *tls.Config {
	c := config.Clone()
	c.ClientAuth = tls.NoClientCert
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil {
				chosen = chosen.Clone()
				chosen.ClientAuth = tls.NoClientCert
			}
			return chosen, err
		}
	}
	return c
}

// probed answers a probe; false if the exchange is a visitor's. It appears in no log and in no counter of requests.
func (w *Web) probed(x *exchange) bool {
	if len(x.path) != len(w.probes.path) || subtle.ConstantTimeCompare(x.path, w.probes.path) != 1 || x.method != http.MethodGet {
		return false
	}
	s := x.table.site(x.authority)
	if s == nil {
		return false
	}
	mark := appendField(nil, servingField, s.cfg.Name)
	err := w.proveSite(s, x.table, x.client.probe)
	if err == nil {
		if x.to.begin(&answer{status: http.StatusNoContent, none: true, extra: mark}) == nil {
			_ = x.to.end(nil)
		}
		return true
	}
	body := []byte(err.Error() + "\n")
	a := &answer{status: http.StatusServiceUnavailable, length: int64(len(body)), extra: mark, fields: []Field{
		{Name: []byte("Content-Type"), Value: []byte("text/plain; charset=utf-8"), ID: http1.ContentType},
	}}
	if x.to.begin(a) == nil && x.to.write(body) == nil {
		_ = x.to.end(nil)
	}
	return true
}
