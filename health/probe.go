package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"skein/config"
	"skein/pool"
)

// proxyLocal is a header of the PROXY protocol, version 2, that speaks for nobody but the sender: the command LOCAL, which is made for
// health checks (the specification's section 2.2).
const proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

const (
	maxHead = 64 << 10 // bytes of an answer's head
	maxBody = 64 << 10 // bytes of an answer's body that are searched
)

// Result is what one check found.
type Result struct {
	Time     time.Time // its beginning
	OK       bool
	Duration time.Duration
	Text     string // "status 200", "connect: connection refused", "status 500, want 200-399"
}

// probe is what one check sends, to where, and what it wants to hear. It is never changed.
type probe struct {
	dial    Dial
	network string // "tcp" or "unix"
	address string
	timeout time.Duration
	proxy   bool        // a PROXY protocol header comes first
	tls     *tls.Config // nil without TLS
	url     string      // for HTTP/2; "" for HTTP/1
	request []byte      // for HTTP/1; nil if the connection is all that is wanted
	status  []config.StatusRange
	body    []byte // nil if any will do
}

func newProbe(c *config.Check, m *pool.Member, h2 bool, dial Dial) *probe {
	p := &probe{dial: dial, network: m.Network, address: m.Address, timeout: c.Timeout, proxy: c.SendProxy}
	if c.Port != 0 {
		p.address = net.JoinHostPort(m.Host, strconv.Itoa(c.Port))
	}
	if c.Kind == "tcp" {
		return p
	}
	// RFC 9110 section 7.2: the Host field has the port unless it is the scheme's own.
	host, port, _ := net.SplitHostPort(p.address)
	authority := p.address
	if m.Network == "unix" {
		host, authority = "localhost", "localhost" // a path is no authority
	}
	if c.Kind == "http" && port == "80" || c.Kind == "https" && port == "443" {
		authority = strings.TrimSuffix(p.address, ":"+port)
	}
	if c.Host != "" {
		authority, host = c.Host, c.Host
		if h, _, err := net.SplitHostPort(c.Host); err == nil {
			host = h
		}
	}
	if c.Kind == "https" {
		p.tls = &tls.Config{ServerName: host, InsecureSkipVerify: c.Insecure}
		if c.Cert != nil {
			if pair, err := tls.X509KeyPair(c.Cert, c.Key); err == nil { // config has made sure that they fit
				p.tls.Certificates = []tls.Certificate{pair}
			}
		}
		if c.CA != nil {
			p.tls.RootCAs = x509.NewCertPool()
			p.tls.RootCAs.AppendCertsFromPEM(c.CA) // config has made sure that it holds certificates
		}
	}
	p.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: skein/check\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		c.Path, authority)
	if h2 {
		p.url = c.Kind + "://" + authority + c.Path
		if p.tls != nil {
			p.tls.NextProtos = []string{"h2"}
		}
	}
	p.status = c.StatusFrom
	if c.Body != "" {
		p.body = []byte(c.Body)
	}
	return p
}

// run checks once. It takes no longer than the time-out.
func (p *probe) run(ctx context.Context) Result {
	r := Result{Time: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	text, err := p.ask(ctx)
	if err != nil {
		text = err.Error()
	}
	r.OK, r.Text, r.Duration = err == nil, text, time.Since(r.Time)
	return r
}

// ask returns what was good about the answer, or what was bad as an error that a status page can show.
func (p *probe) ask(ctx context.Context) (string, error) {
	conn, err := p.dial(ctx, p.network, p.address)
	if err != nil {
		return "", p.explain(ctx, "connect", err)
	}
	// The end of the context, be it the time-out or the end of the check, ends whatever the connection waits for.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer conn.Close()
	defer stop()
	if p.request == nil {
		return "connected", nil
	}
	if p.proxy {
		if _, err := io.WriteString(conn, proxyLocal); err != nil {
			return "", p.explain(ctx, "request", err)
		}
	}
	if p.tls != nil {
		c := tls.Client(conn, p.tls)
		if err := c.HandshakeContext(ctx); err != nil {
			return "", p.explain(ctx, "tls", err)
		}
		conn = c
	}
	if p.url != "" {
		a, err := p.exchange2(ctx, conn)
		if err != nil {
			return "", p.explain(ctx, "answer", err)
		}
		defer a.Body.Close()
		return p.verdict(ctx, a)
	}
	if _, err := conn.Write(p.request); err != nil {
		return "", p.explain(ctx, "request", err)
	}
	limit := &io.LimitedReader{R: conn, N: maxHead}
	in := bufio.NewReader(limit)
	var a *http.Response
	for {
		if a, err = http.ReadResponse(in, nil); err != nil {
			if limit.N <= 0 {
				err = fmt.Errorf("the head is longer than %d KiB", maxHead>>10)
			}
			return "", p.explain(ctx, "answer", err)
		}
		if a.StatusCode >= 200 || a.StatusCode == http.StatusSwitchingProtocols {
			break // other interim answers come before the real one (RFC 9110 section 15.2)
		}
	}
	limit.N += 2 * maxBody // room for the lines of chunks
	return p.verdict(ctx, a)
}

// verdict says whether an answer is what is wanted.
func (p *probe) verdict(ctx context.Context, a *http.Response) (string, error) {
	if err := p.judge(a.StatusCode); err != nil {
		return "", err
	}
	if p.body != nil {
		found, err := contains(a.Body, p.body)
		if err != nil {
			return "", p.explain(ctx, "body", err)
		}
		if !found {
			return "", fmt.Errorf("status %d, but the body does not contain %q", a.StatusCode, p.body)
		}
	}
	return fmt.Sprintf("status %d", a.StatusCode), nil
}

func (p *probe) judge(status int) error {
	want := make([]string, 0, len(p.status))
	for _, s := range p.status {
		if status >= s.From && status <= s.To {
			return nil
		}
		w := strconv.Itoa(s.From)
		if s.To != s.From {
			w += "-" + strconv.Itoa(s.To)
		}
		want = append(want, w)
	}
	return fmt.Errorf("status %d, want %s", status, strings.Join(want, ", "))
}

// explain says what went wrong in words that fit in a table: no addresses, which stand beside it anyway.
func (p *probe) explain(ctx context.Context, step string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: nothing within %v", step, p.timeout)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the connection was closed", step)
	case strings.HasPrefix(err.Error(), step+": "):
		return err
	}
	return fmt.Errorf("%s: %w", step, err)
}

// contains looks for want in the first maxBody bytes of r, and returns as soon as it is there: a body may be endless.
func contains(r io.Reader, want []byte) (bool, error) {
	buf := make([]byte, 0, 4<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		seen := max(0, len(buf)-len(want)+1)
		n, err := r.Read(buf[len(buf):min(cap(buf), maxBody)])
		buf = buf[:len(buf)+n]
		if bytes.Contains(buf[seen:], want) {
			return true, nil
		}
		if err == io.EOF || len(buf) >= maxBody {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}
