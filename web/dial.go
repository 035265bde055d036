package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"time"

	"skein/config"
	"skein/internal/sock"
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
	alpn := "http/1.1"
	if p.Protocol == "h2" {
		alpn = "h2"
	}
	var err error
	if d.tls, err = pool.ClientTLS(p.TLS, alpn); err != nil {
		return nil, fmt.Errorf("pool %q: %w", p.Name, err)
	}
	return d, nil
}

// greeter writes the PROXY header of a connection.
type greeter func(net.Conn) error

// open connects to m, TLS included, within timeout. secure is nil for plain text.
func (d *dialer) open(ctx context.Context, m *pool.Member, timeout time.Duration, greet greeter, secure *tls.Config) (net.Conn, error) {
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
	if secure == nil {
		return nc, nil
	}
	below := nc
	if d.protocol != "h2" { // whose connections are never idle: somebody reads
		below = &records{Conn: nc}
	}
	tc := tls.Client(below, secure)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, handshakeError{err}
	}
	if got := tc.ConnectionState().NegotiatedProtocol; d.protocol == "h2" && got != "h2" {
		nc.Close()
		return nil, handshakeError{fmt.Errorf("the member does not speak HTTP/2: it chose %q by ALPN", got)}
	}
	return tc, nil
}

// handshakeError is a member that accepts connections, but not to speak as its pool says.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// kind says in a few words what is wrong: the text of the error may be another one each time.
func (e handshakeError) kind() string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(e.error, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet"
	case errors.As(e.error, &name):
		return "its certificate is for another name"
	case errors.As(e.error, &unknown):
		return "its certificate is of an unknown CA"
	case isAlert(e.error):
		return "it refused: " + e.Error() // our certificate, or our protocol
	case isTimeout(e.error):
		return "the handshake took too long"
	}
	var op *net.OpError
	if errors.As(e.error, &op) { // its text has ports in it
		return "the connection broke: " + op.Err.Error()
	}
	return e.Error()
}

// isAlert reports whether err is what the member said itself. With TLS 1.3 a client certificate is judged after our side of
// the handshake, so that the verdict comes instead of an answer.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// speech is what is known of speaking to one member.
type speech struct {
	mu      sync.Mutex // guards what follows
	dial    *dialer
	tls     *tls.Config // of dial, with the member's name and its sessions
	trouble string      // the kind of the last handshake's error; "" if it went well
}

// config is d's TLS configuration for m. It keeps m's sessions: those of another member with the same name are of no use.
func (s *speech) config(d *dialer, m *pool.Member) *tls.Config {
	if d.tls == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dial != d {
		c := d.tls.Clone()
		if c.ServerName == "" {
			c.ServerName = m.Host
		}
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		s.dial, s.tls = d, c
	}
	return s.tls
}

// note logs the beginning and the end of trouble with m's handshakes, and each other kind of it; not each connection.
func (s *speech) note(w *Web, m *pool.Member, err error) {
	kind := ""
	var he handshakeError
	switch {
	case errors.As(err, &he):
		kind = he.kind()
	case err != nil:
		return // that it cannot be reached is for health to say
	}
	s.mu.Lock()
	changed := s.trouble != kind
	s.trouble = kind
	s.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		w.log.Warn("member was not spoken to: "+kind, "pool", m.Pool, "server", m.Server, "address", m.Address, "error", strings.TrimPrefix(err.Error(), "tls: "))
	default:
		w.log.Info("member is spoken to again", "pool", m.Pool, "server", m.Server, "address", m.Address)
	}
}

// judge is told how the first exchange of a connection ended: that the handshake went well says little, see isAlert.
func (w *Web) judge(u *upstream, err error) {
	if u.dial.tls == nil || u.reused {
		return
	}
	if err == nil {
		w.idleOf(u.member).speech.note(w, u.member, nil)
	} else if isAlert(err) {
		w.idleOf(u.member).speech.note(w, u.member, handshakeError{err})
	}
}

// call opens a connection to m as d says, and counts it.
func (w *Web) call(x *exchange, m *pool.Member, d *dialer, timeout time.Duration) (net.Conn, error) {
	s := &w.idleOf(m).speech
	start := time.Now()
	nc, err := d.open(w.dialing, m, timeout, x.greet, s.config(d, m))
	x.line.connected += time.Since(start)
	if err != nil {
		s.note(w, m, err)
		m.Stats.ConnectErrors.Add(1)
		return nil, err
	}
	m.Stats.Connects.Add(1)
	return nc, nil
}

// connect returns an idle connection to m, or a new one if there is none or fresh asks for it.
func (w *Web) connect(x *exchange, m *pool.Member, fresh bool, timeout time.Duration) (*upstream, error) {
	d := x.route.dial
	if d.protocol == "h2" {
		return w.connect2(x, m, d, timeout)
	}
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
	u := &upstream{member: m, dial: d, wire: newWire(d.protocol)}
	u.step = u.advance
	if d.tls == nil && !d.proxy {
		s, err := w.callDirectly(x, m, timeout)
		if err == nil || !errors.Is(err, errors.ErrUnsupported) {
			u.sock = s
			return u, err
		}
	}
	nc, err := w.call(x, m, d, timeout)
	if err != nil {
		return nil, err
	}
	u.sock = w.timer.Wrap(nc, nil)
	u.secure, _ = nc.(*tls.Conn)
	return u, nil
}

// callDirectly opens a connection that carries nothing but requests, in the cheapest way.
func (w *Web) callDirectly(x *exchange, m *pool.Member, timeout time.Duration) (*sock.Conn, error) {
	start := time.Now()
	s, err := w.timer.Dial(w.dialing, m.Network, m.Address, timeout, x.body == nil && x.route.pool.Config().KeepAlive == 0)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	x.line.connected += time.Since(start)
	if err != nil {
		m.Stats.ConnectErrors.Add(1)
		return nil, err
	}
	m.Stats.Connects.Add(1)
	return s, nil
}

// aside is how long the records that lie in an idle connection over TLS may take to be read.
const aside = 2 * time.Millisecond

// usable reports whether the member has said nothing on an idle connection. Over TLS it may have said something that is none
// of HTTP's business: TLS 1.3 sends tickets, or new keys, whenever it likes (RFC 8446 section 4.6). Reading tells: data or the
// end would come out, and behind tickets nothing does. That costs aside, but only where something lies there at all.
func (u *upstream) usable() bool {
	if u.secure == nil {
		return u.sock.Quiet()
	}
	below := u.secure.NetConn().(*records)
	if !below.pending() && u.sock.Quiet() {
		return true
	}
	_ = u.secure.SetReadDeadline(time.Now().Add(aside))
	n, err := u.secure.Read(make([]byte, 1))
	return u.sock.Calm() && n == 0 && isTimeout(err) && !below.pending() && u.sock.Quiet()
}
