package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/config"
	"skein/test/harness"
	"skein/test/pebble"
)

const patience = 3 * time.Minute // an order that fails is tried again after about one

// visited is a Store behind real listeners, for validations of a real CA and for visitors.
type visited struct {
	*Store
	book          *logBook
	skew          atomic.Int64 // of its clock, in nanoseconds
	tls, http     net.Listener
	answeredHTTP  atomic.Int64
	answersFor    atomic.Pointer[Store] // who answers, when it is another node
	handshakeErrs atomic.Int64
}

// ports opens the listeners: Pebble must know them when it starts.
func ports(t *testing.T) (tlsListener, httpListener net.Listener) {
	t.Helper()
	for _, l := range []*net.Listener{&tlsListener, &httpListener} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*l).Close() })
	}
	return tlsListener, httpListener
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// startCA runs a Pebble that validates at new listeners.
func startCA(t *testing.T, o pebble.Options) (*pebble.Pebble, net.Listener, net.Listener) {
	t.Helper()
	a, b := ports(t)
	o.TLSPort, o.HTTPPort = port(a), port(b)
	return pebble.Start(t, o), a, b
}

// visit makes a Store that waits for nothing longer than a test can, with its listeners.
func visit(t *testing.T, tlsListener, httpListener net.Listener, o Options) *visited {
	t.Helper()
	v := &visited{book: &logBook{}, tls: tlsListener, http: httpListener}
	o.Now = func() time.Time { return time.Now().Add(time.Duration(v.skew.Load())) }
	v.Store = New(v.book.logger(slog.LevelDebug), o)
	v.retry = retry{
		away:    []time.Duration{200 * time.Millisecond, 500 * time.Millisecond},
		refused: []time.Duration{500 * time.Millisecond, time.Second},
		limited: time.Second,
	}
	v.answersFor.Store(v.Store)
	if tlsListener != nil {
		go v.serveTLS()
		server := &http.Server{Handler: http.HandlerFunc(v.serveHTTP)}
		go server.Serve(httpListener)
		t.Cleanup(func() { server.Close() })
	}
	return v
}

func (v *visited) serveTLS() {
	for {
		c, err := v.tls.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			front := v.answersFor.Load().Front(":443")
			if front == nil {
				return
			}
			s := tls.Server(c, front)
			if s.Handshake() != nil {
				v.handshakeErrs.Add(1)
				return
			}
			s.Write([]byte("hello"))
			s.Close()
		}()
	}
}

func (v *visited) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := v.answersFor.Load().Challenge(r.Host, r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	v.answeredHTTP.Add(1)
	w.Write(body)
}

// run runs the Store until the test ends or the returned function is called.
func (v *visited) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

// get is a visitor's handshake over the network.
func (v *visited) get(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	client := &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 40 * time.Second}, "tcp", v.tls.Addr().String(), client)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// await waits until visitors of name get a good certificate other than old.
func (v *visited) await(t *testing.T, name string, roots *x509.CertPool, old *x509.Certificate) *x509.Certificate {
	t.Helper()
	var got *x509.Certificate
	var err error
	if !harness.Soon(patience, func() bool {
		got, err = v.get(name, roots)
		return err == nil && !got.Equal(old)
	}) {
		t.Fatalf("no new certificate for %s: %v\nstatus %+v\nlog:\n%s", name, err, v.Status(), v.book)
	}
	return got
}

// hurry makes the keeper look at a certificate now.
func (v *visited) hurry(name string) {
	m := v.names[name]
	m.mu.Lock()
	m.due, m.infoDue = time.Time{}, time.Time{}
	m.mu.Unlock()
	v.wake()
}

// acmeConfig is a site whose certificates come from p.
func acmeConfig(t *testing.T, p *pebble.Pebble, challenge string, hosts ...string) *config.Config {
	c := sites(site(&config.Front{ACME: true}, hosts...))
	c.ACME = &config.ACME{
		Email: "admin@site.test", Directory: p.Directory, CA: p.RootPEM,
		Challenges: []string{challenge}, Key: "p256", Storage: filepath.Join(t.TempDir(), "storage"),
	}
	return c
}

// hookFor writes a command that publishes records at p's DNS server.
func hookFor(t *testing.T, p *pebble.Pebble) []string {
	t.Helper()
	harness.Need(t, "curl", "curl")
	path := filepath.Join(t.TempDir(), "hook")
	script := `#!/bin/sh
set -e
url=$1 verb=$2 name=$3 value=$4
case $verb in
present) curl -fsS -d "{\"host\":\"$name.\",\"value\":\"$value\"}" "$url/set-txt" ;;
cleanup) curl -fsS -d "{\"host\":\"$name.\"}" "$url/clear-txt" ;;
*) echo "unknown: $verb" >&2; exit 1 ;;
esac
`
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path, p.Management}
}
