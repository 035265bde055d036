// Package grpc tests gRPC through skein: the interop suite of grpc-go, client and server, by every way that both sides can be
// spoken to. The suite's own checks end the process when they fail; their words are in the output.
package grpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"skein/test/harness"
)

// certificate is one for localhost and all addresses that tests listen on, on disk.
type certificate struct {
	cert, key string
	pair      tls.Certificate
	roots     *x509.CertPool
}

func newCertificate(t *testing.T) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"shop.example"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := &certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), roots: x509.NewCertPool()}
	for file, block := range map[string]*pem.Block{l.cert: {Type: "CERTIFICATE", Bytes: der}, l.key: {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if l.pair, err = tls.LoadX509KeyPair(l.cert, l.key); err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l.roots.AddCert(made)
	return l
}

// serve starts a gRPC server with the interop service and returns its address, and what stops it.
func serve(t *testing.T, addr string, opts ...grpc.ServerOption) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	testpb.RegisterTestServiceServer(s, interop.NewTestServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	stop = func() { s.Stop(); <-done }
	t.Cleanup(stop)
	return stop
}

// site is skein between a client and members.
func site(addr, members, pool, http string) string {
	return fmt.Sprintf("pool \"rpc\" {\n  servers = [%s]\n  protocol = \"h2\"\n%s}\nhttp \"site\" {\n  listen = %q\n  pool = pool.rpc\n%s}\n", members, pool, addr, http)
}

const h2c = "  protocols = [\"http/1.1\", \"h2c\"]\n"

func dial(t *testing.T, addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

func TestInterop(t *testing.T) {
	t.Parallel()
	c := newCertificate(t)
	for _, front := range []string{"h2c", "TLS"} {
		for _, back := range []string{"h2c", "TLS"} {
			for _, path := range []string{"fast", "plain"} {
				t.Run(front+" to "+back+", "+path, func(t *testing.T) {
					addr, member := harness.FreeAddr(t), harness.FreeAddr(t)
					pool, http, prefix := "", h2c, ""
					creds := insecure.NewCredentials()
					if back == "TLS" {
						serve(t, member, grpc.Creds(credentials.NewServerTLSFromCert(&c.pair)))
						pool = fmt.Sprintf("  tls {\n    ca = %q\n    name = \"shop.example\"\n  }\n", c.cert)
					} else {
						serve(t, member)
					}
					if front == "TLS" {
						prefix = fmt.Sprintf("tls \"shop\" {\n  cert = %q\n  key = %q\n}\n", c.cert, c.key)
						http = "  hosts = [\"shop.example\"]\n  tls = tls.shop\n"
						creds = credentials.NewTLS(&tls.Config{RootCAs: c.roots, ServerName: "shop.example"})
					}
					var opts []harness.Option
					if path == "plain" {
						opts = append(opts, harness.Plain())
					}
					s := harness.Start(t, prefix+site(addr, fmt.Sprintf("%q", member), pool, http), opts...)
					cc := dial(t, addr, creds)
					// The suite ends the process where it fails: a call before it shows the log.
					if _, err := testpb.NewTestServiceClient(cc).EmptyCall(t.Context(), &testpb.Empty{}); err != nil {
						t.Fatalf("a first call: %v\n%s", err, s.Log())
					}
					suite(t, cc)
				})
			}
		}
	}
}

// suite runs the cases that make sense through a proxy.
func suite(t *testing.T, cc *grpc.ClientConn) {
	tc := testpb.NewTestServiceClient(cc)
	for _, v := range []struct {
		name string
		do   func(context.Context)
	}{
		{"empty_unary", func(ctx context.Context) { interop.DoEmptyUnaryCall(ctx, tc) }},
		{"large_unary", func(ctx context.Context) { interop.DoLargeUnaryCall(ctx, tc) }},
		{"client_streaming", func(ctx context.Context) { interop.DoClientStreaming(ctx, tc) }},
		{"server_streaming", func(ctx context.Context) { interop.DoServerStreaming(ctx, tc) }},
		{"ping_pong", func(ctx context.Context) { interop.DoPingPong(ctx, tc) }},
		{"empty_stream", func(ctx context.Context) { interop.DoEmptyStream(ctx, tc) }},
		{"timeout_on_sleeping_server", func(ctx context.Context) { interop.DoTimeoutOnSleepingServer(ctx, tc) }},
		{"cancel_after_begin", func(ctx context.Context) { interop.DoCancelAfterBegin(ctx, tc) }},
		{"cancel_after_first_response", func(ctx context.Context) { interop.DoCancelAfterFirstResponse(ctx, tc) }},
		{"custom_metadata", func(ctx context.Context) { interop.DoCustomMetadata(ctx, tc) }},
		{"status_code_and_message", func(ctx context.Context) { interop.DoStatusCodeAndMessage(ctx, tc) }},
		{"special_status_message", func(ctx context.Context) { interop.DoSpecialStatusMessage(ctx, tc) }},
		{"unimplemented_method", func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, cc) }},
		{"unimplemented_service", func(ctx context.Context) {
			interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(cc))
		}},
	} {
		t.Run(v.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
			defer cancel()
			t.Log("interop case ", v.name)
			v.do(ctx)
		})
	}
}

// Our own errors are plain HTTP: clients make codes of them (gRPC's http-grpc-status-mapping.md).
func TestOwnErrors(t *testing.T) {
	t.Parallel()
	addr, member := harness.FreeAddr(t), harness.FreeAddr(t)
	s := harness.Start(t, site(addr, fmt.Sprintf("%q", member), "", h2c))
	tc := testpb.NewTestServiceClient(dial(t, addr, insecure.NewCredentials()))
	call := func() codes.Code {
		ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
		defer cancel()
		_, err := tc.EmptyCall(ctx, &testpb.Empty{})
		return status.Code(err)
	}
	if got := call(); got != codes.Unavailable { // 502
		t.Errorf("nobody there: %v, want Unavailable", got)
	}
	stop := serve(t, member)
	if !harness.Soon(harness.Patience, func() bool { return call() == codes.OK }) {
		t.Error("the member came, and is not used")
	}
	stop()
	if got := call(); got != codes.Unavailable {
		t.Errorf("gone again: %v, want Unavailable", got)
	}
	s.Reload(fmt.Sprintf("http \"site\" {\n  listen = %q\n  hosts = [\"shop.example\"]\n  servers = [%q]\n%s}\n", addr, member, h2c))
	if got := call(); got == codes.OK || got == codes.DeadlineExceeded { // 421
		t.Errorf("another site: %v", got)
	}
}

// A server that renews its connections all the time costs no call.
func TestConnectionsThatEnd(t *testing.T) {
	t.Parallel()
	addr, member := harness.FreeAddr(t), harness.FreeAddr(t)
	serve(t, member, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 50 * time.Millisecond, MaxConnectionAgeGrace: harness.Patience}))
	harness.Start(t, site(addr, fmt.Sprintf("%q", member), "  retry {\n    tries = 1\n  }\n", h2c))
	tc := testpb.NewTestServiceClient(dial(t, addr, insecure.NewCredentials()))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 150 {
				ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
				r, err := tc.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 1000, Payload: &testpb.Payload{Body: make([]byte, 1000)}})
				cancel()
				if err != nil || len(r.Payload.Body) != 1000 {
					t.Errorf("call: %v", err)
				}
			}
		})
	}
	all.Wait()
}
