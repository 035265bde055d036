package cert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/config"
	"skein/test/harness"
	"skein/test/pebble"
)

func TestOnDemand(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{Blocked: []string{"refused.shop.test"}})
	roots := p.Roots()
	v := visit(t, a, b, Options{})
	v.retry.refused = []time.Duration{time.Hour}
	c := acmeConfig(t, p, "tls-alpn-01", "*.shop.test", "main.test")
	c.ACME.OnDemand = []string{"*.shop.test", "other.test"} // which is no block's host
	load(t, v.Store, c)
	v.run(t)
	v.await(t, "main.test", roots, nil)
	if n := len(v.Status()); n != 1 {
		t.Errorf("%d certificates before anybody asked for one on demand, want 1: %+v", n, v.Status())
	}

	// Many visitors of one name at once: one order, and all are served.
	var visitors sync.WaitGroup
	serials := make([]string, 10)
	for i := range serials {
		visitors.Go(func() {
			leaf, err := v.get("one.shop.test", roots)
			if err != nil {
				t.Errorf("handshake on demand: %v", err)
				return
			}
			serials[i] = leaf.SerialNumber.String()
		})
	}
	visitors.Wait()
	if len(slices.Compact(serials)) != 1 {
		t.Errorf("visitors of one name got %d certificates", len(serials))
	}

	// Names that nobody allowed get what they get without ACME, and no order.
	for _, name := range []string{"stranger.test", "shop.test", "under_score.shop.test", "-.shop.test"} {
		leaf, err := v.get(name, nil)
		if err != nil {
			t.Errorf("handshake for %s: %v, want the default certificate", name, err)
		} else if leaf.DNSNames[0] != "main.test" {
			t.Errorf("handshake for %s got %v, want the default certificate", name, leaf.DNSNames)
		}
	}
	if st := v.Status(); len(st) != 2 || st[1].Source != "on-demand" || st[1].Names[0] != "one.shop.test" {
		t.Errorf("Status = %+v, want main.test and one.shop.test", st)
	}

	if _, err := v.get("other.test", roots); err != nil {
		t.Errorf("handshake for a name on demand that is no block's host: %v", err)
	}

	// The CA refuses: an alert, and at once the next times, without another order.
	if _, err := v.get("refused.shop.test", nil); err == nil {
		t.Error("a handshake for a name that the CA refuses succeeded")
	}
	orders := strings.Count(p.Log(), "POST /order-plz")
	for range 3 {
		if _, err := v.get("refused.shop.test", nil); err == nil {
			t.Error("a handshake for a name that the CA refuses succeeded")
		}
	}
	if n := strings.Count(p.Log(), "POST /order-plz"); n != orders || n == 0 {
		t.Errorf("%d orders after the refusal, want the %d from before", n, orders)
	}

	// A restart takes it from storage at the first handshake, without the CA; a reload that forbids it ends it.
	p.Kill()
	again := visit(t, nil, nil, Options{})
	again.tls = v.tls
	v.answersFor.Store(again.Store)
	load(t, again.Store, c)
	again.run(t)
	if leaf, err := again.get("one.shop.test", roots); err != nil || leaf.SerialNumber.String() != serials[0] {
		t.Errorf("after a restart: %v, want the stored certificate", err)
	}
	forbidden := *c.ACME
	forbidden.OnDemand = []string{"*.elsewhere.test"}
	load(t, again.Store, &config.Config{HTTP: []*config.HTTP{site(&config.Front{ACME: true}, "main.test")}, ACME: &forbidden})
	if leaf, err := again.get("one.shop.test", nil); err != nil || leaf.DNSNames[0] != "main.test" {
		t.Errorf("a name that is no longer allowed got %v (%v), want the default certificate", leaf, err)
	}
}

