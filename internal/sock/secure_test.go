//go:build linux

package sock

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"testing"
	"time"
)

func serverConfig(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"sock"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// held keeps what TLS writes until it is told how to send it.
type held struct {
	*net.TCPConn
	hold bool
	out  []byte
}

func (h *held) Write(p []byte) (int, error) {
	if !h.hold {
		return h.TCPConn.Write(p)
	}
	h.out = append(h.out, p...)
	return len(p), nil
}

// pieces are ways to cut what is sent.
var pieces = map[string]func(left int) int{
	"all at once":    func(left int) int { return left },
	"byte by byte":   func(int) int { return 1 },
	"a head and one": func(int) int { return 6 },
	"anyhow":         func(left int) int { return min(left, 1+mathrand.IntN(1500)) },
}

// However records are cut and glued on their way, a loop that parks by the rules sees all of them.
func TestLoopOverTLS(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, ours *Conn, theirs *net.TCPConn) {
		client := &held{TCPConn: theirs}
		peer := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		served := make(chan error, 1)
		go func() { served <- echo(t, ours) }()
		if err := peer.Handshake(); err != nil {
			t.Fatal(err)
		}
		for name, cut := range pieces {
			client.hold, client.out = true, nil
			var want []byte
			for i := range 20 {
				record := bytes.Repeat([]byte{byte('a' + i)}, 1+i*i)
				want = append(want, record...)
				if _, err := peer.Write(record); err != nil {
					t.Fatal(err)
				}
			}
			client.hold = false
			for out := client.out; len(out) > 0; {
				n := min(cut(len(out)), len(out))
				if _, err := theirs.Write(out[:n]); err != nil {
					t.Fatal(err)
				}
				out = out[n:]
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: echo of %d bytes = %v, equal %v", name, len(want), err, bytes.Equal(got, want))
			}
		}
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != io.EOF {
			t.Errorf("the loop ended with %v, want EOF", err)
		}
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
	})
}

// echo sends back what comes until the end.
func echo(t *testing.T, c *Conn) (end error) {
	s, err := c.Secure(serverConfig(t))
	if err != nil {
		return err
	}
	if err := s.Handshake(); err != nil {
		return err
	}
	buf := make([]byte, 64)
	err = c.Loop(func() bool {
		for {
			n, err := c.Recv(buf)
			if err == ErrAgain {
				return false
			}
			if err == nil {
				_, err = c.Write(buf[:n])
			}
			if err != nil {
				end = err
				return true
			}
			if n < len(buf) && c.Drained() {
				return false
			}
		}
	})
	if err != nil {
		return err
	}
	return end
}

// Abort wakes a loop over TLS, and a nudge passes without harm in the middle of a record.
func TestNudgeOverTLS(t *testing.T) {
	each(t, func(t *testing.T, _ *Timer, ours *Conn, theirs *net.TCPConn) {
		client := &held{TCPConn: theirs}
		peer := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		ready, served := make(chan struct{}), make(chan error, 1)
		go func() {
			s, err := ours.Secure(serverConfig(t))
			if err == nil {
				err = s.Handshake()
			}
			close(ready)
			if err != nil {
				served <- err
				return
			}
			buf := make([]byte, 16)
			for {
				n, err := ours.Read(buf)
				if isNudge(err) && ours.Calm() {
					continue
				}
				if err != nil {
					served <- err
					return
				}
				if _, err := ours.Write(buf[:n]); err != nil {
					served <- err
					return
				}
			}
		}()
		if err := peer.Handshake(); err != nil {
			t.Fatal(err)
		}
		<-ready
		client.hold = true
		_, _ = peer.Write([]byte("whole"))
		client.hold = false
		for i, b := range client.out {
			if _, err := theirs.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				ours.Nudge()
			}
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "whole" {
			t.Fatalf("echo = %q, %v", got, err)
		}
		ours.Abort()
		if err := <-served; !isNudge(err) {
			t.Errorf("after Abort: %v", err)
		}
		_ = ours.Close()
	})
}

func isNudge(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
