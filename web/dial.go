package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"reflect"
	"time"

	"skein/config"
	"skein/pool"
)

// dialer opens connections to the members of one pool. It lives on across reloads as long as what it says of a connection
// stays the same; connections that another one opened are not used.
type dialer struct {
	protocol string
	proxy    bool // a PROXY header comes first
	cfg      *config.MemberTLS
	tls      *tls.Config // nil is plain text; without a server name where the member's host is used
}

// newDialer returns how to speak to p's members; old itself if that has not changed.
func newDialer(old *dialer, p *config.Pool) (*dialer, error) {
	if old != nil && old.protocol == p.Protocol && old.proxy == p.SendProxy && reflect.DeepEqual(old.cfg, p.TLS) {
		return old, nil
	}
	d := &dialer{protocol: p.Protocol, proxy: p.SendProxy, cfg: p.TLS}
	if p.TLS == nil {
		return d, nil
	}
	d.tls = &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: p.TLS.Name, InsecureSkipVerify: !p.TLS.Verify,
		ClientSessionCache: tls.NewLRUClientSessionCache(0), NextProtos: []string{"http/1.1"},
	}
	if p.Protocol == "h2" {
		d.tls.NextProtos = []string{"h2"}
	}
	if p.TLS.CA != nil {
		d.tls.RootCAs = x509.NewCertPool()
		if !d.tls.RootCAs.AppendCertsFromPEM(p.TLS.CA) {
			return nil, fmt.Errorf("pool %q: tls: ca holds no certificate in PEM form", p.Name)
		}
	}
	if p.TLS.Cert != nil {
		c, err := tls.X509KeyPair(p.TLS.Cert, p.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("pool %q: tls: cert and key: %w", p.Name, err)
		}
		d.tls.Certificates = []tls.Certificate{c}
	}
	return d, nil
}

// open connects to m, TLS included, within timeout.
func (d *dialer) open(ctx context.Context, m *pool.Member, timeout time.Duration, greet func(net.Conn) error) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	n := net.Dialer{KeepAlive: 60 * time.Second}
	nc, err := n.DialContext(ctx, m.Network, m.Address)
	if err != nil {
		return nil, err
	}
	if d.proxy {
		if err := greet(nc); err != nil {
			nc.Close()
			return nil, err
		}
	}
	if d.tls == nil {
		return nc, nil
	}
	c := d.tls
	if c.ServerName == "" {
		c = c.Clone()
		c.ServerName = m.Host
	}
	tc := tls.Client(nc, c)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return tc, nil
}

// connect returns an idle connection to m, or a new one if there is none or fresh asks for it.
func (w *Web) connect(x *exchange, m *pool.Member, fresh bool, timeout time.Duration) (*upstream, error) {
	d := x.route.dial
	for !fresh {
		u := w.idleOf(m).take()
		if u == nil {
			break
		}
		if u.dial == d {
			u.reused = true
			return u, nil
		}
		u.close() // the pool's settings have changed since
	}
	start := time.Now()
	nc, err := d.open(w.dialing, m, timeout, x.greet)
	x.line.connected += time.Since(start)
	if err != nil {
		m.Stats.ConnectErrors.Add(1)
		return nil, err
	}
	m.Stats.Connects.Add(1)
	u := &upstream{sock: w.timer.Wrap(nc, nil), member: m, dial: d, wire: newWire(d.protocol)}
	u.step = u.advance
	return u, nil
}
