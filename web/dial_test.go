package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"skein/internal/sock"
)

// An idle connection on which only TLS has spoken may be used again; one on which the member has may not.
func TestUsable(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	for _, v := range []struct {
		name  string
		read  bool // something was read before, and more came along with it
		does  func(*tls.Conn)
		quiet bool // nothing has come behind what was read
		want  bool
	}{
		{"a ticket", false, func(*tls.Conn) {}, false, true},
		{"nothing", true, func(c *tls.Conn) { _, _ = c.Write([]byte("a")) }, true, true},
		{"data behind the answer", true, func(c *tls.Conn) { _, _ = c.Write([]byte("a")); _, _ = c.Write([]byte("b")) }, false, false},
		{"close_notify behind the answer", true, func(c *tls.Conn) { _, _ = c.Write([]byte("a")); _ = c.CloseWrite() }, false, false},
		{"data", false, func(c *tls.Conn) { _, _ = c.Write([]byte("a")) }, false, false},
		{"close_notify", false, func(c *tls.Conn) { _ = c.CloseWrite() }, false, false},
		{"the end", false, func(c *tls.Conn) { c.NetConn().Close() }, false, false},
	} {
		t.Run(v.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			done := make(chan *tls.Conn)
			go func() {
				nc, err := l.Accept()
				if err != nil {
					t.Error(err)
				}
				s := tls.Server(nc, config)
				if err := s.Handshake(); err != nil {
					t.Error(err)
				}
				v.does(s)
				done <- s
			}()
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			tc := tls.Client(&records{Conn: nc}, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
			if err := tc.Handshake(); err != nil {
				t.Fatal(err)
			}
			u := &upstream{sock: sock.NewTimer().Wrap(tc, nil), secure: tc}
			defer u.close()
			defer func() { (<-done).Close() }()
			server := <-done // all that it says is on its way, and on the loopback it has arrived
			go func() { done <- server }()
			if v.read {
				if _, err := io.ReadFull(tc, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if got := u.sock.Quiet() && !tc.NetConn().(*records).pending(); got != v.quiet {
				t.Fatalf("nothing has come: %v, want %v", got, v.quiet)
			}
			if got := u.usable(); got != v.want {
				t.Errorf("usable = %v, want %v", got, v.want)
			}
		})
	}
}
