package https

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// A stop ends idle connections at once, by a close_notify; what runs is finished first, and so is a handshake that has begun
// and its request.
func TestStop(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	origin := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		io.WriteString(w, "hello")
	}))
	s := start(t, origin, "", "")
	idle, fresh, busy := dial(t, s.addr, s.client()), dial(t, s.addr, s.client()), dial(t, s.addr, s.client())
	idle.get("/")
	busy.send(get(host, "/slow"))
	harness.Eventually(t, harness.Patience, "the request runs", func() bool { return s.Metric("skein_http_active") == 1 })
	// This one stops in the middle of its handshake, and goes on after the signal.
	half := harness.Raw(t, s.addr)
	held := &holding{Conn: half.TCPConn, goOn: make(chan struct{}), held: make(chan struct{})}
	config := s.client()
	late := tls.Client(held, config)
	answered := make(chan error, 1)
	go func() {
		_, err := io.WriteString(late, get(host, "/"))
		if err == nil {
			b := make([]byte, 100)
			var n int
			if n, err = late.Read(b); err == nil && !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200 ") {
				err = fmt.Errorf("answer = %q", b[:n])
			}
		}
		answered <- err
	}()
	<-held.held
	half.Taken()
	silent := harness.Raw(t, s.addr)
	harness.Eventually(t, harness.Patience, "all are connected", func() bool { return s.Metric("skein_http_connections") == 5 })
	s.Signal(syscall.SIGTERM)
	idle.closed()
	fresh.closed()
	silent.Closed()
	close(held.goOn)
	if err := <-answered; err != nil {
		t.Errorf("a request whose handshake had begun before the stop: %v", err)
	}
	close(release)
	if a := busy.answer("GET"); a.StatusCode != 200 || a.body != "hello" || !a.Close {
		t.Errorf("the running request: %d %q, close %v", a.StatusCode, a.body, a.Close)
	}
	busy.closed()
	s.Stopped(10 * time.Second)
}

// holding is a connection whose second flight waits.
type holding struct {
	net.Conn
	writes atomic.Int64
	held   chan struct{} // closed when the first one is out
	goOn   chan struct{}
}

func (h *holding) Write(b []byte) (int, error) {
	switch h.writes.Add(1) {
	case 1:
		defer close(h.held)
	case 2:
		<-h.goOn
	}
	return h.Conn.Write(b)
}

// A listener that is turned from plain text to TLS and back under load serves each in its time; nobody gets half an answer, and
// connections of the time before end with their request.
func TestListenerChangesSides(t *testing.T) {
	t.Parallel()
	addr, origin, c := harness.FreeAddr(t), hello(t), newCA(t, "test CA")
	cert := c.server(host).block("site")
	secure := cert + block1(addr, origin, "") + quiet
	plain := strings.Replace(secure, "  tls     = tls.site\n", "", 1)
	s := harness.Start(t, plain)
	config := &tls.Config{RootCAs: c.pool(), ServerName: host}
	for range harness.Count(2, 6, 30) {
		calm := harness.Raw(t, addr)
		if a := calm.Get("/"); a.Status != 200 {
			t.Fatalf("plain: %d", a.Status)
		}
		load := harness.Visit(t, addr, 4, nil, "GET /", "POST /")
		load.More(20)
		load.End()
		load.Good("plain text")
		busy := harness.Raw(t, addr)
		busy.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")
		busy.Taken()
		harness.Eventually(t, harness.Patience, "the upload runs", func() bool { return s.Metric("skein_http_active") == 1 })
		s.Reload(secure)
		calm.Closed()
		busy.Send("67890")
		if a := busy.Answer("POST"); a.Status != 200 || a.Body != "10" || !a.Close {
			t.Errorf("an upload of before: %+v", a)
		}
		busy.Closed()
		crowd := visit(t, addr, host, config, 4, false)
		crowd.more(20)
		crowd.end()
		crowd.good("TLS")
		v := dial(t, addr, config)
		v.get("/")
		s.Reload(plain)
		v.closed()
	}
	harness.Fetch(t, addr, "/")
	s.Stop()
}

// Who has come in without a certificate does not stay where one is asked for from now on; what does not change the terms
// disturbs nobody.
func TestTermsChange(t *testing.T) {
	t.Parallel()
	addr, origin, c, clients := harness.FreeAddr(t), hello(t), newCA(t, "test CA"), newCA(t, "clients' CA")
	cert := c.server(host).block("site")
	file := func(more string) string { return cert + block1(addr, origin, more) + quiet }
	s := harness.Start(t, file(""))
	if _, _, err := ask(addr, &tls.Config{RootCAs: c.pool(), ServerName: host}, host, "/"); err != nil {
		t.Fatal(err)
	}
	before := s.Usage()
	for _, protocol := range []string{"http/1.1", "h2"} {
		config := &tls.Config{RootCAs: c.pool(), ServerName: host, NextProtos: []string{protocol}}
		var dials atomic.Int64
		tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "h2", MaxIdleConnsPerHost: 1}
		tr.DialContext = counted(addr, &dials)
		if _, err := askBy(tr, host); err != nil {
			t.Fatal(err)
		}
		s.Reload(file("timeouts {\n tunnel = \"10m\"\n}"))
		if _, err := askBy(tr, host); err != nil || dials.Load() != 1 {
			t.Errorf("%s: after a reload that changes no terms: %v, %d connections", protocol, err, dials.Load())
		}
		s.Reload(file(fmt.Sprintf("https {\n client_ca = %q\n}", clients.file())))
		// A request that came along with the reload may still be served.
		if !harness.Soon(harness.Patience, func() bool { _, err := askBy(tr, host); return err != nil }) {
			t.Errorf("%s: a client without a certificate is served", protocol)
		}
		if n := dials.Load(); n != 2 {
			t.Errorf("%s: %d connections, want one before and one after", protocol, n)
		}
		tr.CloseIdleConnections()
		s.Reload(file(""))
	}
	s.Settles(before)
	s.Stop()
}
