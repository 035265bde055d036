package cert

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/config"
	"skein/test/harness"
	"skein/test/pebble"
)

func TestEachChallengeObtains(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	roots := p.Roots()
	v := visit(t, a, b, Options{})
	for _, challenge := range []string{"http-01", "tls-alpn-01", "dns-01"} {
		for _, key := range []string{"p256", "p384", "rsa2048"} {
			if challenge != "http-01" && key != "p256" {
				continue
			}
			t.Run(challenge+" "+key, func(t *testing.T) {
				name := strings.ReplaceAll(challenge, "-", "") + key + ".test"
				c := acmeConfig(t, p, challenge, name)
				c.ACME.Key = key
				if challenge == "dns-01" {
					c.ACME.DNS = hookFor(t, p)
				}
				n := visit(t, nil, nil, Options{})
				v.answersFor.Store(n.Store)
				n.tls = v.tls
				load(t, n.Store, c)
				stop := n.run(t)
				leaf := n.await(t, name, roots, nil)
				if got := fmt.Sprint(leaf.PublicKeyAlgorithm, " ", leaf.DNSNames); !strings.Contains(got, map[string]string{"p256": "ECDSA", "p384": "ECDSA", "rsa2048": "RSA"}[key]) {
					t.Errorf("certificate = %s, want a %s key", got, key)
				}
				st := n.Status()[0]
				if st.Source != "acme" || st.Error != "" || st.NotAfter != leaf.NotAfter || !st.Renewal.Before(leaf.NotAfter) || st.Renewal.Before(time.Now()) {
					t.Errorf("Status = %+v", st)
				}
				stop()
				checkStorage(t, c.ACME.Storage)
				// A restart finds it, before Run and without the CA.
				again := visit(t, nil, nil, Options{})
				load(t, again.Store, c)
				if got := again.names[name].current(); got == nil || !got.tls.Leaf.Equal(leaf) {
					t.Error("a restart does not show the stored certificate")
				}
				if s := n.book.String(); strings.Contains(s, "PRIVATE") {
					t.Errorf("the log has a key:\n%s", s)
				}
			})
		}
	}
}

// checkStorage looks for what others may read, and for challenges that were not cleaned up.
func checkStorage(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		if i.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, i.Mode())
		}
		if rel, _ := filepath.Rel(dir, path); !d.IsDir() && (strings.HasPrefix(rel, "challenges") || strings.HasPrefix(rel, "locks")) {
			t.Errorf("%s was left behind", rel)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The CA waits before it looks, as real ones do.
func TestValidationThatTakesItsTime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	p, a, b := startCA(t, pebble.Options{Sleep: 3 * time.Second})
	v := visit(t, a, b, Options{})
	load(t, v.Store, acmeConfig(t, p, "tls-alpn-01", "slow.test"))
	v.run(t)
	v.await(t, "slow.test", p.Roots(), nil)
}

func TestWildcard(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	v := visit(t, a, b, Options{})
	c := acmeConfig(t, p, "dns-01", "*.wild.test", "wild.test")
	if _, _, err := v.Prepare(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "command") {
		t.Errorf("Prepare without a DNS command = %v, want that it is needed", err)
	}
	c.ACME.DNS = hookFor(t, p)
	load(t, v.Store, c)
	v.run(t)
	roots := p.Roots()
	v.await(t, "anything.wild.test", roots, nil)
	v.await(t, "wild.test", roots, nil)
	c.ACME.Challenges = []string{"http-01"}
	if _, _, err := v.Prepare(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "dns-01") {
		t.Errorf("Prepare of a wildcard with http-01 = %v, want that it needs dns-01", err)
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	roots := p.Roots()
	v := visit(t, a, b, Options{})
	load(t, v.Store, acmeConfig(t, p, "tls-alpn-01", "renew.test"))
	orders := &orderBook{RoundTripper: v.ca.client.HTTPClient.Transport}
	v.ca.client.HTTPClient.Transport = orders
	v.run(t)
	first := v.await(t, "renew.test", roots, nil)

	// The CA wants it sooner than its dates say.
	p.SetRenewal(first, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	v.hurry("renew.test")
	second := v.await(t, "renew.test", roots, first)
	if first.SerialNumber.Cmp(second.SerialNumber) == 0 || samePublicKey(first, second) {
		t.Error("the renewed certificate has the old serial number or key")
	}
	if n := orders.replacing.Load(); n == 0 {
		t.Error("the order does not say which certificate it replaces")
	}

	// Time goes by: the CA's window passes, and the certificate's dates say so as well.
	v.skew.Store(int64(70 * 24 * time.Hour))
	v.hurry("renew.test")
	v.await(t, "renew.test", roots, second)
}

// orderBook counts orders that say what they replace (RFC 9773 section 5).
type orderBook struct {
	http.RoundTripper
	replacing atomic.Int64
}

func (o *orderBook) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		var jws struct{ Payload string }
		if json.Unmarshal(b, &jws) == nil {
			if payload, err := base64.RawURLEncoding.DecodeString(jws.Payload); err == nil && bytes.Contains(payload, []byte(`"replaces":`)) {
				o.replacing.Add(1)
			}
		}
	}
	return o.RoundTripper.RoundTrip(r)
}

func samePublicKey(a, b *x509.Certificate) bool {
	k, ok := a.PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && k.Equal(b.PublicKey)
}

