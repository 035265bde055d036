package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	quichttp "github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/internal/listen"
	"skein/pool"
)

func addresses(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

const wildcard = "0.0.0.0:0"

// siteAnywhere listens on all addresses.
func siteAnywhere(addr, more string) string {
	return fmt.Sprintf("http \"site\" {\n listen = %q\n servers = [%q]\n%s\n}\n", wildcard, addr, more)
}

// dialBy connects to s by one of this machine's addresses.
func (s *service) dialBy(host string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr(wildcard))
	c, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

const get = "GET / HTTP/1.1\nHost: h\n\n"

// Who has come by an address that leaves is told so with the next answer, and by that only; the others notice nothing.
func TestLeavingAnswersAreTheLast(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, siteAnywhere(origin(t, always(hello)), ""))
		want := func(when string, c net.Conn, r *bufio.Reader, closes bool) {
			t.Helper()
			a, body, err := ask(t, c, r, "GET", get)
			if err != nil || body != "hello" || a.Close != closes {
				t.Fatalf("%s: answer %v, %q, %v; want hello, close %v", when, a, body, err, closes)
			}
			if closes {
				if _, err := r.ReadByte(); err != io.EOF {
					t.Errorf("%s: behind the last answer: %v, want EOF", when, err)
				}
			}
		}
		goes, rg := s.dialBy("127.0.0.2")
		stays, rs := s.dialBy("127.0.0.3")
		fresh, rf := s.dialBy("127.0.0.2") // it has not asked anything yet
		want("before", goes, rg, false)
		want("before", stays, rs, false)
		s.SetLeaving(addresses("192.0.2.1", "127.0.0.2"))
		want("another address", stays, rs, false)
		want("its next request", goes, rg, true)
		want("its first request", fresh, rf, true)
		late, rl := s.dialBy("127.0.0.2")
		want("one who comes now", late, rl, true)
		s.SetLeaving(nil)
		again, ra := s.dialBy("127.0.0.2")
		want("after it", again, ra, false)
		want("after it", again, ra, false)
	})
}

// Idle connections end when they are told to; what runs is finished first, and those who have just come may ask.
func TestCloseIdle(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		arrived, goOn := make(chan struct{}, 1), make(chan struct{})
		s := serveFile(t, plain, siteAnywhere(origin(t, func(c net.Conn, r *bufio.Reader) {
			for {
				line, _, err := head(r)
				if err != nil {
					return
				}
				if strings.Contains(line, "/slow") {
					arrived <- struct{}{}
					<-goOn
				}
				_, _ = io.WriteString(c, strings.ReplaceAll(hello, "\n", "\r\n"))
			}
		}), ""))
		idle, ri := s.dialBy("127.0.0.2")
		other, ro := s.dialBy("127.0.0.3")
		for range 2 {
			ask(t, idle, ri, "GET", get)
			ask(t, other, ro, "GET", get)
		}
		busy, rb := s.dialBy("127.0.0.2")
		fmt.Fprint(busy, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
		<-arrived
		fresh, rf := s.dialBy("127.0.0.2")
		s.CloseIdle(addresses("127.0.0.2"))
		if _, err := ri.ReadByte(); err != io.EOF {
			t.Errorf("an idle connection: %v, want EOF", err)
		}
		if a, body, err := ask(t, fresh, rf, "GET", get); err != nil || a.StatusCode != 200 || body != "hello" {
			t.Errorf("one who has just come: %v, %v", a, err)
		}
		if a, _, err := ask(t, other, ro, "GET", get); err != nil || a.Close {
			t.Errorf("one by another address: %v, %v", a, err)
		}
		close(goOn)
		a, err := http.ReadResponse(rb, nil)
		if err != nil || a.StatusCode != 200 {
			t.Fatalf("one that runs: %v, %v", a, err)
		}
		if body, err := io.ReadAll(a.Body); err != nil || string(body) != "hello" {
			t.Errorf("its body: %q, %v", body, err)
		}
		if _, err := rb.ReadByte(); err != io.EOF {
			t.Errorf("behind its answer: %v, want EOF", err)
		}
	})
}

// A WebSocket does not notice any of it.
func TestLeavingSparesWebSockets(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, siteAnywhere(origin(t, func(c net.Conn, r *bufio.Reader) {
			if _, _, err := head(r); err != nil {
				return
			}
			fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			_, _ = io.Copy(c, r)
		}), ""))
		c, r := s.dialBy("127.0.0.2")
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		if line, h, err := head(r); err != nil || !strings.Contains(line, "101") || h.Get("Connection") != "upgrade" {
			t.Fatalf("answer %q, %v, %v", line, h, err)
		}
		s.SetLeaving(addresses("127.0.0.2"))
		s.CloseIdle(addresses("127.0.0.2"))
		for range 3 {
			fmt.Fprint(c, "ping")
			b := make([]byte, 4)
			if _, err := io.ReadFull(r, b); err != nil || string(b) != "ping" {
				t.Fatalf("echo %q, %v", b, err)
			}
		}
	})
}

