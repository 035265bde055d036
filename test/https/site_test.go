// Package https tests skein's TLS towards clients with the real binary: certificates that change under load, names, client
// certificates, sessions, and clients that break off, stall or talk garbage.
package https

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// host is the name that sites are asked for.
const host = "site.test"

// site is one skein with one https listener before one origin.
type site struct {
	*harness.Skein

	t    testing.TB
	addr string
	ca   *ca
}

// start starts a site with a certificate of a CA of its own. block goes into its http block, after into the file.
func start(t testing.TB, origin, block, after string, opts ...harness.Option) *site {
	t.Helper()
	s := &site{t: t, addr: harness.FreeAddr(t), ca: newCA(t, "test CA")}
	s.Skein = harness.Start(t, s.ca.server(host).block("site")+block1(s.addr, origin, block)+after+quiet, opts...)
	return s
}

// quiet is no access log.
const quiet = "log {\n  access = \"off\"\n}\n"

func tlsBlock(name, dir string) string {
	return fmt.Sprintf("tls %q {\n  cert = %q\n  key  = %q\n}\n", name, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
}

// block1 is an http block with the certificate tls.site.
func block1(addr, origin, more string) string {
	return fmt.Sprintf("http \"site\" {\n  listen  = %q\n  tls     = tls.site\n  servers = [%q]\n%s\n}\n", addr, origin, more)
}

// client is what a visitor of the site speaks TLS with.
func (s *site) client() *tls.Config { return &tls.Config{RootCAs: s.ca.pool(), ServerName: host} }

// visitor is a client that says over TLS exactly what the test says.
type visitor struct {
	*tls.Conn

	t   testing.TB
	tcp *net.TCPConn
	r   *bufio.Reader
}

// dial connects and shakes hands.
func dial(t testing.TB, addr string, config *tls.Config) *visitor {
	t.Helper()
	v, err := tryDial(addr, config)
	if err != nil {
		t.Fatalf("connect to %s: %v", addr, err)
	}
	v.t = t
	t.Cleanup(func() { v.tcp.Close() })
	return v
}

// tryDial is dial for handshakes that may fail; it can be called from any goroutine, and its caller closes.
func tryDial(addr string, config *tls.Config) (*visitor, error) {
	c, err := net.DialTimeout("tcp", addr, harness.Patience)
	if err != nil {
		return nil, err
	}
	return shake(c.(*net.TCPConn), config)
}

func shake(c *net.TCPConn, config *tls.Config) (*visitor, error) {
	v := &visitor{Conn: tls.Client(c, config), tcp: c}
	v.SetDeadline(time.Now().Add(harness.Patience))
	if err := v.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	v.r = bufio.NewReader(v.Conn)
	return v, nil
}

// send writes bytes.
func (v *visitor) send(s string) {
	v.t.Helper()
	v.SetDeadline(time.Now().Add(harness.Patience))
	if _, err := io.WriteString(v.Conn, s); err != nil {
		v.t.Fatalf("send: %v", err)
	}
}

// answer is what came back of one request.
type answer struct {
	*http.Response

	body string
	err  error // the body broke off
}

// try reads one answer.
func (v *visitor) try(method string) (*answer, error) {
	v.SetDeadline(time.Now().Add(harness.Patience))
	r, err := http.ReadResponse(v.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return &answer{Response: r}, nil
	}
	b, err := io.ReadAll(r.Body)
	return &answer{r, string(b), err}, nil
}

// answer reads one that has to come.
func (v *visitor) answer(method string) *answer {
	v.t.Helper()
	a, err := v.try(method)
	if err != nil {
		v.t.Fatalf("answer to %s: %v", method, err)
	}
	return a
}

// get asks for a target with more fields, each as "Name: value".
func (v *visitor) get(target string, fields ...string) *answer {
	v.t.Helper()
	v.send(get(host, target, fields...))
	return v.answer("GET")
}

func get(host, target string, fields ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// closed fails the test unless the connection ends, by a close_notify and without another byte.
func (v *visitor) closed() {
	v.t.Helper()
	v.SetDeadline(time.Now().Add(harness.Patience))
	if b, err := io.ReadAll(v.r); err != nil || len(b) > 0 {
		v.t.Fatalf("received %q, %v; want an orderly end", b, err)
	}
}

// ask sends one request over a connection of its own. It can be called from any goroutine.
func ask(addr string, config *tls.Config, host, target string, fields ...string) (*answer, tls.ConnectionState, error) {
	v, err := tryDial(addr, config)
	if err != nil {
		return nil, tls.ConnectionState{}, err
	}
	defer v.Close()
	if _, err := io.WriteString(v.Conn, get(host, target, fields...)); err != nil {
		return nil, v.ConnectionState(), err
	}
	a, err := v.try("GET")
	if err == nil {
		err = a.err
	}
	return a, v.ConnectionState(), err
}

// fine fails the test unless another visitor is served at once.
func (s *site) fine() {
	s.t.Helper()
	began := time.Now()
	if a, _, err := ask(s.addr, s.client(), host, "/"); err != nil || a.StatusCode != 200 || a.body != "hello" {
		s.t.Errorf("another visitor got %+v, %v", a, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		s.t.Errorf("another visitor waited %v", took)
	}
}

// hello is an origin of small answers, and of large ones: /bytes?n=1000, with chunked=1 in chunks. It reads all it is sent, and
// says how much that was.
func hello(t testing.TB) string {
	t.Helper()
	return harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		switch {
		case got > 0:
			fmt.Fprint(w, got)
			return
		case err != nil:
			io.WriteString(w, "hello")
			return
		case r.FormValue("chunked") == "":
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		b := make([]byte, 64<<10)
		for n > 0 {
			k, err := w.Write(b[:min(n, int64(len(b)))])
			n -= int64(k)
			if err != nil {
				return
			}
		}
	}))
}

// gone reports whether an error is the other side's end of the connection, in whichever form it shows.
func gone(err error) bool {
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

func split(t testing.TB, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// secrets gives skein what secret("name") finds, as systemd does.
func secrets(t testing.TB, values map[string]string) harness.Option {
	t.Helper()
	dir := t.TempDir()
	for name, value := range values {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return harness.Env("CREDENTIALS_DIRECTORY=" + dir)
}
