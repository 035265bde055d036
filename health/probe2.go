package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"skein/config"
	"skein/pool"
)

// speaks2 reports whether a check speaks HTTP/2: it does if the pool's work does, of which the check is to be a sample, but a
// port of its own is another program's.
func speaks2(p *pool.Pool, c *config.Check) bool {
	return p != nil && p.Config().Protocol == "h2" && c.Port == 0 && c.Kind != "tcp"
}

// exchange2 sends the request by HTTP/2, on a connection that is there already.
func (p *probe) exchange2(ctx context.Context, conn net.Conn) (*http.Response, error) {
	if t, ok := conn.(*tls.Conn); ok {
		if got := t.ConnectionState().NegotiatedProtocol; got != "h2" {
			return nil, fmt.Errorf("the member does not speak HTTP/2: it chose %q by ALPN", got)
		}
	}
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	tr := &http.Transport{
		DialContext: given, DialTLSContext: given, Protocols: new(http.Protocols), MaxResponseHeaderBytes: maxHead, DisableCompression: true,
	}
	tr.Protocols.SetHTTP2(true)
	tr.Protocols.SetUnencryptedHTTP2(true)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "skein/check")
	r.Header.Set("Accept", "*/*")
	return tr.RoundTrip(r)
}
