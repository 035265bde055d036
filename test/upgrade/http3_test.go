package upgrade

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

// HTTP/3 goes through upgrades as HTTP/1.1 does: transfers of before are finished by the old process, whose packets come
// through the new one, and new connections reach the new one at once.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	cert, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for kind, b := range map[string][]byte{"CERTIFICATE": cert.Certificate[0], "PRIVATE KEY": key} {
		file := filepath.Join(dir, strings.Fields(kind)[0])
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certFile, keyFile := filepath.Join(dir, "CERTIFICATE"), filepath.Join(dir, "PRIVATE")
	addr := harness.FreeAddr(t)
	c := start(t, "30s", quiet+fmt.Sprintf(`
tls "main" {
  cert = %q
  key  = %q
}
http "tls" {
  listen    = %q
  tls       = tls.main
  protocols = ["http/1.1", "h2", "h3"]
  pool      = pool.big
}
`, certFile, keyFile, addr))
	client := func() *http.Client {
		tr := &http3.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "site.example"},
			QUICConfig:      &quic.Config{HandshakeIdleTimeout: harness.Patience},
			Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
				return quic.DialAddr(ctx, addr, tc, qc)
			},
		}
		t.Cleanup(func() { _ = tr.Close() })
		return &http.Client{Transport: tr, Timeout: harness.Patience}
	}
	var cut atomic.Int64
	transfer := func(begun chan<- struct{}) error {
		resp, err := client().Get("https://site.example/big")
		begun <- struct{}{}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		var end *http3.Error
		if errors.As(err, &end) && end.ErrorCode == http3.ErrCodeNoError {
			// Package web/http3 closes a connection that has answered all a few round trips after the last byte was written. On a
			// busy machine some of it may not have been sent by then: a stop of any kind does that, not the upgrade. Counted apart.
			cut.Add(1)
			return nil
		}
		if wrong := whole(string(b)); err != nil || resp.StatusCode != 200 || wrong != "" {
			return fmt.Errorf("status %d, %w, %s", resp.StatusCode, err, wrong)
		}
		return nil
	}
	const upgrades, each = 5, 3
	begun, ended := make(chan struct{}, upgrades*each), make(chan error, upgrades*each)
	for range upgrades {
		for range each {
			go func() { ended <- transfer(begun) }()
		}
		for range each {
			<-begun
		}
		c.upgrade()
	}
	late := time.After(3 * harness.Patience)
	for range upgrades * each {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-late:
			t.Fatal("transfers do not end")
		}
	}
	c.ended()
	if n := cut.Load(); n > 0 {
		t.Logf("%d of %d transfers lost their end to that of their connection", n, upgrades*each)
	}
	if n := cut.Load(); n > upgrades*each/2 {
		t.Errorf("%d of %d transfers lost their end", n, upgrades*each)
	}
}