func TestExternalAccount(t *testing.T) {
	t.Parallel()
	const secret = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	p, a, b := startCA(t, pebble.Options{EAB: map[string]string{"kid-1": secret}})
	v := visit(t, a, b, Options{})
	c := acmeConfig(t, p, "tls-alpn-01", "eab.test")
	load(t, v.Store, c)
	v.run(t)
	harness.Eventually(t, patience, "the CA refuses", func() bool { return strings.Contains(v.Status()[0].Error, "externalAccount") })

	wrong := *c.ACME
	wrong.EAB = &config.EAB{ID: "kid-1", Key: strings.Repeat("A", len(secret))}
	c.ACME = &wrong
	load(t, v.Store, c)
	harness.Eventually(t, patience, "the CA refuses the key", func() bool {
		e := v.Status()[0].Error
		return e != "" && !strings.Contains(e, "externalAccountRequired")
	})

	right := wrong
	right.EAB = &config.EAB{ID: "kid-1", Key: secret}
	c.ACME = &right
	load(t, v.Store, c)
	v.await(t, "eab.test", p.Roots(), nil)
	for _, text := range []string{v.book.String(), fmt.Sprint(v.Status())} {
		if strings.Contains(text, secret) || strings.Contains(text, wrong.EAB.Key) {
			t.Error("the log or the status has the key of the external account")
		}
	}
}

// The CA is down at the start: nothing fails but handshakes, which the log explains once, and all is well when it comes.
func TestCAThatComesLater(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	p.Kill()
	v := visit(t, a, b, Options{})
	load(t, v.Store, acmeConfig(t, p, "http-01", "late.test"))
	v.run(t)
	harness.Eventually(t, patience, "an attempt fails", func() bool { return v.Status()[0].Error != "" })
	for range 5 {
		if _, err := v.get("late.test", nil); err == nil {
			t.Error("a handshake without a certificate succeeded")
		}
	}
	info := strings.Count(strings.Join(grep(v.book.String(), "level=WARN"), "\n"), "handshake was refused")
	if info != 1 {
		t.Errorf("the log explains handshakes %d times, want once", info)
	}
	if n := len(grep(v.book.String(), "certificate was not obtained: trying again", "level=WARN")); n != 1 {
		t.Errorf("the log warns of failed attempts %d times, want once", n)
	}
	p.Restart()
	v.await(t, "late.test", p.Roots(), nil)
}

func grep(text string, words ...string) []string {
	var lines []string
next:
	for line := range strings.SplitSeq(text, "\n") {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// The CA dies when certificates are due: visitors notice nothing, not even when the certificate expires.
func TestCAThatDiesDuringARenewal(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	v := visit(t, a, b, Options{})
	load(t, v.Store, acmeConfig(t, p, "http-01", "dies.test"))
	v.run(t)
	first := v.await(t, "dies.test", p.Roots(), nil)

	stop, visitors := make(chan struct{}), sync.WaitGroup{}
	var seen atomic.Int64
	for range 4 {
		visitors.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := v.get("dies.test", nil); err != nil {
					t.Errorf("a handshake failed: %v", err)
					return
				}
				seen.Add(1)
			}
		})
	}
	end := sync.OnceFunc(func() { close(stop); visitors.Wait() })
	defer end()
	p.SetRenewal(first, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	v.hurry("dies.test")
	p.Kill()
	v.skew.Store(int64(80 * 24 * time.Hour))
	v.hurry("dies.test")
	harness.Eventually(t, patience, "the renewal fails", func() bool { return v.Status()[0].Error != "" })
	v.skew.Store(int64(91 * 24 * time.Hour))
	v.hurry("dies.test")
	harness.Eventually(t, patience, "the log says that it has expired", func() bool {
		return len(grep(v.book.String(), "level=ERROR", "has expired")) == 1
	})
	before := seen.Load()
	harness.Eventually(t, patience, "visitors come", func() bool { return seen.Load() > before+20 })
	end()
	p.Restart() // another key, and no account of ours: all of that must be made anew
	v.await(t, "dies.test", p.Roots(), first)
}

// With both, our own certificate serves until the CA's is there.
func TestSelfSignedMeanwhile(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	p.Kill()
	v := visit(t, a, b, Options{})
	c := acmeConfig(t, p, "http-01", "both.test", "*.demand.test")
	c.HTTP[0].TLS.SelfSigned = true
	c.ACME.OnDemand = []string{"*.demand.test"}
	load(t, v.Store, c)
	v.run(t)
	if leaf, err := v.get("both.test", nil); err != nil || leaf.Issuer.Organization == nil {
		t.Errorf("certificate = %v (%v), want a self-signed one", leaf, err)
	}
	p.Restart()
	v.await(t, "both.test", p.Roots(), nil)
	v.await(t, "x.demand.test", p.Roots(), nil)
}

// A reload neither needs the CA nor obtains again what there is.
func TestReloadsLeaveCertificatesAlone(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	v := visit(t, a, b, Options{})
	c := acmeConfig(t, p, "http-01", "a.test")
	load(t, v.Store, c)
	v.run(t)
	roots := p.Roots()
	first := v.await(t, "a.test", roots, nil)
	more := *c
	more.HTTP = []*config.HTTP{site(&config.Front{ACME: true}, "a.test", "b.test")}
	load(t, v.Store, &more)
	v.await(t, "b.test", roots, nil)
	p.Kill()
	load(t, v.Store, c)
	if got, err := v.get("a.test", roots); err != nil || !got.Equal(first) {
		t.Errorf("certificate after reloads = another one (%v)", err)
	}
}
