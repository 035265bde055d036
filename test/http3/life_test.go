package http3

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// A stop lets running requests finish, and tells clients to make no more.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	busy, idle := s.client(), s.client()
	get(t, idle, "/")
	answered := make(chan string, 1)
	go func() {
		r, err := busy.Get(url("/wait"))
		if err != nil {
			answered <- err.Error()
			return
		}
		b, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(string(b), err)
	}()
	<-s.origin.began
	s.Signal(syscall.SIGTERM)
	harness.Eventually(t, harness.Patience, "the idle connection ends", func() bool { return status(t, s).Connections == 1 })
	fresh := s.clientTo(s.addr, &tls.Config{RootCAs: s.ca.roots, ServerName: host})
	fresh.Timeout = time.Second
	if r, err := fresh.Get(url("/")); err == nil {
		t.Errorf("a new connection was taken while skein stops: %d", r.StatusCode)
	}
	s.origin.release <- struct{}{}
	if got := <-answered; got != "waited<nil>" {
		t.Errorf("the running request got %q", got)
	}
	s.Stopped(harness.Patience)
}

// Requests that come while connections are being left are all answered: by this process until it has said which ones it takes
// no more.
func TestNoRequestIsLostWhenIdleEnds(t *testing.T) {
	t.Parallel()
	s := start(t, "  timeouts {\n    idle = \"50ms\"\n  }\n", "")
	c := s.client()
	for i := range harness.Count(20, 60, 300) {
		get(t, c, fmt.Sprintf("/%d", i))
		time.Sleep(time.Duration(40+i%20) * time.Millisecond) // around the end of the idle time, from both sides
	}
	if n := status(t, s).Accepted; n < 2 {
		t.Errorf("%v connections: none was idle for too long", n)
	}
}

// Nothing of a reload is noticed by those who are connected; what it changes holds from the next request on.
func TestReload(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	get(t, c, "/")
	var failed, done atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := c.Get(url("/bytes?n=50000"))
			if err == nil {
				_, err = io.Copy(io.Discard, r.Body)
			}
			if err != nil {
				failed.Add(1)
				t.Errorf("during reloads: %v", err)
				return
			}
			done.Add(1)
		}
	}()
	for i := range 5 {
		s.Reload(s.file(fmt.Sprintf("  response_headers {\n    set = { X-Config = \"%d\" }\n  }\n", i), ""))
		if r, _ := get(t, c, "/"); r.Header.Get("X-Config") != fmt.Sprint(i) {
			t.Errorf("after reload %d the answer has X-Config %q", i, r.Header.Get("X-Config"))
		}
	}
	close(stop)
	<-ended
	if n := status(t, s).Accepted; n != 1 || done.Load() == 0 {
		t.Errorf("%v connections, want 1; %d answers", n, done.Load())
	}
}

// HTTP/3 is taken away and given back by reloads, while a request runs over it.
func TestTakenAwayAndBack(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	answered := make(chan error, 1)
	go func() {
		r, err := c.Get(url("/wait"))
		if err == nil {
			_, err = io.ReadAll(r.Body)
		}
		answered <- err
	}()
	<-s.origin.began
	without := strings.Replace(s.file("", ""), `, "h3"`, "", 1)
	s.Reload(without)
	fresh := s.client()
	fresh.Timeout = time.Second
	if _, err := fresh.Get(url("/")); err == nil {
		t.Error("HTTP/3 is served although no block wants it")
	}
	s.Reload(s.file("", ""))
	again := s.client()
	get(t, again, "/") // the socket is the one that the running request still needs
	s.origin.release <- struct{}{}
	if err := <-answered; err != nil {
		t.Errorf("the request that ran all the time: %v", err)
	}
	s.Reload(without)
	harness.Eventually(t, harness.Patience, "the connections end", func() bool { return status(t, s).Connections == 0 })
	s.Reload(s.file("", ""))
	get(t, s.client(), "/")
}

// What is announced over TCP is there.
func TestAltSvc(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	_, port, _ := strings.Cut(s.addr, ":")
	tcp := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.ca.roots, ServerName: host}, ForceAttemptHTTP2: true}}
	defer tcp.CloseIdleConnections()
	r, err := tcp.Get("https://" + s.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if got, want := r.Header.Get("Alt-Svc"), `h3=":`+port+`"; ma=86400`; got != want || r.ProtoMajor != 2 {
		t.Errorf("%s says Alt-Svc %q, want %q", r.Proto, got, want)
	}
	// With any free port it is the same one for TCP and UDP, and it is told.
	s.Reload(strings.Replace(s.file("", ""), s.addr, "127.0.0.1:0", 1))
	bound := bound(t, s)
	if r, err = tcp.Get("https://" + bound + "/"); err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	_, port, _ = strings.Cut(bound, ":")
	if got, want := r.Header.Get("Alt-Svc"), `h3=":`+port+`"; ma=86400`; got != want {
		t.Errorf("Alt-Svc %q, want %q", got, want)
	}
	get(t, s.clientTo(bound, &tls.Config{RootCAs: s.ca.roots, ServerName: host}), "/")
}

// Clients show certificates, and are shown that of the name they ask for.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	s.certify("other", "other.test")
	write(t, s, "ca.pem", s.ca.pem)
	other := fmt.Sprintf("tls \"other\" {\n  cert = %q\n  key = %q\n}\nhttp \"other\" {\n  listen = %q\n  hosts = [\"other.test\"]\n  tls = tls.other\n  protocols = [\"http/1.1\", \"h2\", \"h3\"]\n  pool = pool.web\n  https {\n    client_ca = %q\n  }\n}\n",
		path(s, "other.pem"), path(s, "other.key"), s.addr, path(s, "ca.pem"))
	s.Reload(s.file(fmt.Sprintf("  https {\n    client_ca = %q\n  }\n", path(s, "ca.pem")), other))
	if _, err := s.client().Get(url("/")); err == nil {
		t.Error("a client without a certificate was let in")
	}
	cert, key := s.ca.issue(t, "visitor")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{host, "other.test"} {
		c := s.clientTo(s.addr, &tls.Config{RootCAs: s.ca.roots, ServerName: name, Certificates: []tls.Certificate{pair}})
		r, err := c.Get("https://" + name + "/who")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		if got := r.TLS.PeerCertificates[0].DNSNames[0]; got != name || !strings.Contains(string(b), "|https|:MII") {
			t.Errorf("%s was shown a certificate of %s; the origin had %.80s", name, got, b)
		}
	}
}
