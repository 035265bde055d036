package cert

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/crypto/ocsp"

	"skein/config"
)

// responder is a CA's OCSP responder.
type responder struct {
	*httptest.Server
	ca     *testCA
	now    func() time.Time
	down   atomic.Bool
	status atomic.Int64
	asked  atomic.Int64
}

func newResponder(t *testing.T, ca *testCA, now func() time.Time) *responder {
	r := &responder{ca: ca, now: now}
	r.Server = httptest.NewServer(http.HandlerFunc(r.answer))
	t.Cleanup(r.Close)
	return r
}

func (r *responder) answer(w http.ResponseWriter, q *http.Request) {
	r.asked.Add(1)
	body, err := io.ReadAll(q.Body)
	if r.down.Load() || err != nil {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	question, err := ocsp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	der, err := ocsp.CreateResponse(r.ca.cert, r.ca.cert, ocsp.Response{
		Status: int(r.status.Load()), SerialNumber: question.SerialNumber,
		ThisUpdate: r.now().Truncate(time.Second), NextUpdate: r.now().Add(8 * time.Hour).Truncate(time.Second), RevokedAt: r.now(),
	}, r.ca.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write(der)
}

// stapled is a site with a certificate whose CA has a responder.
func stapled(t *testing.T, must bool) (*Store, *logBook, *responder, *atomic.Int64, *config.TLS, func()) {
	t.Helper()
	ca := newTestCA(t, "ca")
	var skew atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	r := newResponder(t, ca, now)
	f := &config.TLS{Name: "a", Cert: filepath.Join(t.TempDir(), "a.crt"), Key: filepath.Join(t.TempDir(), "a.key")}
	fresh := func() {
		template := &x509.Certificate{DNSNames: []string{"a.test"}, OCSPServer: []string{r.URL}}
		if must {
			v, err := asn1.Marshal([]int{5})
			if err != nil {
				t.Fatal(err)
			}
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: v}}
		}
		certPEM, keyPEM := ca.leafOf(t, "p256", template)
		write(t, f.Cert, certPEM)
		write(t, f.Key, keyPEM)
	}
	fresh()
	s, book := newStore(t, Options{Now: now, Storage: &certmagic.FileStorage{Path: t.TempDir()}})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{f}})))
	return s, book, r, &skew, f, fresh
}

// refresh is what the stapler does each time.
func refresh(s *Store) {
	for _, f := range s.files {
		if s.stapleDue(&f.slot) {
			s.restaple(context.Background(), &f.slot, s.storage())
		}
	}
}

func staple(t *testing.T, s *Store) []byte {
	t.Helper()
	state, err := shake(t, s.Front(":443"), anyone("a.test"))
	if err != nil {
		t.Fatal(err)
	}
	return state.OCSPResponse
}

func TestStapling(t *testing.T) {
	s, book, r, skew, _, _ := stapled(t, false)
	status := func() Status { return s.Status()[0] }
	if staple(t, s) != nil || status().Staple != "none" {
		t.Error("there is an answer before anybody was asked")
	}
	refresh(s)
	first := staple(t, s)
	if a, err := ocsp.ParseResponse(first, r.ca.cert); err != nil || a.Status != ocsp.Good || status().Staple != "good" {
		t.Fatalf("staple = %v (%v), status %+v", a, err, status())
	}
	refresh(s)
	if n := r.asked.Load(); n != 1 {
		t.Errorf("the responder was asked %d times, want once in half of an answer's life", n)
	}

	// Down: the old answer stays to its end, and the log says so once.
	r.down.Store(true)
	for _, at := range []time.Duration{5 * time.Hour, 6 * time.Hour, 7 * time.Hour} {
		skew.Store(int64(at))
		refresh(s)
		if staple(t, s) == nil || status().StapleError == "" {
			t.Errorf("after %s without a responder: no staple, or no error in %+v", at, status())
		}
	}
	skew.Store(int64(9 * time.Hour))
	refresh(s)
	if staple(t, s) != nil || status().Staple != "none" {
		t.Error("an answer that has expired is still sent")
	}
	if n := len(grep(book.String(), "level=WARN")); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, book)
	}
	r.down.Store(false)
	skew.Store(int64(11 * time.Hour))
	refresh(s)
	if staple(t, s) == nil || status().StapleError != "" {
		t.Errorf("no staple although the responder is back: %+v", status())
	}

	r.status.Store(ocsp.Revoked)
	skew.Store(int64(17 * time.Hour))
	refresh(s)
	if staple(t, s) != nil || status().Staple != "revoked" || len(grep(book.String(), "level=ERROR", "revoked")) != 1 {
		t.Errorf("revoked: status %+v, log:\n%s", status(), book)
	}
}