func TestManyNewNamesAreSlowedDown(t *testing.T) {
	d := newDemand()
	now := time.Now()
	for i := range demandBurst {
		if _, err := d.add(fmt.Sprintf("%d.test", i), true, now, nil); err != nil {
			t.Fatalf("name %d of the burst: %v", i, err)
		}
	}
	if _, err := d.add("more.test", true, now, nil); !errors.Is(err, errTooMany) {
		t.Errorf("a name after the burst = %v, want %v", err, errTooMany)
	}
	if _, err := d.add("stored.test", false, now, nil); err != nil {
		t.Errorf("a name from storage = %v, want none", err)
	}
	now = now.Add(demandEvery)
	if _, err := d.add("later.test", true, now, nil); err != nil {
		t.Errorf("a name later = %v, want none", err)
	}
	if _, err := d.add("evenmore.test", true, now, nil); !errors.Is(err, errTooMany) {
		t.Errorf("two names later = %v, want %v", err, errTooMany)
	}
	for i := range demandNames {
		m, err := d.add(fmt.Sprintf("%d.many.test", i), false, now.Add(time.Duration(i)*time.Second), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = m
	}
	if n := len(d.all()); n != demandNames {
		t.Errorf("%d names are held, want at most %d", n, demandNames)
	}
	if d.find("0.test") != nil || d.find(fmt.Sprintf("%d.many.test", demandNames-1)) == nil {
		t.Error("not the name that nobody used for longest made place")
	}
}

func TestRules(t *testing.T) {
	r := rules{"a.test", "*.b.test"}
	for name, want := range map[string]bool{
		"a.test": true, "x.a.test": false, "b.test": false, ".b.test": false, "x.b.test": true, "x.y.b.test": true, "*.b.test": false, "xb.test": false, "": false,
	} {
		if got := r.allow(name); got != want {
			t.Errorf("allow(%q) = %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]bool{
		"a.test": true, "a-b.test": true, "xn--bcher-kva.test": true, "localhost": false, "1.2.3.4": false, "a..test": false, "../a.test": false,
		"-a.test": false, "a-.test": false, "a_b.test": false, "A.test": false, strings.Repeat("a", 64) + ".test": false, strings.Repeat("a.", 127) + "test": false, "": false,
	} {
		if got := plausible(name); got != want {
			t.Errorf("plausible(%q) = %v, want %v", name, got, want)
		}
	}
}

// Two nodes share a storage: one orders, the other answers the validation, and both show the one certificate.
func TestNodesShareStorage(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			p, a, b := startCA(t, pebble.Options{})
			c := acmeConfig(t, p, challenge, "shared.test")
			one, two := visit(t, a, b, Options{}), visit(t, nil, nil, Options{})
			two.tls = a
			load(t, one.Store, c)
			load(t, two.Store, c)
			one.answersFor.Store(two.Store) // as if the CA's requests went to the other node
			one.run(t)
			roots := p.Roots()
			harness.Eventually(t, patience, "one node has it", func() bool { return one.names["shared.test"].current() != nil })
			two.run(t)
			leaf := two.await(t, "shared.test", roots, nil)
			if !leaf.Equal(one.names["shared.test"].current().tls.Leaf) {
				t.Error("the nodes have different certificates")
			}
			if n := len(grep(two.book.String(), "certificate was obtained")); n != 0 {
				t.Errorf("the second node ordered %d certificates, want none", n)
			}
			// Both at once: a lock lets one order.
			both := *c
			both.HTTP = []*config.HTTP{site(&config.Front{ACME: true}, "both.test")}
			one.answersFor.Store(one.Store)
			load(t, one.Store, &both)
			load(t, two.Store, &both)
			harness.Eventually(t, patience, "both have it", func() bool {
				x, y := one.names["both.test"].current(), two.names["both.test"].current()
				return x != nil && y != nil && x.mark == y.mark
			})
			if n := len(grep(one.book.String()+two.book.String(), "certificate was obtained", "both.test")); n != 1 {
				t.Errorf("both nodes together ordered %d certificates, want 1", n)
			}
		})
	}
}

// Names that a file covers are no business of the CA.
func TestFilesBeforeACME(t *testing.T) {
	s, _ := newStore(t, Options{})
	c := sites(site(&config.Front{ACME: true, Certificates: []*config.TLS{newTestCA(t, "ca").files(t, t.TempDir(), "a", "p256", "a.test", "*.b.test")}}, "a.test", "x.b.test", "c.test"))
	c.ACME = &config.ACME{Directory: "https://127.0.0.1:1/", Storage: t.TempDir()}
	load(t, s, c)
	if got := slices.Sorted(maps.Keys(s.names)); !slices.Equal(got, []string{"c.test"}) {
		t.Errorf("names to obtain = %v, want c.test", got)
	}
	c.HTTP[0].TLS.ACME, c.ACME = true, nil
	if _, _, err := s.Prepare(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "no acme block") {
		t.Errorf("Prepare without acme = %v, want that there is none", err)
	}
}

// What nobody has asked a CA about is not answered.
func TestChallengesOfStrangers(t *testing.T) {
	t.Parallel()
	p, a, b := startCA(t, pebble.Options{})
	v := visit(t, a, b, Options{})
	load(t, v.Store, acmeConfig(t, p, "http-01", "a.test"))
	for _, path := range []string{"/", challengePath, challengePath + "token", challengePath + "../x", challengePath + "a/b", challengePath + strings.Repeat("a", 1000)} {
		for _, host := range []string{"a.test", "a.test:80", "other.test", "", "[::1]:80", "../../etc"} {
			if body, ok := v.Challenge(host, path); ok {
				t.Errorf("Challenge(%q, %q) = %q, want none", host, path, body)
			}
		}
	}
	if _, err := shake(t, v.Front(":443"), &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}); err == nil {
		t.Error("a validation that nobody asked for succeeded")
	}
}
