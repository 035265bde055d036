package upgrade

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	bigint "math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"skein/internal/listen"
	"skein/test/harness"
)

// heirVariable makes this test binary an heir that echoes over QUIC; its value is the address.
const heirVariable = "SKEIN_TEST_QUIC_HEIR"

// certificate is one that nobody knows.
func certificate() (c tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{SerialNumber: bigint.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"site.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// echo answers each stream with name and what was sent.
func echo(p *listen.Packet, name string) (stop func(), err error) {
	cert, err := certificate()
	if err != nil {
		return nil, err
	}
	tr := &quic.Transport{Conn: p.Conn(), ConnectionIDGenerator: p}
	l, err := tr.Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		return nil, err
	}
	serve := func(s *quic.Stream) {
		defer s.Close()
		_, _ = io.WriteString(s, name+" ")
		_, _ = io.Copy(s, s)
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
					go serve(s)
				}
			}()
		}
	}()
	return func() { _ = l.Close(); _ = tr.Close(); p.Release() }, nil
}

// TestHeirProcess is no test: it is the other process of TestQUICInTwoProcesses, and lives until its standard input ends.
func TestHeirProcess(t *testing.T) {
	address := os.Getenv(heirVariable)
	if address == "" {
		t.Skip("it is started by another test")
	}
	s, elder, err := listen.Inherit(3)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.OpenPacket(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := echo(p, "heir")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := elder.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := elder.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.Begin()
	fmt.Println("begun")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Two processes have one UDP socket: connections of before go on with the old one, through the new one, and new ones reach the
// new one. When the new one dies the old one's connections live.
func TestQUICInTwoProcesses(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:0"
	set := listen.NewSet()
	p, err := set.OpenPacket(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	to := p.Addr().String()
	stop, err := echo(p, "elder")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	dial := func() *quic.Conn {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
		defer cancel()
		c, err := quic.DialAddr(ctx, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"echo"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseWithError(0, "") })
		return c
	}
	ask := func(c *quic.Conn, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
		defer cancel()
		s, err := c.OpenStreamSync(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SetDeadline(time.Now().Add(harness.Patience))
		text := strings.Repeat("0123456789", 50000)
		go func() {
			_, _ = io.WriteString(s, text)
			_ = s.Close()
		}()
		b, err := io.ReadAll(s)
		if err != nil || string(b) != want+" "+text {
			t.Fatalf("answer = %.20q of %d bytes, %v, want %d of %s", b, len(b), err, len(want)+1+len(text), want)
		}
	}
	var old []*quic.Conn
	for range 5 {
		old = append(old, dial())
	}
	ask(old[0], "elder")

	ours, theirs, err := listen.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	file := os.NewFile(uintptr(theirs), "heir")
	heir := exec.Command(os.Args[0], "-test.run=^TestHeirProcess$")
	heir.Env = append(os.Environ(), heirVariable+"="+address)
	heir.ExtraFiles = []*os.File{file}
	stdin, err1 := heir.StdinPipe()
	stdout, err2 := heir.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := heir.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	defer func() {
		_ = heir.Process.Kill()
		_ = heir.Wait()
	}()
	h, err := set.Offer(ours, time.Now().Add(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Ready(); err != nil {
		t.Fatal(err)
	}
	ask(old[1], "elder")
	h.ClosePlain(time.Second)
	h.LetGo()
	if err := h.Go(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		ask(dial(), "heir")
		for _, c := range old {
			ask(c, "elder")
		}
	}
	_ = stdin.Close() // the new one ends
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Fatal(err)
	}
	for _, c := range old {
		ask(c, "elder")
	}
}