// HTTP/2 says GOAWAY twice (RFC 9113 section 6.8): what is on its way between the two is still answered.
func TestLeavingHTTP2(t *testing.T) {
	s := serveFile(t, false, siteAnywhere(origin(t, always(hello)), ` protocols = ["http/1.1", "h2c"]`))
	c, _ := s.dialBy("127.0.0.2")
	fmt.Fprint(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	_ = fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	ask := func(stream uint32) {
		t.Helper()
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "h"}, {":path", "/"}} {
			_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
	}
	var left []uint32 // last streams of GOAWAY
	next := func() http2.Frame {
		t.Helper()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					_ = fr.WriteSettingsAck()
				}
			case *http2.WindowUpdateFrame:
			case *http2.GoAwayFrame:
				if f.ErrCode != http2.ErrCodeNo {
					t.Errorf("GOAWAY with %v", f.ErrCode)
				}
				left = append(left, f.LastStreamID)
				return f
			default:
				return f
			}
		}
	}
	answered := func(stream uint32) {
		t.Helper()
		for {
			if f, ok := next().(*http2.DataFrame); ok && f.StreamID == stream && f.StreamEnded() {
				return
			}
		}
	}
	ask(1)
	answered(1)
	s.SetLeaving(addresses("127.0.0.2"))
	var ping [8]byte
	for ping == [8]byte{} {
		if f, ok := next().(*http2.PingFrame); ok {
			ping = f.Data
		}
	}
	ask(3) // it crosses the GOAWAY
	answered(3)
	_ = fr.WritePing(true, ping)
	for len(left) < 2 {
		next()
	}
	if left[0] != 1<<31-1 || left[1] != 3 {
		t.Errorf("last streams of GOAWAY = %d, want %d, 3", left, 1<<31-1)
	}
	if _, err := fr.ReadFrame(); err != io.EOF {
		t.Errorf("behind the GOAWAY: %v, want EOF", err)
	}

	// One that comes now gets its answer before it is told.
	p := &http.Protocols{}
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	defer tr.CloseIdleConnections()
	_, port, _ := net.SplitHostPort(s.addr(wildcard))
	for range 5 {
		a, err := (&http.Client{Transport: tr}).Get("http://127.0.0.2:" + port)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(a.Body); err != nil || string(body) != "hello" {
			t.Errorf("answer %q, %v", body, err)
		}
		a.Body.Close()
	}
}

// testCertificate is one that nobody trusts.
func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"h"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS is serveFile whose listeners of TLS speak what config says.
func serveTLS(t testing.TB, front *tls.Config, hcl string) *service {
	t.Helper()
	s := &service{t: t, set: pool.NewSet(), ended: make(chan struct{})}
	s.Web = New(slog.New(slog.NewTextHandler(&s.log, nil)), Options{
		Sockets: listen.NewSet(), Health: &s.reports, Stdout: io.Discard, TLS: func(string) *tls.Config { return front },
	})
	if err := s.reload(hcl); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.ended)
		_ = s.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-s.ended })
	return s
}

// HTTP/3 says GOAWAY, too, to those who have come by the address, and to nobody else.
func TestLeavingHTTP3(t *testing.T) {
	front := &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}, NextProtos: []string{"h2", "http/1.1"}}
	s := serveTLS(t, front, siteAnywhere(origin(t, always(hello)), ` hosts = ["h"]
 protocols = ["http/1.1", "h2", "h3"]
 tls = "self-signed"`))
	_, port, _ := net.SplitHostPort(s.addr(wildcard))
	client := func(host string) func() {
		tr := &quichttp.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "h"}}
		t.Cleanup(func() { tr.Close() })
		return func() {
			t.Helper()
			r, _ := http.NewRequest(http.MethodGet, "https://"+net.JoinHostPort(host, port), nil)
			r.Host = "h"
			a, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			if body, err := io.ReadAll(a.Body); err != nil || string(body) != "hello" {
				t.Errorf("answer by %s: %d %q, %v", host, a.StatusCode, body, err)
			}
		}
	}
	goes, stays := client("127.0.0.2"), client("127.0.0.3")
	goes()
	stays()
	if n := s.stats.QUICConnections.Load(); n != 2 {
		t.Fatalf("%d connections, want 2", n)
	}
	s.SetLeaving(addresses("127.0.0.2"))
	for s.stats.QUICConnections.Load() != 1 {
		pause()
	}
	stays()
	if n := s.stats.QUICConnections.Load(); n != 1 {
		t.Errorf("%d connections, want the other one alone", n)
	}
	goes() // on a new one
	for s.stats.QUICConnections.Load() != 1 {
		pause()
	}
}

// A node that nothing leaves pays for none of this.
func BenchmarkParting(b *testing.B) {
	w := &Web{}
	b.ReportAllocs()
	for b.Loop() {
		if w.parting(nil) {
			b.Fatal("nothing leaves")
		}
	}
}
