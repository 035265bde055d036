//go:build linux

package listen

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

func openPacket(t testing.TB, s *Set, address string) *Packet {
	t.Helper()
	p, err := s.OpenPacket(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// certificate is one that nobody knows.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// echo answers each stream with name and what was sent. It ends with the returned function.
func echo(t testing.TB, p *Packet, name string) (stop func()) {
	t.Helper()
	tr := &quic.Transport{Conn: p.Conn(), ConnectionIDGenerator: p}
	l, err := tr.Listen(&tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go func() {
						defer s.Close()
						_, _ = io.WriteString(s, name+" ")
						_, _ = io.Copy(s, s)
					}()
				}
			}()
		}
	}()
	return func() { _ = l.Close(); _ = tr.Close() }
}

// dial opens a QUIC connection.
func dial(t testing.TB, address string) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c
}

// ask sends text on a stream of its own and returns the answer.
func ask(t testing.TB, c *quic.Conn, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		_, _ = io.WriteString(s, text)
		_ = s.Close()
	}()
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPacketsAreShared(t *testing.T) {
	s := NewSet()
	p := openPacket(t, s, "127.0.0.1:0")
	if q := openPacket(t, s, "127.0.0.1:0"); q != p {
		t.Fatal("the same address opened twice is two sockets")
	}
	p.Release()
	stop := echo(t, p, "a")
	c := dial(t, p.Addr().String())
	text := strings.Repeat("0123456789abcdef", 1<<14)
	if got := ask(t, c, text); got != "a "+text {
		t.Errorf("answer of %d bytes, want %d", len(got), len(text)+2)
	}
	stop()
	address := p.Addr().String()
	p.Release()
	again, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatalf("still open: %v", err)
	}
	again.Close()
	if len(s.packets) != 0 {
		t.Errorf("still known: %v", s.packets)
	}
}

// A transport is closed by its deadline, and another may use the socket after it.
func TestTransportsFollowEachOther(t *testing.T) {
	p := openPacket(t, NewSet(), "127.0.0.1:0")
	defer p.Release()
	for _, name := range []string{"a", "b"} {
		stop := echo(t, p, name)
		if got := ask(t, dial(t, p.Addr().String()), "x"); got != name+" x" {
			t.Errorf("answer = %q of %s", got, name)
		}
		stop()
	}
}
