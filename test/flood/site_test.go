// Package flood attacks the real program as those do who want others not to be served: floods of frames, streams, handshakes
// and connections over TLS, HTTP/2 and HTTP/3, and clients that do not read, do not finish or do not begin.
//
// Start at [site.withstand]: while an attack runs, an honest visitor on a connection of its own must be served in time, the
// program's memory must stay within a bound that the attack names, and the members must hear of few requests. Afterwards the
// attacker must have been cut off, the metrics must say so, and nothing may be left of it. What honest clients do that looks
// a little like an attack is in honest_test.go, and must not be cut.
package flood

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

const (
	host = "h" // in requests; the certificate is self-signed, and clients take any

	// most is how long a request of the honest visitor may take. It is generous, as attacker, visitor, skein and origin share a
	// machine which may be busy with other tests as well.
	most = 2 * time.Second

	// attackTime bounds attacks that nothing ends: it is what lets a test fail instead of hang.
	attackTime = 15 * time.Second
)

// site is skein before one origin, on an address that speaks all versions over TLS, and on one that speaks HTTP/2 in plain text.
type site struct {
	*harness.Skein
	t             testing.TB
	secure, plain string
	origin        *origin
}

// start starts it with short time-outs, so that what waits for them can be waited for; more goes among them.
func start(t testing.TB, more ...string) *site {
	t.Helper()
	s := &site{t: t, secure: harness.FreeAddr(t), plain: harness.FreeAddr(t), origin: &origin{}}
	addr := harness.NetHTTP(t, s.origin)
	limits := `
  timeouts {
    header = "2s"
    body   = "2s"
    tls    = "4s"
    idle   = "30s"
` + strings.Join(more, "\n") + `
  }
`
	s.Skein = harness.Start(t, fmt.Sprintf(`
pool "web" {
  servers = [%q]
  timeouts {
    keepalive = "500ms"
  }
}
http "secure" {
  listen    = %q
  tls       = "self-signed"
  protocols = ["http/1.1", "h2", "h3"]
  pool      = pool.web
%s}
http "plain" {
  listen    = %q
  protocols = ["h2c"]
  pool      = pool.web
%s}
`, addr, s.secure, limits, s.plain, limits))
	return s
}

// event is how often something happened, by the metric that operators see.
func (s *site) event(protocol, event string) int {
	s.t.Helper()
	return int(s.Metric("skein_http_protocol_events_total", fmt.Sprintf("protocol=%q", protocol), fmt.Sprintf("event=%q", event)))
}

// origin is a member that counts.
type origin struct {
	total         atomic.Int64
	now, together atomic.Int64 // requests at work, and the most of them at a time
}

// ServeHTTP implements [http.Handler].
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/visitor" {
		o.total.Add(1)
		n := o.now.Add(1)
		defer o.now.Add(-1)
		for old := o.together.Load(); n > old && !o.together.CompareAndSwap(old, n); old = o.together.Load() {
		}
	}
	switch r.URL.Path {
	case "/bytes":
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		_, _ = io.Copy(w, io.LimitReader(zeros{}, n))
	case "/hang":
		<-r.Context().Done()
	default:
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// visitor asks again and again on a connection of its own.
type visitor struct {
	client *http.Client
	url    string
	served int
	worst  time.Duration
	err    error // the first
}

// visitor2 comes over HTTP/2, visitor3 over HTTP/3.
func (s *site) visitor2() *visitor {
	tr := transport2()
	s.t.Cleanup(tr.CloseIdleConnections)
	return &visitor{client: &http.Client{Transport: tr, Timeout: harness.Patience}, url: "https://" + s.secure + "/visitor"}
}

// transport2 speaks HTTP/2 and nothing else.
func transport2() *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	return tr
}

func (s *site) visitor3() *visitor {
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, QUICConfig: &quic.Config{HandshakeIdleTimeout: harness.Patience}}
	s.t.Cleanup(func() { tr.Close() })
	return &visitor{client: &http.Client{Transport: tr, Timeout: harness.Patience}, url: "https://" + s.secure + "/visitor"}
}

// ask makes one request.
func (v *visitor) ask() {
	began := time.Now()
	resp, err := v.client.Get(v.url)
	if err == nil {
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		if _, e := io.Copy(io.Discard, resp.Body); err == nil {
			err = e
		}
		resp.Body.Close()
	}
	v.worst = max(v.worst, time.Since(began))
	if err != nil && v.err == nil {
		v.err = fmt.Errorf("request %d: %w", v.served+1, err)
	}
	v.served++
}

// visit asks until the context ends.
func (v *visitor) visit(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		v.ask()
		<-tick.C
	}
}

// bounds are what an attack may cost.
type bounds struct {
	memory   int64 // MiB by which skein may grow
	requests int64 // that reach the origin
	together int64 // of them at a time; 0 is the limit of streams
}

// withstand runs an attack while the visitor is served, and judges the cost.
func (s *site) withstand(t *testing.T, v *visitor, b bounds, attack func(t *testing.T)) {
	t.Helper()
	v.ask() // opens the connection: what is measured is the service
	v.worst, v.served = 0, 0
	before, memory := s.Usage(), s.Memory()
	s.origin.total.Store(0)
	s.origin.together.Store(0)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { v.visit(ctx) })
	peak := memory
	all.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			peak = max(peak, s.Memory())
			<-tick.C
		}
	})
	began := time.Now()
	attack(t)
	took := time.Since(began)
	<-time.After(100 * time.Millisecond) // even a short attack sees some requests beside it and behind it
	stop()
	all.Wait()
	if b.together == 0 {
		b.together = 128
	}
	grown := (peak - memory) >> 20
	t.Logf("%v; visitor: %d requests, the slowest %v; memory +%d MiB (%d); origin: %d requests, %d at a time", took.Round(time.Millisecond),
		v.served, v.worst.Round(time.Millisecond), grown, peak>>20, s.origin.total.Load(), s.origin.together.Load())
	if v.err != nil || v.served == 0 {
		t.Errorf("visitor: %d requests, %v", v.served, v.err)
	}
	if v.worst > most && !harness.Raced() {
		t.Errorf("a visitor waited %v, want at most %v", v.worst, most)
	}
	if grown > b.memory && !harness.Raced() {
		t.Errorf("memory grew by %d MiB, want at most %d", grown, b.memory)
	}
	if n := s.origin.total.Load(); n > b.requests {
		t.Errorf("the origin heard of %d requests, want at most %d", n, b.requests)
	}
	if n := s.origin.together.Load(); n > b.together {
		t.Errorf("the origin had %d requests at a time, want at most %d", n, b.together)
	}
	harness.Eventually(t, harness.Patience, "nothing works for the attacker", func() bool { return s.origin.now.Load() == 0 })
	s.settles(t, before)
}

// settles waits until nothing is left of an attack. Goroutines and connections to the origin that rest until they are wanted
// again are not the attacker's, but they come and go: a few more than before are no leak.
func (s *site) settles(t *testing.T, before harness.Usage) {
	t.Helper()
	const slack = 12
	var now harness.Usage
	if !harness.Soon(harness.Patience, func() bool {
		now = s.Usage()
		return now.Descriptors <= before.Descriptors+slack && now.Goroutines <= before.Goroutines+slack
	}) {
		t.Errorf("use is %+v, was %+v before", now, before)
	}
}
