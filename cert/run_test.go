package cert

import (
	"context"
	"crypto/tls"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"skein/config"
)

// Run sees changed files, rotates keys and ends, all by the clock.
func TestRun(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t, "ca")
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStore(t, Options{})
		load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "a", "p256", "old.test")}})))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(10 * time.Second)
		ca.files(t, dir, "a", "p256", "new.test")
		time.Sleep(watchPeriod + time.Millisecond)
		table := s.Front(":443").GetConfigForClient
		inner, err := table(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := inner.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil || c.Leaf.DNSNames[0] != "new.test" {
			t.Errorf("certificate %s after the change: %v (%v), want new.test", watchPeriod, c, err)
		}
		s.mu.Lock()
		before := s.fronts[":443"].table.Load().epoch
		s.mu.Unlock()
		time.Sleep(ticketEpoch)
		synctest.Wait()
		s.mu.Lock()
		after := s.fronts[":443"].table.Load().epoch
		s.mu.Unlock()
		if after != before+1 {
			t.Errorf("epoch of the ticket keys after %s = %d, want %d", ticketEpoch, after, before+1)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// brokenStorage is one that does nothing but fail, slowly.
type brokenStorage struct{ certmagic.Storage }

func (brokenStorage) Load(ctx context.Context, _ string) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Minute):
		return nil, errors.New("storage is broken")
	}
}

func (brokenStorage) Lock(context.Context, string) error { return errors.New("storage is broken") }

// A storage that hangs delays a start, but does not fail it, nor a stop.
func TestStorageThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, book := newStore(t, Options{Storage: brokenStorage{}})
		c := sites(site(&config.Front{ACME: true}, "a.test", "b.test", "c.test"))
		c.ACME = &config.ACME{Directory: "https://127.0.0.1:1/", Storage: "unused"}
		began := time.Now()
		load(t, s, c)
		if took := time.Since(began); took > storeTimeout+time.Second {
			t.Errorf("Prepare took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(time.Hour)
		if n := len(grep(book.String(), "was not obtained")); n != 3 {
			t.Errorf("%d lines about certificates, want one for each of 3:\n%s", n, book)
		}
		began = time.Now()
		cancel()
		<-ended
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}

// Handshakes that wait for an order are bounded in number and time, also when nobody ever orders.
func TestHandshakesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, book := newStore(t, Options{Storage: &certmagic.FileStorage{Path: "/nonexistent"}})
		c := sites(site(&config.Front{ACME: true}))
		c.ACME = &config.ACME{Directory: "https://127.0.0.1:1/", OnDemand: []string{"*.shop.test"}}
		load(t, s, c)
		inner, err := s.Front(":443").GetConfigForClient(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		took := make(chan time.Duration, demandWaits+10)
		for i := range cap(took) {
			go func() {
				if _, err := inner.GetCertificate(&tls.ClientHelloInfo{ServerName: []string{"one", "two"}[i%2] + ".shop.test"}); err == nil {
					t.Error("a handshake got a certificate from nowhere")
				}
				took <- time.Since(began)
			}()
		}
		quick := 0
		for range cap(took) {
			switch d := <-took; {
			case d == 0:
				quick++
			case d > demandWait:
				t.Errorf("a handshake waited for %s", d)
			}
		}
		if quick != 10 {
			t.Errorf("%d handshakes were refused at once, want those above %d", quick, demandWaits)
		}
		if n := len(grep(book.String(), "handshake was refused")); n != 3 {
			t.Errorf("%d lines in the log, want one for each name and one for all that were too many:\n%s", n, book)
		}
	})
}

func TestRetries(t *testing.T) {
	r := standardRetry()
	refused := acme.Problem{Type: acme.ProblemTypeUnauthorized}
	hour := time.Duration(0)
	failures := 0
	for hour < time.Hour {
		failures++
		hour += r.wait(failures, refused) * 5 / 6 // the least that jitter makes of it, about
	}
	if failures > 5 {
		t.Errorf("%d attempts in the first hour, more than Let's Encrypt takes", failures)
	}
	for n := range 100 {
		if d := r.wait(n+1, errors.New("refused")); d < 4*time.Second || d > 12*time.Minute {
			t.Errorf("wait(%d) without a CA = %s", n+1, d)
		}
		if d := r.wait(n+1, refused); d < 48*time.Second || d > 432*time.Minute {
			t.Errorf("wait(%d) after a refusal = %s", n+1, d)
		}
		if d := r.wait(n+1, acme.Problem{Type: acme.ProblemTypeRateLimited}); d < 48*time.Minute {
			t.Errorf("wait(%d) after too much = %s", n+1, d)
		}
	}
}

func TestToldOnce(t *testing.T) {
	told := told{last: map[string]time.Time{}}
	now, n := time.Now(), 0
	say := func() { n++ }
	for range 3 {
		told.once(now, "a.test", say)
	}
	told.once(now, "b.test", say)
	told.once(now.Add(toldEvery), "a.test", say)
	if n != 3 {
		t.Errorf("said %d times, want 3", n)
	}
	told.forget(now.Add(time.Hour))
	if len(told.last) != 0 {
		t.Errorf("%d names are remembered after an hour", len(told.last))
	}
	for i := range 2 * toldNames {
		told.once(now, strings.Repeat("x", i+1), func() {})
	}
	if len(told.last) != toldNames {
		t.Errorf("%d names are remembered, want %d", len(told.last), toldNames)
	}
}

// BenchmarkChoose is what a handshake pays to find its certificate, signatures aside.
func BenchmarkChoose(b *testing.B) {
	dir, ca := b.TempDir(), newTestCA(b, "ca")
	s, _ := newStore(b, Options{})
	load(b, s, sites(
		site(&config.Front{Certificates: []*config.TLS{ca.files(b, dir, "e", "p256", "a.test"), ca.files(b, dir, "r", "rsa", "a.test")}}, "a.test"),
		site(&config.Front{Certificates: []*config.TLS{ca.files(b, dir, "w", "p256", "*.b.test")}}, "*.b.test"),
	))
	for _, name := range []string{"a.test", "x.b.test"} {
		b.Run(name, func(b *testing.B) {
			hello := &tls.ClientHelloInfo{
				ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
				SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}, SupportedCurves: []tls.CurveID{tls.X25519},
			}
			front := s.Front(":443")
			b.ReportAllocs()
			for b.Loop() {
				inner, err := front.GetConfigForClient(hello)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := inner.GetCertificate(hello); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	runtime.KeepAlive(s)
}