// A restart finds the answer in storage, and a reload keeps it.
func TestStaplesAreKept(t *testing.T) {
	s, _, r, _, f, _ := stapled(t, false)
	refresh(s)
	c := sites(site(&config.Front{Certificates: []*config.TLS{f}}))
	load(t, s, c)
	if staple(t, s) == nil {
		t.Error("a reload lost the answer")
	}
	again, _ := newStore(t, Options{Storage: s.options.Storage})
	load(t, again, c)
	r.down.Store(true)
	refresh(again)
	if staple(t, again) == nil {
		t.Error("a restart did not find the answer")
	}
}

// A certificate that demands an answer is shown when there is one; the old one serves meanwhile.
func TestMustStaple(t *testing.T) {
	s, _, r, skew, f, fresh := stapled(t, true)
	refresh(s)
	serial := func() *big.Int {
		state, err := shake(t, s.Front(":443"), anyone("a.test"))
		if err != nil {
			t.Fatal(err)
		}
		if state.OCSPResponse == nil {
			t.Error("a certificate that demands an answer was shown without")
		}
		return state.PeerCertificates[0].SerialNumber
	}
	old := serial()
	r.down.Store(true)
	fresh()
	lookAll(t, s)
	lookAll(t, s)
	if serial().Cmp(old) != 0 {
		t.Error("the new certificate is shown without an answer")
	}
	if e := s.Status()[0].Error; !strings.Contains(e, "demands") {
		t.Errorf("Status says %q", e)
	}
	asked := r.asked.Load()
	lookAll(t, s)
	if r.asked.Load() != asked {
		t.Error("the responder is asked at every look")
	}
	r.down.Store(false)
	skew.Store(int64(2 * stapleRetry))
	lookAll(t, s)
	if serial().Cmp(old) == 0 {
		t.Errorf("the new certificate is not shown although the responder is back: %s", f.Cert)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	ca, other := newTestCA(t, "ca"), newTestCA(t, "other")
	certPEM, keyPEM := ca.leaf(t, "p256", "a.test")
	c, err := readBundle(append(append([]byte(nil), keyPEM...), certPEM...))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	answer := func(ca *testCA, serial *big.Int, from, to time.Duration) []byte {
		der, err := ocsp.CreateResponse(ca.cert, ca.cert, ocsp.Response{Status: ocsp.Good, SerialNumber: serial, ThisUpdate: now.Add(from), NextUpdate: now.Add(to)}, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	serial := c.tls.Leaf.SerialNumber
	for name, x := range map[string]struct {
		der []byte
		ok  bool
	}{
		"good":                {answer(ca, serial, -time.Hour, time.Hour), true},
		"of another CA":       {answer(other, serial, -time.Hour, time.Hour), false},
		"for another":         {answer(ca, big.NewInt(7), -time.Hour, time.Hour), false},
		"expired":             {answer(ca, serial, -2*time.Hour, -time.Hour), false},
		"of the future":       {answer(ca, serial, time.Hour, 2*time.Hour), false},
		"nothing":             {nil, false},
		"not even ASN.1":      {[]byte("<html>"), false},
		"a clock that is off": {answer(ca, serial, time.Minute, 2*time.Hour), true},
	} {
		if _, err := parseAnswer(x.der, c, now); (err == nil) != x.ok {
			t.Errorf("%s: parseAnswer(%s) = %v, want success %v", name, hex.EncodeToString(x.der[:min(len(x.der), 4)]), err, x.ok)
		}
	}
}
