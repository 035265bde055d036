package php

import (
	"crypto/sha1"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/test/harness"
)

// Files and scripts over TLS, by HTTP/1.1 and HTTP/2: there the kernel must not send a file by itself, past the encryption.
func TestOverTLS(t *testing.T) {
	networks(t, func(t *testing.T, network string, opts ...harness.Option) {
		root := filepath.Join(laravel(t), "current/public")
		f, err := os.Create(filepath.Join(root, "large.bin"))
		if err != nil {
			t.Fatal(err)
		}
		const size = 5_000_000
		sum := sha1.New()
		if _, err := io.Copy(io.MultiWriter(f, sum), &pattern{size: size}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		fpm, addr := newFPM(t, network, ""), harness.FreeAddr(t)
		hcl := strings.Replace(config(addr, fpm.Server, root, "", ""), "max_body", "tls = \"self-signed\"\n  max_body", 1)
		harness.Start(t, hcl, opts...)
		for _, two := range []bool{false, true} {
			tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: two}
			defer tr.CloseIdleConnections()
			for path, want := range map[string]string{
				"/large.bin":   fmt.Sprintf("%x", sum.Sum(nil)),
				"/css/app.css": fmt.Sprintf("%x", sha1.Sum([]byte("body { color: black }\n"))),
				"/":            fmt.Sprintf("%x", sha1.Sum([]byte("home"))),
			} {
				req, err := http.NewRequest(http.MethodGet, "https://"+addr+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				got := sha1.New()
				n, err := io.Copy(got, resp.Body)
				resp.Body.Close()
				if err != nil || fmt.Sprintf("%x", got.Sum(nil)) != want || resp.ProtoMajor == 2 != two {
					t.Errorf("%s over %s: %d bytes, or others: %v", path, resp.Proto, n, err)
				}
			}
			// A body of unknown length: by HTTP/2 that is the usual one.
			req, err := http.NewRequest(http.MethodPost, "https://"+addr+"/input", &pattern{size: size})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprintf("%d %d %x", size, size, sum.Sum(nil)); err != nil || string(b) != want {
				t.Errorf("an upload over %s = %q, %v, want %q", resp.Proto, b, err, want)
			}
		}
	})
}
