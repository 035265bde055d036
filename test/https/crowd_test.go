package https

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

// crowd is visitors who ask all the time: over kept connections and new ones, HTTP/1.1, HTTP/2 and HTTP/3.
type crowd struct {
	asked atomic.Int64 // requests that have ended, well or not
	dials atomic.Int64 // connections that were meant to be kept

	t       testing.TB
	stop    context.CancelFunc
	wg      sync.WaitGroup
	keepers int // visitors who keep their connections

	mu       sync.Mutex // guards the rest
	failures []string
	seen     map[string]int // certificates by serial number
}

// visit begins a crowd of n who ask for https://HOST/ at addr. quic also makes some of them use HTTP/3.
func visit(t testing.TB, addr, host string, config *tls.Config, n int, quic bool) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{t: t, stop: stop, seen: map[string]int{}}
	for i := range n {
		rt, end := c.transport(addr, config.Clone(), i, quic)
		c.wg.Go(func() {
			defer end()
			c.visitor(ctx, host, rt)
		})
	}
	t.Cleanup(c.end)
	return c
}

// transport is how visitor i comes.
func (c *crowd) transport(addr string, config *tls.Config, i int, quic bool) (rt http.RoundTripper, end func()) {
	if quic && i%10 == 9 {
		config.NextProtos = []string{"h3"}
		q := &http3.Transport{TLSClientConfig: config}
		return toAddr{q, addr}, func() { q.Close() }
	}
	tr := &http.Transport{
		TLSClientConfig: config, MaxIdleConnsPerHost: 1, DisableCompression: true,
		ForceAttemptHTTP2: i%2 == 0,
		DisableKeepAlives: i%4 >= 2,
	}
	if tr.DisableKeepAlives {
		tr.DialContext = to(addr)
	} else {
		c.keepers++
		tr.DialContext = counted(addr, &c.dials)
	}
	if i%8 >= 6 {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return tr, tr.CloseIdleConnections
}

// toAddr sends requests to an address, with the name of the site: HTTP/3's transport looks names up.
type toAddr struct {
	*http3.Transport
	addr string
}

func (a toAddr) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Host, r.URL.Host = r.URL.Host, a.addr
	return a.Transport.RoundTrip(r)
}

// counted dials an address and counts how often.
func counted(addr string, dials *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

func (c *crowd) visitor(ctx context.Context, host string, rt http.RoundTripper) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		leaf, err := askBy(rt, host)
		c.asked.Add(1)
		c.mu.Lock()
		if err != nil {
			c.failures = append(c.failures, time.Now().Format("15:04:05.000 ")+err.Error())
		} else {
			c.seen[leaf.SerialNumber.String()]++
		}
		c.mu.Unlock()
	}
}

func askBy(rt http.RoundTripper, host string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+host+"/", nil)
	if err != nil {
		return nil, err
	}
	a, err := rt.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	switch {
	case err != nil:
		return nil, err
	case a.StatusCode != 200 || string(b) != "hello":
		return nil, fmt.Errorf("%d %q", a.StatusCode, b)
	case a.TLS == nil || len(a.TLS.PeerCertificates) == 0:
		return nil, errors.New("no certificate")
	}
	return a.TLS.PeerCertificates[0], nil
}

// more waits for n more requests.
func (c *crowd) more(n int64) {
	c.t.Helper()
	from := c.asked.Load()
	harness.Eventually(c.t, 3*harness.Patience, fmt.Sprintf("%d more requests", n), func() bool { return c.asked.Load() >= from+n })
}

// good fails the test if a request has failed.
func (c *crowd) good(during string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.failures; len(f) > 0 {
		c.t.Errorf("%s: %d of %d requests failed, the first:\n%s", during, len(f), c.asked.Load(), strings.Join(f[:min(10, len(f))], "\n"))
	}
	c.failures = nil
}

// undisturbed fails the test if a kept connection had to be opened again.
func (c *crowd) undisturbed() {
	c.t.Helper()
	if n := c.dials.Load(); n > int64(c.keepers) {
		c.t.Errorf("%d visitors who keep their connections have opened %d", c.keepers, n)
	}
}

// met is how many certificates visitors have seen.
func (c *crowd) met() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

func (c *crowd) end() {
	c.stop()
	c.wg.Wait()
}
